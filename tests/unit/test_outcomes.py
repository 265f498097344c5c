"""Backoff: full jitter under a doubling ceiling, never a busy loop."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.outcomes import backoff_seconds


@pytest.mark.parametrize(
    ("attempt", "draw", "seconds"),
    [
        (0, 0.5, 0.5),
        (1, 0.5, 1.0),
        (3, 0.5, 4.0),
        (3, 0.0, 0.8),  # never under a tenth of the ceiling
        (8, 0.5, 128.0),
        (9, 0.5, 150.0),  # 300 s is the ceiling
        (10_000, 0.5, 150.0),
    ],
)
def test_the_ceiling_doubles_up_to_its_cap(attempt, draw, seconds):
    assert backoff_seconds(attempt, draw) == pytest.approx(seconds)


@given(st.integers(0, 10**6), st.floats(0, 1, exclude_max=True), st.floats(0.01, 10))
def test_a_wait_is_between_a_tenth_of_the_ceiling_and_the_ceiling(attempt, draw, base):
    ceiling = min(300.0, base * 2.0 ** min(attempt, 32))
    assert ceiling * 0.1 <= backoff_seconds(attempt, draw, base) <= ceiling
