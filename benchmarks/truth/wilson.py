"""The interval of a share."""

from __future__ import annotations

import math

Z = 1.959964
"""The normal quantile of a two-sided interval of 95 %."""


def wilson(right: int, of: int) -> tuple[float, float]:
    """Wilson's 95 % interval (Wilson 1927) of the share ``right`` / ``of``, from 0 to 1."""
    if not of:
        return 0.0, 1.0
    share, square = right / of, Z * Z / of
    middle = share + square / 2
    half = Z * math.sqrt(share * (1 - share) / of + square / (4 * of))
    low, high = (middle - half) / (1 + square), (middle + half) / (1 + square)
    return max(0.0, low), min(1.0, high)
