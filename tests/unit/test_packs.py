"""The packs that an estimate compares, and its sentence about them."""

from __future__ import annotations

import pytest

from core.account.estimate import Estimate
from core.account.packs import packs_beside
from overstory.commands.packs import Packed, sentence


@pytest.mark.parametrize(
    ("most", "given", "least", "packs"),
    [
        (60, None, 1, [60, 15, 1]),
        (60, None, 2, [60, 15, 2]),  # a canary needs a place
        (60, 5, 1, [60, 15, 5]),
        (60, 15, 1, [60, 15]),
        (60, 60, 1, [60, 15]),
        (12, 30, 1, [30, 3]),  # shows as many of 12 images as a pack of 12
        (3, None, 1, [3, 1]),
        (1, None, 1, [1]),
    ],
)
def test_the_largest_pack_stands_beside_smaller_ones(most, given, least, packs) -> None:
    assert packs_beside(most, given, least) == packs


def packed(pack: int, cost: float, seconds: float, chosen: bool = False) -> Packed:
    tokens = round(1000 / pack)
    forecast = Estimate(1, 1, 1, 1, tokens, tokens, cost, cost, "USD", seconds, "tpm")
    return Packed(pack, forecast, chosen)


@pytest.mark.parametrize(
    ("packs", "said"),
    [
        (
            [packed(60, 1.0, 100, chosen=True), packed(15, 1.12, 102)],
            "15 images a request at most would take the same time and cost 12 % more",
        ),
        (
            [packed(60, 1.0, 30, chosen=True), packed(1, 1.09, 300)],
            "1 image a request at most would take 5 min instead of 30 s and cost 9 % more",
        ),
        (
            [packed(9, 0.95, 9), packed(1, 1.0, 99, chosen=True)],
            "9 images a request at most would take 9 s instead of 2 min and cost 5 % less",
        ),
        (
            [packed(20, 0.0, 30, chosen=True), packed(10, 0.0, 30)],
            "10 images a request at most would take the same time and 100 % more tokens",
        ),
        (
            [packed(20, 1.0, 30, chosen=True), packed(10, 1.001, 30)],
            "10 images a request at most would take the same time and cost the same",
        ),
    ],
)
def test_one_sentence_says_what_another_pack_would_take(packs, said) -> None:
    assert sentence(packs) == f"{said}: --pack {said.split()[0]}"
