"""The eyes' reading of words into fields and replies, without OCR."""

from __future__ import annotations

import base64
import io
import json
import math

import pytest
from PIL import Image

from benchmarks.eyes import fields
from benchmarks.eyes.replies import BadRequest, answer
from benchmarks.eyes.rows import Row, Word, rows_of

RECEIPT = ["Café Soleil", "2026-01-26", "Receipt No. 5552459", "Rice 1.20", "Subtotal 1.20"]
ROWS = [Row(text, 0.99) for text in [*RECEIPT, "TOTAL 1,167.83"]]


@pytest.mark.parametrize("degrees", [-4.0, 0.0, 0.4, 4.0])
def test_the_words_of_a_turned_page_come_back_as_its_rows(degrees: float) -> None:
    turn = math.radians(degrees)
    words = [
        Word(text, 0.9, x * math.cos(turn) - y * math.sin(turn),
             x * math.sin(turn) + y * math.cos(turn), 120, 30, turn + 0.008)
        for y in range(0, 480, 48)
        for x, text in ((100, f"item {y}"), (600, f"price {y}"))
    ]  # fmt: skip
    assert [row.text for row in rows_of(words)] == [
        f"item {y} price {y}" for y in range(0, 480, 48)
    ]


def test_tall_boxes_of_small_print_do_not_run_into_one_row() -> None:
    words = [
        Word(text, 0.9, x, y, 60, 20, 0.012)
        for y in range(0, 160, 16)
        for x, text in ((40, f"item {y}"), (340, f"price {y}"))
    ]
    assert [row.text for row in rows_of(words)] == [
        f"item {y} price {y}" for y in range(0, 160, 16)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("TOTAL 1,234.50", [1234.5]), ("Summe 12,00 EUR", [12.0]), ("1.234,50", [1234.5]),
     ("2026.01.05", []), ("3 x 2.00 6.00", [2.0, 6.0]), ("TOTAL", [])],
)  # fmt: skip
def test_amounts_are_read_with_point_and_comma(text: str, expected: list[float]) -> None:
    assert fields.amounts(text) == expected


def test_a_receipt_is_read_field_by_field() -> None:
    found = fields.read(ROWS, ["shop", "date", "number", "total", "prices", "colour"])
    assert {name: one and one.value for name, one in found.items()} == {
        "shop": "Café Soleil", "date": "2026-01-26", "number": "5552459", "total": 1167.83,
        "prices": [1.2], "colour": None,
    }  # fmt: skip
    assert fields.unclear(found) == ["colour"]


def test_greek_capitals_are_read_whichever_alphabet_recognition_chose() -> None:
    rows = [Row("AP. 5480118", 0.99), Row("ΣYNOΛO 319.43", 0.7)]
    found = fields.read(rows, ["number", "total"])
    assert [one and one.value for one in found.values()] == ["5480118", 319.43]
    assert fields.unclear(found) == ["total"]


def _request(count: int, **more: object) -> dict[str, object]:
    out = io.BytesIO()
    Image.new("RGB", (280, 280)).save(out, "JPEG")
    url = "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
    content: list[dict[str, object]] = []
    for number in range(1, count + 1):
        content.append({"type": "text", "text": f"Image {number}:"})
        content.append({"type": "image_url", "image_url": {"url": url, "detail": "low"}})
    return {"messages": [{"role": "user", "content": content}], **more}


def _schema(*names: str, also: tuple[str, ...] = ()) -> dict[str, object]:
    one = {"type": "object", "properties": {name: {} for name in names}}
    keys = {"1": {"$ref": "#/$defs/answer"}} | {key: {"type": "array"} for key in also}
    schema = {"type": "object", "properties": keys, "$defs": {"answer": one}}
    return {"type": "json_schema", "json_schema": {"name": "answers", "schema": schema}}


def test_a_schema_is_answered_by_its_keys_and_says_what_was_unclear() -> None:
    asked = _request(1, response_format=_schema("total", "colour", also=("unclear",)))
    given = answer(asked, lambda _: ROWS)
    assert json.loads(given.text) == {
        "1": {"total": 1167.83, "colour": None},
        "unclear": [{"image": 1, "fields": ["colour"]}],
    }
    assert given.prompt_tokens >= 100


def test_notes_have_a_line_for_each_image_and_reach_the_root() -> None:
    notes = answer(_request(2), lambda _: ROWS).text
    assert [line[:3] for line in notes.splitlines()] == ["[1]", "[2]"]
    asked = {"messages": [{"role": "user", "content": f"<notes>\n{notes}\n</notes>"}]}
    assert answer(asked, lambda _: ROWS).text == notes


def test_a_reply_is_cut_where_its_room_ends() -> None:
    given = answer(_request(2, max_tokens=10), lambda _: ROWS)
    assert (given.finish, len(given.text)) == ("length", 30)


@pytest.mark.parametrize("url", ["https://example.org/a.jpg", "data:image/jpeg;base64,***"])
def test_what_is_not_an_inline_image_is_refused(url: str) -> None:
    content = [{"type": "image_url", "image_url": {"url": url}}]
    with pytest.raises(BadRequest):
        answer({"messages": [{"role": "user", "content": content}]}, lambda _: ROWS)


def test_more_images_than_allowed_are_refused_with_the_number() -> None:
    with pytest.raises(BadRequest, match="max allowed is 3"):
        answer(_request(4), lambda _: ROWS, most_images=3)
