"""The number of images that a worker claims at once."""

from __future__ import annotations

import pytest

from core.slice_size import (
    FIRST_IMAGES,
    LAST_IMAGES,
    SLICE_SECONDS_MAX,
    SliceSize,
    looked_at,
    share,
)


def test_the_first_slice_is_small() -> None:
    assert SliceSize().images(32) == FIRST_IMAGES


@pytest.mark.parametrize(
    ("seconds", "images", "next_images"),
    [
        (0.0, 4, 32),  # too fast to measure: the maximum
        (0.04, 4, 32),
        (0.1, 4, 20),
        (1.0, 4, 2),
        (40.0, 4, 1),  # at least one
    ],
)
def test_slices_are_as_long_as_half_a_second(seconds: float, images: int, next_images: int) -> None:
    tempo = SliceSize()
    tempo.took(seconds, images)
    assert tempo.images(32) == next_images


def test_slices_may_be_longer_if_they_shrink_near_the_end() -> None:
    tempo = SliceSize()
    tempo.took(0.1, 4)
    assert tempo.images(32, shrinks=True) == 30


def test_one_slow_slice_counts_half_at_the_next() -> None:
    tempo = SliceSize()
    tempo.took(4.0, 4)
    tempo.took(0.0, 4)
    assert tempo.seconds_each == 0.5


def test_a_setting_of_one_is_kept() -> None:
    tempo = SliceSize()
    tempo.took(0.0, 4)
    assert tempo.images(1) == 1


@pytest.mark.parametrize(
    ("due", "limit", "taken"),
    [
        (0, 32, 0),
        (1, 32, 1),
        (3, 32, LAST_IMAGES),
        (16, 32, 4),
        (100, 32, 25),
        (128, 32, 32),  # many images left: a full slice
        (4, 1, 1),  # a setting of one is kept
        (16, 4, 4),  # the first slice of a large job is not cut
    ],
)
def test_the_last_images_are_claimed_in_ever_shorter_slices(
    due: int, limit: int, taken: int
) -> None:
    assert share(min(due, looked_at(limit)), limit) == taken


def test_two_workers_of_one_speed_end_within_a_short_slice_of_each_other() -> None:
    due, ends = 600, [0, 0]
    while due:
        worker = ends.index(min(ends))
        taken = share(min(due, looked_at(32)), 32)
        ends[worker] += taken
        due -= taken
    assert max(ends) - min(ends) <= 2 * LAST_IMAGES


def test_a_database_far_away_makes_slices_longer_and_not_shorter():
    near, far, gone = SliceSize(), SliceSize(), SliceSize()
    for _ in range(20):
        near.took(0.5, 5, overhead=0.01)
        far.took(0.5, 5, overhead=2.0)
        gone.took(0.5, 5, overhead=600.0)
    assert near.images(1000) == 5
    assert far.images(1000) in (19, 20)
    assert gone.images(1000) == 10 * SLICE_SECONDS_MAX
