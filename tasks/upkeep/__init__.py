"""Upkeep: the reconciler, webhooks, the paused account, pruning."""
