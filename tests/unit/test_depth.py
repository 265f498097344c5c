"""What counts as white in pictures of more than 8 bits."""

from __future__ import annotations

import pytest

from core.images.depth import levels, remark


@pytest.mark.parametrize(
    ("mode", "low", "high", "expected", "is_told"),
    [
        ("I;16", 0, 65_535, (0, 65_535), False),
        ("I;16", 0, 16_384, (0, 65_535), False),  # a dark picture of 16 bits
        ("I;16", 9, 16_383, (0, 16_383), True),
        ("I;16", 0, 4_000, (0, 4_095), True),
        ("I;16", 0, 1_023, (0, 1_023), True),
        ("I;16", 0, 200, (0, 255), True),
        ("I;16", 0, 5, (0, 5), True),  # numbers of classes
        ("I;16", 0, 0, (0, 0), False),  # all black
        ("I", 0, 255, (0, 255), False),
        ("I", 0, 4_095, (0, 4_095), True),
        ("I", 0, 70_000, (0, 70_000), True),
        ("I", -1_000, 3_000, (-1_000, 3_000), True),  # a scan in Hounsfield units
        ("F", 0, 1, (0, 1), False),
        ("F", 0, 0.4, (0, 1), False),
        ("F", 0, 0.01, (0, 0.01), True),
        ("F", 0, 1.2, (0, 1.2), True),
        ("F", 0, 250.5, (0, 255), False),
        ("F", -1, 1, (-1, 1), True),
    ],
)
def test_levels_follow_what_the_data_hold(
    mode: str, low: float, high: float, expected: tuple[float, float], is_told: bool
) -> None:
    assert levels(low, high, mode) == expected
    assert bool(remark(*expected, mode)) is is_told
