"""Which local files may be the inputs of a job."""

from __future__ import annotations

from dataclasses import dataclass

LOCATION_BYTES_MAX = 8_192
"""The longest path or URL of an image, in bytes of UTF-8."""
ENTRIES_MAX = 2_000_000
"""The most files and folders that are visited to expand the inputs of one job."""
LISTING_SECONDS_MAX = 60.0
"""The longest time that listing the folders of one job may take."""


@dataclass(frozen=True, slots=True)
class InputRules:
    """Which local files may be inputs.

    ``roots``: the folders that they must be in. None: all files that the person can read; empty: no
    local file. ``private``: Overstory's own folders, whose files are never inputs.
    """

    roots: tuple[str, ...] | None = None
    private: tuple[str, ...] = ()
