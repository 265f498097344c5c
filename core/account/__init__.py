"""The account: adaptive limits, budgets, token reservations, waits, estimates."""
