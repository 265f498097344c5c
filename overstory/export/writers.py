"""Rows as text: JSON lines, CSV without spreadsheet formulas, Markdown with escaped cells.

It comes in pieces, a row or the head of a table each: the memory does not grow with the rows.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from overstory.export.rows import Export

_FORMULA = re.compile(r"^[\s\x00]*[=+\-@＝＋－＠]|^[\t\r\n]")
"""Text that a spreadsheet would run as a formula; full-width signs count too."""
_INNER = re.compile(r"(?<!^)([;\t][ ]*)(?=[=+\-@＝＋－＠])")
"""Where such text begins for a spreadsheet that takes semicolons or tabs for separators."""
_MARKDOWN = re.compile(r"([\\`*\[\]<>|~#]|(?<!\w)_|_(?!\w))")
_BREAK = re.compile(r"\r\n|\r|\n")
ORDER_MARK = "\ufeff"
"""Without it Excel reads a CSV file in the old encoding of the user's country."""


def jsonl(export: Export, ascii_only: bool) -> Iterator[str]:
    for row in export.rows():
        yield json.dumps(row, ensure_ascii=ascii_only) + "\n"


def csv_text(export: Export, ascii_only: bool) -> Iterator[str]:
    line = io.StringIO(newline="")
    writer = csv.writer(line, lineterminator="\r\n")

    def written(cells: list[Any]) -> str:
        line.seek(0)
        line.truncate()
        writer.writerow([safe(cell) for cell in cells])
        return line.getvalue()

    yield written([column.name for column in export.columns])
    for row in export.rows():
        yield written(export.cells(row))


def safe(cell: Any) -> Any:
    """A cell for a spreadsheet: text that looks like a formula gets an apostrophe in front; numbers
    stay numbers."""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, str):
        text = _INNER.sub(r"\1'", cell.replace("\x00", ""))
        return f"'{text}" if _FORMULA.match(text) else text
    return cell


def markdown(export: Export, ascii_only: bool) -> Iterator[str]:
    names = [column.name for column in export.columns]
    yield _line(names) + _line(["---"] * len(names), plain=True)
    for row in export.rows():
        yield _line(["" if cell is None else cell_text(cell) for cell in export.cells(row)])


def cell_text(cell: Any) -> str:
    return str(safe(cell)) if isinstance(cell, bool) else str(cell)


def _line(cells: list[str], plain: bool = False) -> str:
    shown = cells if plain else [_BREAK.sub("<br>", _MARKDOWN.sub(r"\\\1", cell)) for cell in cells]
    return f"| {' | '.join(shown)} |\n"


WRITERS: dict[str, Callable[[Export, bool], Iterator[str]]] = {
    "jsonl": jsonl,
    "csv": csv_text,
    "markdown": markdown,
}
"""By format. The second value: the text is for a terminal, which no character of a name or answer
may control. JSON lines are ASCII then; the other formats are printed by way of ``safe``."""
