"""Groups of similar images, as functions of values."""

from __future__ import annotations

import base64
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.images.bursts import SECONDS, Compared, stand_ins
from core.images.likeness import GRID, HUES, Likeness, is_alike, is_copy, is_page

CELLS, HUE_CELLS = GRID * GRID, HUES * HUES


def likeness(
    scene: int = 0,
    taken: float | None = 0.0,
    sharpness: float = 1.0,
    pixels: int = 100,
    change: dict[int, int] | None = None,
    levels: bytes | None = None,
    hue: int = 0,
) -> Likeness:
    """A colourful picture by the number of its scene. ``change``: levels of cells."""
    rng = Random(scene)
    cells = bytearray(levels or bytes(rng.randint(30, 220) for _ in range(CELLS)))
    for cell, level in (change or {}).items():
        cells[cell] = level
    colour = bytes(rng.choice((90 + hue, 165 - hue)) for _ in range(2 * HUE_CELLS))
    text = base64.b64encode(bytes(cells) + bytes(CELLS) + colour).decode()
    return Likeness(f"{rng.getrandbits(256):064x}", text, sharpness, pixels, taken)


def burst(*images: Likeness | None, **others: object) -> dict[int, int]:
    return stand_ins(Compared(n, image, **others) for n, image in enumerate(images, start=1))  # type: ignore[arg-type]


def test_the_sharpest_then_the_largest_then_the_first_stands_for_a_group() -> None:
    first, large, sharp = likeness(), likeness(taken=1, pixels=200), likeness(taken=2, sharpness=2)
    assert burst(first, large, sharp) == {1: 3, 2: 3}
    assert burst(first, large) == {1: 2}
    assert burst(first, first) == {2: 1}


def test_an_answered_image_stands_for_the_others_and_is_never_left_out() -> None:
    images = [
        Compared(1, likeness(), answered=True),
        Compared(2, likeness(sharpness=5)),
        Compared(3, likeness(), answered=True),
    ]
    assert stand_ins(images) == {2: 1}


@pytest.mark.parametrize("times", [(0, SECONDS + 0.1), (None, 0.0)])
def test_images_far_apart_or_of_which_one_has_no_time_are_not_compared(
    times: tuple[float | None, float | None],
) -> None:
    assert burst(*(likeness(taken=time) for time in times)) == {}


def test_without_times_only_copies_that_follow_each_other_are_left_out() -> None:
    plain = likeness(taken=None)
    nearly = likeness(taken=None, change={7: 255})
    assert burst(plain, plain) == {2: 1}
    assert burst(plain, likeness(1, taken=None), plain) == {}
    assert burst(plain, nearly) == {}
    assert not is_copy(plain, nearly)


def test_only_images_of_one_unit_are_compared() -> None:
    images = [Compared(n, likeness(), unit=n % 2) for n in range(1, 5)]
    assert stand_ins(images) == {3: 1, 4: 2}


def test_two_cameras_that_take_turns_make_two_groups() -> None:
    shots = [likeness(scene=n % 2, taken=0.5 * n) for n in range(6)]
    assert burst(*shots) == {3: 1, 5: 1, 4: 2, 6: 2}


def test_a_long_series_ends_where_it_is_no_longer_like_its_first() -> None:
    """Each is like the one before it, and the last is not like the first."""
    rng = Random(5)
    wide = [[rng.randint(30, 220) for _ in range(GRID + 6)] for _ in range(GRID)]
    drift = [
        likeness(taken=n, levels=bytes(cell for row in wide for cell in row[n : n + GRID]))
        for n in range(6)
    ]
    assert all(is_alike(a, b) for a, b in pairwise(drift))
    assert not is_alike(drift[0], drift[-1])
    left_out = burst(*drift)
    assert 0 < len(left_out) < len(drift) - 1
    for one, best in left_out.items():
        assert is_alike(drift[one - 1], drift[best - 1])


def test_other_colours_are_another_thing() -> None:
    assert not is_alike(likeness(), likeness(hue=30))


def test_a_place_that_changes_before_a_camera_that_stands_still_is_seen() -> None:
    assert is_alike(likeness(), likeness(change={300: 255}, taken=1)) is False
    assert is_alike(likeness(), likeness(taken=1))


@pytest.mark.parametrize("ground", [255, 20, 128])
def test_a_page_or_a_screen_is_never_like_another(ground: int) -> None:
    levels = bytes(ground if n % 3 else 90 for n in range(CELLS))
    assert is_page(levels, bytes(CELLS), bytes([128] * HUE_CELLS), bytes([128] * HUE_CELLS))
    page = likeness(levels=levels)
    assert burst(page, page) == {}


def test_paper_in_uneven_light_with_writing_is_a_page() -> None:
    levels = bytes(255 - 90 * (n % GRID) // GRID for n in range(CELLS))
    gray = bytes([131] * HUE_CELLS)
    written = bytes(15 if n % 9 == 0 else 1 for n in range(CELLS))
    assert is_page(levels, written, gray, gray)
    blue = bytes([160] * HUE_CELLS)
    assert not is_page(levels, written, blue, blue)


def test_an_image_without_a_likeness_is_never_left_out() -> None:
    assert burst(None, None, likeness()) == {}


@pytest.mark.parametrize(
    "broken",
    [
        None,
        {},
        {"hash": "zz", "cells": "", "sharpness": 0, "pixels": 0},
        {**likeness().to_json(), "hash": "12"},
        {**likeness().to_json(), "cells": "AAAA"},
        {**likeness().to_json(), "sharpness": "x"},
        {**likeness().to_json(), "more": 1},
    ],
)
def test_what_a_decoder_says_is_checked(broken: object) -> None:
    assert Likeness.from_json(broken) is None
    assert Likeness.from_json(likeness().to_json()) == likeness()


shots = st.lists(
    st.tuples(st.integers(0, 2), st.floats(0, 20), st.sampled_from([None, 1, 2]), st.booleans()),
    max_size=12,
)


@given(shots)
def test_groups_hold_what_they_promise(drawn: list[tuple[int, float, int | None, bool]]) -> None:
    images = [
        Compared(n, likeness(scene, time), unit, answered)
        for n, (scene, time, unit, answered) in enumerate(drawn, start=1)
    ]
    left_out = stand_ins(images)
    by_position = {image.position: image for image in images}
    for position, best in left_out.items():
        one, other = by_position[position], by_position[best]
        assert best not in left_out, "the one that stands for others is asked about"
        assert one.unit == other.unit and not one.answered  # noqa: PT018
        assert one.likeness and other.likeness and is_alike(one.likeness, other.likeness)  # noqa: PT018
    for one, other in pairwise(images):
        near = abs((one.likeness.taken or 0) - (other.likeness.taken or 0)) <= SECONDS  # type: ignore[union-attr]
        alike = drawn[one.position - 1][0] == drawn[other.position - 1][0]
        if near and alike and one.unit == other.unit and not (one.answered or other.answered):
            assert {one.position, other.position} & left_out.keys()
