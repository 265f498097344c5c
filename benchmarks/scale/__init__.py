"""A million images through the real service: PostgreSQL, Valkey, workers, messages.

docs/scale.md says what it measured.
"""
