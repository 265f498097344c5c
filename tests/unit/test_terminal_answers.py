"""An answer on a terminal: broken between words, with the files behind its numbers."""

from __future__ import annotations

import pytest

from overstory.output.cited import first_cited
from overstory.output.terminal import wrapped


@pytest.mark.parametrize("columns", [24, 40, 80])
def test_no_line_breaks_inside_a_citation_or_a_word(columns: int) -> None:
    words = ["Mostly", "brown,", "dim", *(f"[{n}]," for n in range(95, 130)), "[130]"]
    lines = wrapped(" ".join(words), columns).split("\n")
    assert max(map(len, lines)) <= columns
    assert " ".join(lines).split() == words


def test_lines_and_indents_of_the_text_stay() -> None:
    text = 'First [1].\n\n  {\n    "total": 3\n  }'
    assert wrapped(text, 80) == text


@pytest.mark.parametrize(
    ("text", "cited"),
    [
        ("no number", []),
        ("[3] and [1], again [3]", [3, 1]),
        ("[2-4, 9]", [2, 3, 4, 9]),
        ("[1-99999] [7]", [1, 2, 3, 4, 5]),
    ],
)
def test_the_first_cited_images_are_found_without_counting_all(text: str, cited: list[int]) -> None:
    assert first_cited(text, 5) == cited
