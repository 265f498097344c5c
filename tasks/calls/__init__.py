"""One call: admission, sending, failures, budgets."""
