"""Servers of one machine: Valkey and the sandbox, and how they are started and ended."""
