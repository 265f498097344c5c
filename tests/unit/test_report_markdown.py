"""A model's text as blocks, spans, citations and notes of single images."""

from __future__ import annotations

import pytest

from overstory.report.markdown import blocks, runs, spans
from overstory.report.notes import notes_of, rest_of


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("plain", ["plain"]),
        ("a [17] b", ["a ", ["c", [[17, 17]]], " b"]),
        ("[3-5, 9]", [["c", [[3, 5], [9, 9]]]]),
        ("[1], [2], [7].", [["c", [[1, 2], [7, 7]]], "."]),
        ("[1] [2] and [3]", [["c", [[1, 2]]], " and ", ["c", [[3, 3]]]]),
        ("[1], then", [["c", [[1, 1]]], ", then"]),
        ("[not a number]", ["[not a number]"]),
        ("**bold [4]** end", [["b", ["bold ", ["c", [[4, 4]]]]], " end"]),
        ("*lean* `a*b*c`", [["i", ["lean"]], " ", ["code", "a*b*c"]]),
        ("2 * 3 * 4", ["2 * 3 * 4"]),
        ("<b>&amp;</b>", ["<b>&amp;</b>"]),
    ],
)
def test_a_line_becomes_spans(text: str, made: list[object]) -> None:
    assert spans(text) == made


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("", []),
        ("one\ntwo\n\nthree", [["p", ["one\ntwo"]], ["p", ["three"]]]),
        ("## Title ##\ntext", [["h", 2, ["Title"]], ["p", ["text"]]]),
        ("- a\n- b [2]", [["ul", [["a"], ["b ", ["c", [[2, 2]]]]]]]),
        ("1. a\n2) b", [["ol", [["a"], ["b"]]]]),
        ("text\n* a", [["p", ["text"]], ["ul", [["a"]]]]),
        ("```py\nx = [1]\n```\nend", [["pre", "x = [1]"], ["p", ["end"]]]),
        ("```\nnever closed", [["pre", "never closed"]]),
        ("| a | b |\n|---|:-:|\n| 1 | 2 |", [["table", [[["a"], ["b"]], [["1"], ["2"]]]]]),
        ("| no table |\nnext", [["p", ["| no table |\nnext"]]]),
        ("#hashtag", [["p", ["#hashtag"]]]),
    ],
)
def test_a_text_becomes_blocks(text: str, made: list[object]) -> None:
    assert blocks(text) == made


def test_numbers_are_joined_to_runs() -> None:
    assert runs([9, 1, 2, 3, 2]) == [[1, 3], [9, 9]]
    assert runs([]) == []


NOTES = """Two barns and a car.
[1] a red barn
- [2]: another **barn**
**[3]** – a blue car. It is old.
The barns [1, 2] stand alone. [3] is apart from [1-40]."""


def test_a_line_that_begins_with_one_number_is_that_images_note() -> None:
    assert notes_of(NOTES, range(1, 5)) == {
        1: "a red barn",
        2: "another **barn**",
        3: "a blue car. It is old.",
    }


def test_without_a_line_an_image_gets_sentences_those_about_few_images_first() -> None:
    text = "Barns [1, 2, 3]. Red ones [1]. Many [1-40]."
    assert notes_of(text, [1, 2]) == {1: "Red ones [1]. Barns [1, 2, 3].", 2: "Barns [1, 2, 3]."}


def test_notes_are_returned_only_for_the_requested_images() -> None:
    assert set(notes_of(NOTES, [2, 99])) == {2}


def test_the_remaining_text_is_about_all_images() -> None:
    left = "Two barns and a car.\nThe barns [1, 2] stand alone. [3] is apart from [1-40]."
    assert rest_of(NOTES) == left
