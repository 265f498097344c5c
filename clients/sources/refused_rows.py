"""Rows of a table that name no image that can be used: each is an image that fails, so that none is
lost. Its location says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clients.sources.location import Source
from core.errors import ImageRefused, RefusalCode
from core.text.printable import one_line

PREFIX = "row "
"""No other location begins so: files have absolute paths."""


def refused_row(table: str, number: int, reason: str, facts: Mapping[str, Any] | None) -> Source:
    """The image of a row that cannot be used. ``table``: its name."""
    location = f"{PREFIX}{number:,} of {table}: {one_line(reason)}"
    return Source(f"{table.rpartition('/')[2]} row {number:,}", location, facts=facts)


def check_row(location: str) -> None:
    """Raises ImageRefused for the image of such a row."""
    if location.startswith(PREFIX):
        raise ImageRefused(RefusalCode.UNREADABLE, location.partition(": ")[2])
