"""Numbers in text: input numbers are accepted, all others are detected."""

from __future__ import annotations

import pytest

from core.text.numbers import numbers_in, unbacked, without_unbacked

GIVEN = numbers_in('{"total": 1234.56, "count": 12, "share": 0.3333, "year": 2026}')


@pytest.mark.parametrize(
    ("text", "false"),
    [
        ("12 receipts come to 1234.56.", []),
        ("They come to 1,234.56 or 1.234,56.", []),
        ("About 1234.6 in all.", []),
        ("A share of 0.33.", []),
        ("Seen on [1], [3-7] and [99].", []),
        ("There are 13 receipts.", ["13"]),
        ("In all 987654.", ["987654"]),
        ("Roughly 1,200.", ["1,200"]),
        ("A4 paper, IMG_2044.jpg and 3D", []),
        ("No number at all", []),
    ],
)
def test_a_number_that_is_not_in_the_input_is_detected(text: str, false: list[str]) -> None:
    assert unbacked(text, GIVEN) == false


def test_a_sentence_with_an_invented_number_is_removed() -> None:
    text = "12 receipts [1]. They come to 99.99! Most are from 2026 [2]."
    assert without_unbacked(text, GIVEN) == "12 receipts [1]. Most are from 2026 [2]."
    assert without_unbacked("There are 13.", GIVEN) == ""
