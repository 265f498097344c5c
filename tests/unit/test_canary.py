"""Canaries: where they stand, and which words they show."""

from __future__ import annotations

import hashlib
import io
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from clients.images.pillow import word_picture
from core.requests.canary import BYTES, SIDE, TWO_FROM, WORDS, canaries, count
from core.tree.capacity import base64_bytes


def hashes(number: int, seed: int = 0) -> list[str]:
    return [hashlib.sha256(f"{seed} {n}".encode()).hexdigest() for n in range(number)]


@pytest.mark.parametrize(
    ("images_per_request", "number"), [(1, 0), (2, 1), (TWO_FROM - 1, 1), (TWO_FROM, 2), (60, 2)]
)
def test_a_request_has_room_for_so_many(images_per_request: int, number: int) -> None:
    assert count(images_per_request) == number


def test_words_differ_and_none_is_part_of_another() -> None:
    """Else the word of one canary could be read in that of another."""
    assert len(WORDS) == len(set(WORDS)) > 100
    assert all(word.isascii() and word.isupper() and 5 <= len(word) <= 8 for word in WORDS)
    assert not [(a, b) for a in WORDS for b in WORDS if a != b and a in b]


@given(st.integers(1, 62), st.integers(0, 2), st.integers(0, 10_000), st.integers(0, 2))
def test_canaries_stand_among_the_images_and_one_is_the_last(
    images: int, number: int, seed: int, turn: int
) -> None:
    chosen = canaries(hashes(images, seed), number, turn)
    assert len(chosen) == number
    places = [canary.place for canary in chosen]
    assert places == sorted(set(places))
    assert all(1 <= place <= images + number for place in places)
    assert len({canary.word for canary in chosen}) == number
    assert {canary.word for canary in chosen} <= set(WORDS)
    if number:
        assert places[-1] == images + number
    if number == 2:
        assert places[0] <= images


def test_the_same_images_have_the_same_canaries() -> None:
    assert canaries(hashes(10), 2) == canaries(hashes(10), 2)
    assert canaries(hashes(10), 2) != canaries(hashes(10)[::-1], 2)
    assert [canary.place for canary in canaries(hashes(10), 1)] == [11]


@pytest.mark.parametrize("number", [1, 2])
def test_each_turn_has_canaries_of_its_own(number: int) -> None:
    """Images that are shown again are another request, whose words no earlier reply can have."""
    turns = [[canaries(hashes(10, seed), number, turn) for turn in range(3)] for seed in range(100)]
    assert canaries(hashes(10), number) == canaries(hashes(10), number, 0)
    assert canaries(hashes(10), number, 1) == canaries(hashes(10), number, 1)
    same = [one for one in turns if len({pair[-1].word for pair in one}) < 3]
    assert len(same) < 10  # three words of 141 are equal by chance in two cases of a hundred


def test_words_and_places_are_spread() -> None:
    """A model cannot guess them: it has one chance in more than a hundred for each word."""
    chosen = [canaries(hashes(20, seed), 2) for seed in range(2_000)]
    for at in (0, 1):
        words = Counter(pair[at].word for pair in chosen)
        assert len(words) == len(WORDS)
        assert max(words.values()) < 2_000 / len(WORDS) * 4
    places = Counter(pair[0].place for pair in chosen)
    assert set(places) == set(range(1, 21))
    assert max(places.values()) < 2_000 / 20 * 2


def test_no_pair_is_bound_together() -> None:
    pairs = {(a.word, b.word) for a, b in (canaries(hashes(5, seed), 2) for seed in range(500))}
    assert len(pairs) > 450


@pytest.mark.parametrize("word", [max(WORDS, key=len), "WIZARD", "MUSEUM"])
def test_a_picture_is_small_and_always_the_same(word: str) -> None:
    data = word_picture(word, SIDE, SIDE)
    assert word_picture(word, SIDE, SIDE) == data  # its hash is in the key of the request
    assert Image.open(io.BytesIO(data)).size == (SIDE, SIDE)
    assert base64_bytes(len(data)) <= BYTES


def test_pictures_are_small_and_no_two_are_equal() -> None:
    pictures = {word: word_picture(word, SIDE, SIDE) for word in WORDS}
    assert len(set(pictures.values())) == len(WORDS)
    assert max(base64_bytes(len(data)) for data in pictures.values()) <= BYTES


def test_every_word_is_whole_on_its_picture() -> None:
    """Nothing of it is cut at the edge: a margin around it is white."""
    for word in WORDS:
        picture = Image.open(io.BytesIO(word_picture(word, SIDE, SIDE))).convert("L")
        left, top, right, bottom = ImageOps.invert(picture).getbbox() or (0, 0, 0, 0)
        assert left >= 4, word
        assert right <= SIDE - 4, word
        assert right - left > SIDE // 4, word
        assert 0 < top < bottom < SIDE, word
