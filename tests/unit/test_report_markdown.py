"""A model's text as blocks, spans, citations and notes of single images."""

from __future__ import annotations

import json
import time

import pytest

from overstory.report.markdown import blocks, runs, spans
from overstory.report.notes import notes_of, rest_of


@pytest.mark.parametrize(
    ("text", "expected"),
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
        ("***both*** a_b_c", [["i", [["b", ["both"]]]], " a_b_c"]),
        ("<b>&amp;</b> *", ["<b>&amp;</b> *"]),
        (
            "[text](http://a.b) ![](http://a.b/c.png) _",
            ["[text](http://a.b) ![](http://a.b/c.png) _"],
        ),
        ("<http://a.b> *", ["<http://a.b> *"]),
        (r"\[1\] \*a\*", ["[", "1", "]", " ", "*", "a", "*"]),
        ("[1-3, 2, 2-5]", [["c", [[1, 5]]]]),
    ],
)
def test_a_line_becomes_spans(text: str, expected: list[object]) -> None:
    assert spans(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("one\ntwo\n\nthree", [["p", ["one\ntwo"]], ["p", ["three"]]]),
        ("## Title ##\ntext", [["h", ["Title"]], ["p", ["text"]]]),
        ("- a\n- b [2]", [["ul", [[["t", ["a"]]], [["t", ["b ", ["c", [[2, 2]]]]]]]]]),
        ("3. a\n4. b", [["ol", [[["t", ["a"]]], [["t", ["b"]]]], 3]]),
        ("text\n* a", [["p", ["text"]], ["ul", [[["t", ["a"]]]]]]),
        ("- a\n  - b", [["ul", [[["t", ["a"]], ["ul", [[["t", ["b"]]]]]]]]]),
        ("- a\n\n- b", [["ul", [[["p", ["a"]]], [["p", ["b"]]]]]]),
        ("> a\n> - b", [["quote", [["p", ["a"]], ["ul", [[["t", ["b"]]]]]]]]),
        ("a\n---\nb", [["p", ["a"]], ["hr"], ["p", ["b"]]]),
        ("a  \nb", [["p", ["a\nb"]]]),
        ("    a", [["p", ["a"]]]),
        ("[1]: a barn", [["p", [["c", [[1, 1]]], ": a barn"]]]),
        ("> " * 40 + "a", [["pre", "> " * 40 + "a"]]),
        ("```py\nx = [1]\n```\nend", [["pre", "x = [1]"], ["p", ["end"]]]),
        ("```\nnever closed", [["pre", "never closed"]]),
        ("| a | b |\n|---|:-:|\n| 1 | 2 |", [["table", [[["a"], ["b"]], [["1"], ["2"]]]]]),
        ("| no table |\nnext", [["p", ["| no table |\nnext"]]]),
        ("#hashtag", [["p", ["#hashtag"]]]),
    ],
)
def test_a_text_becomes_blocks(text: str, expected: list[object]) -> None:
    assert blocks(text) == expected


def test_numbers_are_joined_to_runs() -> None:
    assert runs([range(9, 10), range(1, 3), range(2, 4)]) == [[1, 3], [9, 9]]
    assert runs([]) == []


HOSTILE = {
    "bold that never ends": "**a " * 25_000,
    "deep emphasis": "*a _b " * 8_000 + "b_ a* " * 8_000,
    "stars": "*" * 100_000,
    "brackets": "[" * 100_000,
    "links": "[a](" * 25_000,
    "backticks": "".join("`" * n + " " for n in range(440)),
    "quotes": ">" * 100_000,
    "bullets": "- " * 50_000,
    "nested bullets": "".join("  " * n + "- a\n" for n in range(310)),
    "rows": "|a|b|\n|-|-|\n" * 7_000,
    "lines": "a\n" * 50_000,
    "spaces": "[1] a" + " " * 99_990 + "b",
    "long ranges": "[1-99999] " * 10_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_text_costs_no_more_than_its_length(text: str) -> None:
    start = time.process_time()
    json.dumps([blocks(text), spans(text)])
    assert (
        time.process_time() - start < 5
    )  # under 1 s on an idle machine; a quadratic step takes 28


def test_notes_of_a_line_of_spaces_cost_no_more_than_its_length() -> None:
    start = time.process_time()
    assert set(notes_of(HOSTILE["spaces"], [1])) == {1}
    assert time.process_time() - start < 1


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
