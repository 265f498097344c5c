"""Counts with their noun."""

from __future__ import annotations


def pluralize(count: int, one: str, more: str = "") -> str:
    """``1 request``, ``1,234 requests``, ``2 leaves``. ``more``: an irregular plural."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"
