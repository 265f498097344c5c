"""Packs to compare in an estimate: how many images one request shows at most."""

from __future__ import annotations

SMALLER = 4
"""The pack between: a quarter. It is small enough to be read better, and not yet dear."""


def packs_beside(most: int, given: int | None, least: int = 1) -> list[int]:
    """Two or three packs, the largest first: ``most`` (all images that one request can show of this
    set), a quarter of it, and the pack that the job is ``given``, else ``least``. A given pack that
    is not below ``most`` stands for it."""
    largest = most if given is None else max(given, most)
    between = max(most // SMALLER, least)
    return sorted({largest, between, given or least}, reverse=True)
