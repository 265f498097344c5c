"""The answers of a job with a schema as blocks: the object, one row for each image, totals."""

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


def data_blocks(data: Any, error: str | None) -> list[Block]:
    """The job's object: one table row for each property; nested values follow as JSON."""
    rows: list[object] = [[_plain("Property"), _plain("Value")]]
    nested: list[Block] = []
    for name, value in data.items():
        if isinstance(value, dict | list) and value:
            rows.append([_plain(name), _plain(f"{len(value)} entries, see below")])
            nested += [["h", _plain(name)], ["pre", _indented(value)]]
        else:
            rows.append([_plain(name), _cell(value)])
    mismatch: list[Block] = []
    if error:
        mismatch = [["p", _plain(f"The object does not match its schema: {error}")]]
    return [["table", rows], *mismatch, *nested]


def each_blocks(shape: Shape, images: Sequence[Value], totals: Value | None) -> list[Block]:
    """The answers about all images as one table, and the totals if there are any.

    ``["answers", columns, rows]``: a row has the image's number and a value for each column. The
    page sorts, filters and saves it.
    """
    columns = [".".join(path) or "Answer" for path in shape.columns]
    rows: list[object] = [
        [image["position"], *cells(shape, image["answer"])]
        for image in images
        if image["status"] == ImageStatus.INCLUDED and image["answer"] is not None
    ]
    return [["answers", columns, rows], *totals_blocks(totals or {})]


def cells(shape: Shape, answer: Any) -> list[Any]:
    """The values of one answer, in the order of the shape's columns."""
    return [_value(value_at(answer, path)) for path in shape.columns]


def json_blocks(text: str) -> list[Block]:
    """JSON text, indented."""
    return [["pre", _indented(json.loads(text))]]


def note(shape: Shape | None, answer: Any) -> str | None:
    """An image's answer as its note; None if no question was asked about each image."""
    return None if shape is None or answer is None else line_of(answer)


def totals_blocks(totals: Value, of: str = "images") -> list[Block]:
    if not totals:
        return []
    rows: list[object] = [[_plain("Property"), _plain(f"All {of} together")]]
    rows += [[_plain(name), _plain(line_of(total))] for name, total in totals.items()]
    return [["h", _plain("Totals")], ["table", rows]]


def _indented(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def _cell(value: Any) -> list[Span]:
    if isinstance(value, str):
        return markdown.spans(value)
    return _plain("" if value is None else line_of(value))


def _value(value: Any) -> Any:
    """A number, a yes or no, or a text: what a cell of the table of answers holds."""
    if value is None or isinstance(value, bool | int | float):
        return value
    return value if isinstance(value, str) else line_of(value)


def _plain(text: str) -> list[Span]:
    """``text`` unchanged: property names are not Markdown."""
    return [text]
