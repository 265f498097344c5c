"""Figures of a job's progress."""

from __future__ import annotations

import pytest

from models.reads.pipeline import Used
from overstory.output.progress import Counts, Rate, figures, per_time, plain_line

COUNTS = Counts((3, 3, 3, 0), (9, 9, 9, 0), Used(2, 100, 0, 20, 0.5, "USD"))


@pytest.mark.parametrize(
    ("per_second", "said"),
    [
        (12.34, "12.3 images/s"),
        (1.0, "1.0 images/s"),
        (0.04, "2.4 images/min"),
        (0.01, "36.0 images/h"),
        (0.0001, ""),
        (0.0, ""),
    ],
)
def test_a_rate_is_given_by_the_time_in_which_it_is_at_least_one(per_second, said):
    assert per_time(per_second) == said


def test_no_rate_is_said_while_nothing_is_known_of_it():
    assert figures(COUNTS, Rate()) == "2 requests · 120 tokens · 0.5000 USD"
    assert "images/" not in plain_line(COUNTS, Rate())


def test_a_slow_job_has_a_rate_and_a_time_left():
    rate = Rate()
    rate.add(0.0, 2.0)
    rate.add(10.0, 3.0)
    assert figures(COUNTS, rate).startswith("6.0 images/min · 2 requests")
    assert figures(COUNTS, rate).endswith("about 60 s left")
