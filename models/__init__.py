"""State: tables, the one writer of state, the ledger, named queries."""
