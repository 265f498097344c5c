"""A shaped job's answers as blocks of a page: the object, a row an image, totals."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from core.answers.totals import value_at
from core.states import ImageStatus
from core.text.json_replies import line_of
from overstory.output.answers import Shape
from overstory.report import markdown
from overstory.report.markdown import Block, Span

Value = dict[str, Any]
ROWS_SHOWN = 200


def data_blocks(data: Any, error: str | None) -> list[Block]:
    """The one object: a row a property, what is nested as JSON below."""
    rows: list[object] = [[_plain("Property"), _plain("Value")]]
    nested: list[Block] = []
    for name, value in data.items():
        if isinstance(value, dict | list) and value:
            count = f"{len(value)} entries, below"
            rows.append([_plain(name), _plain(count)])
            shown = json.dumps(value, ensure_ascii=False, indent=2)
            nested += [["h", 3, _plain(name)], ["pre", shown]]
        else:
            rows.append([_plain(name), _told(value)])
    wrong: list[Block] = []
    if error:
        wrong = [["p", _plain(f"The object does not fit its schema: {error}")]]
    return [["table", rows], *wrong, *nested]


def each_blocks(shape: Shape, images: Sequence[Value], totals: Value | None) -> list[Block]:
    """What was answered of the first images, and totals where the answers have numbers."""
    names = [".".join(path) or "Answer" for path in shape.columns]
    rows: list[object] = [[_plain("Image"), *map(_plain, names)]]
    said = [i for i in images if i["status"] == ImageStatus.INCLUDED and i["answer"] is not None]
    for image in said[:ROWS_SHOWN]:
        cells = [_told(value_at(image["answer"], path)) for path in shape.columns]
        rows.append([markdown.spans(f"[{image['position']}]"), *cells])
    made: list[Block] = [["table", rows]]
    if len(said) > ROWS_SHOWN:
        rest = f"The answers of {len(said) - ROWS_SHOWN:,} more stand with the images below."
        made.append(["p", _plain(rest)])
    return [*made, *_totals(totals or {})]


def json_blocks(text: str) -> list[Block]:
    """JSON text, indented."""
    return [["pre", json.dumps(json.loads(text), ensure_ascii=False, indent=2)]]


def note(shape: Shape | None, answer: Any) -> str | None:
    """An image's answer as its note; None where it was not asked."""
    return None if shape is None or answer is None else line_of(answer)


def _totals(totals: Value) -> list[Block]:
    if not totals:
        return []
    rows: list[object] = [[_plain("Property"), _plain("All images together")]]
    rows += [[_plain(name), _plain(line_of(each))] for name, each in totals.items()]
    return [["h", 3, _plain("Totals")], ["table", rows]]


def _told(value: Any) -> list[Span]:
    return markdown.spans(value) if isinstance(value, str) else _plain(_shown(value))


def _shown(value: Any) -> str:
    return "" if value is None else line_of(value)


def _plain(text: str) -> list[Span]:
    """Words as they are: names of properties are no Markdown."""
    return [text]
