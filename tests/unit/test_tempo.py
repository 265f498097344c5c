"""How many images a worker claims at once."""

from __future__ import annotations

import pytest

from core.tempo import FIRST_IMAGES, HINT_IMAGES, Tempo, hints


def test_the_first_slice_is_small() -> None:
    assert Tempo().images(32) == FIRST_IMAGES


@pytest.mark.parametrize(
    ("seconds", "images", "next_images"),
    [
        (0.0, 4, 32),  # nothing measurable: as many as are allowed
        (0.04, 4, 32),
        (0.1, 4, 20),
        (1.0, 4, 2),
        (40.0, 4, 1),  # never less than one
    ],
)
def test_slices_are_as_long_as_half_a_second(seconds: float, images: int, next_images: int) -> None:
    tempo = Tempo()
    tempo.took(seconds, images)
    assert tempo.images(32) == next_images


def test_one_slow_slice_is_half_forgotten_with_the_next() -> None:
    tempo = Tempo()
    tempo.took(4.0, 4)
    tempo.took(0.0, 4)
    assert tempo.seconds_each == 0.5


def test_a_setting_of_one_is_kept() -> None:
    tempo = Tempo()
    tempo.took(0.0, 4)
    assert tempo.images(1) == 1


@pytest.mark.parametrize(
    ("images", "messages"), [(0, 0), (1, 1), (HINT_IMAGES, 1), (HINT_IMAGES + 1, 2), (60, 8)]
)
def test_a_long_slice_is_announced_to_several_workers(images: int, messages: int) -> None:
    assert hints(images) == messages
