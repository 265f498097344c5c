"""Servers of one machine: Valkey, PostgreSQL, the sandbox, and how they are started and ended."""
