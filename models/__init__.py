"""The database: tables, the only writer of state, the ledger, named queries."""
