"""Replies keyed by image number: complete entries are kept, nothing is guessed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.answers.json_schema import fill_positions
from core.text.json_replies import entries, line_of


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"1": "red", "2": "blue"}', {"1": "red", "2": "blue"}),
        ('```json\n{"1": "red"}\n```', {"1": "red"}),
        ('Here it is: {"1": {"a": [1]}} - good luck', {"1": {"a": [1]}}),
        ('{"[1]": "red", " 2 ": "blue"}', {"1": "red", "2": "blue"}),
        ('{"1": "red", "2": "bl', {"1": "red"}),
        ('{"1": "red", "2": {"a": 1', {"1": "red"}),
        ('{"1": 12', {}),
        ('{"1": 12}', {"1": 12}),
        ('{"1": "red", "1": "blue", "2": "x"}', {"2": "x"}),
        ('{"1": "red", "1": "red"}', {"1": "red"}),
        ('{"1": NaN, "2": "x"}', {}),
        ('{"1": 1e999}', {}),
        ('{"1": ' + "9" * 4_000 + ', "2": "x"}', {}),
        (r'{"1": "a boat \ud83d", "2": "\ud83d\ude00"}', {"1": "a boat \ufffd", "2": "\U0001f600"}),
        (r'{"1": {"a\u0000": ["\u0000b"]}}', {"1": {"a\ufffd": ["\ufffdb"]}}),
        ('{"1": "red" "2": "blue"}', {"1": "red", "2": "blue"}),
        ("[1, 2]", {}),
        ("no JSON at all", {}),
        ("", {}),
        ("{" * 100_000, {}),
        ('{"1": ' + "[" * 100_000, {}),
    ],
)
def test_complete_entries_are_read(text: str, found: dict[str, Any]) -> None:
    assert entries(text) == found


@given(st.text())
def test_the_reader_accepts_any_text(text: str) -> None:
    assert isinstance(entries("{" + text), dict)


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("two\nlines  here", "two lines here"),
        ({"total": 12.5, "shop": "Café"}, "total: 12.5; shop: Café"),
        ({"items": [{"a": 1}, {"a": 2}], "none": None}, "items: (a: 1), (a: 2); none: null"),
        (["x", "y"], "x, y"),
        (True, "true"),
    ],
)
def test_an_answer_is_one_line(value: Any, line: str) -> None:
    assert line_of(value) == line


def test_positions_are_filled_in_wherever_the_schema_has_them() -> None:
    image = {"type": "integer", "x-image": True}
    item = {"type": "object", "properties": {"image": image, "label": {"type": "string"}}}
    root = {
        "type": "object",
        "properties": {"at": image, "items": {"type": "array", "items": {"$ref": "#/$defs/I"}}},
        "$defs": {"I": item},
    }
    said = {"items": [{"label": "a", "image": 999}, {"label": "b"}], "at": 999}
    assert fill_positions(root, root, said, 17) == {
        "at": 17,
        "items": [{"image": 17, "label": "a"}, {"image": 17, "label": "b"}],
    }
