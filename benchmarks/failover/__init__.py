"""Servers that fail over under load: PostgreSQL, Redis by Sentinel, PgBouncer between.

``make bench-failover`` runs every row; docs/failover.md has its table.
"""
