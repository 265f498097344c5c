"""Estimates and budgets at five families of models, each billed by its own vendor's rule."""
