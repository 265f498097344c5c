"""Rows as text: JSON lines, CSV that no spreadsheet runs, Markdown that stays a table."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from typing import Any, TextIO

from overstory.export.rows import Export

_FORMULA = re.compile(r"^[\s\x00]*[=+\-@＝＋－＠]|^[\t\r\n]")
"""What makes a spreadsheet take a text for a formula, in either width."""
_MARKDOWN = re.compile(r"([\\`*\[\]<>|~#]|(?<!\w)_|_(?!\w))")
_BREAK = re.compile(r"\r\n|\r|\n")
ORDER_MARK = "\ufeff"
"""Without it Excel reads a CSV file as what its country used before Unicode."""


def jsonl(export: Export, out: TextIO) -> None:
    for row in export.rows():
        out.write(json.dumps(row, ensure_ascii=False) + "\n")


def csv_text(export: Export, out: TextIO) -> None:
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([safe(column.name) for column in export.columns])
    for row in export.rows():
        writer.writerow([safe(cell) for cell in export.cells(row)])


def safe(cell: Any) -> Any:
    """A cell that spreadsheets take for what it is: a text that looks like a formula gets an
    apostrophe in front; numbers stay numbers."""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, str):
        text = cell.replace("\x00", "")
        return f"'{text}" if _FORMULA.match(text) else text
    return cell


def markdown(export: Export, out: TextIO) -> None:
    names = [column.name for column in export.columns]
    out.write(_line(names) + _line(["---"] * len(names), plain=True))
    for row in export.rows():
        out.write(_line(["" if cell is None else safe_words(cell) for cell in export.cells(row)]))


def safe_words(cell: Any) -> str:
    return str(safe(cell)) if isinstance(cell, bool) else str(cell)


def _line(cells: list[str], plain: bool = False) -> str:
    shown = cells if plain else [_BREAK.sub("<br>", _MARKDOWN.sub(r"\\\1", cell)) for cell in cells]
    return f"| {' | '.join(shown)} |\n"


WRITERS: dict[str, Callable[[Export, TextIO], None]] = {
    "jsonl": jsonl,
    "csv": csv_text,
    "markdown": markdown,
}
