"""The account: adaptive limits, budgets, token reservations, wait times, estimates."""
