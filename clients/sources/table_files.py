"""Reads tables row by row: CSV, JSON Lines, Parquet. Never a whole table is in memory.

A CSV is read as spreadsheets write it: with a byte order mark or none, as UTF-8, UTF-16 or Windows
text, separated by commas, semicolons, tabs or bars, with quotes and line ends in its cells. Its
values stay text, so that 007 is no 7.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Protocol

from clients.parquet import ParquetRows
from core.errors import WrongUsage
from core.text.sanitize import storable

ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
ROW_CHARACTERS_MAX = 1_000_000
"""Of one row of a CSV or JSON Lines file. Above, a quote is missing."""
COLUMNS_MAX = 1_000
NAME_CHARACTERS_MAX = 200
INTEGER_MAX = 2**63
_CHUNK = 1 << 20
_SEPARATORS = ",;\t|"
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
Row = tuple[int, Mapping[str, Any] | str]
"""Its number, as a spreadsheet or an editor shows it, and its cells by column without the empty
ones; or the reason why it cannot be read."""


class Table(Protocol):
    """``columns``: their names, distinct and in order."""

    columns: list[str]

    def rows(self) -> Iterator[Row]:
        """Each row once, in order; rows without any value are left out. Raises WrongUsage where
        the rest of the table cannot be read."""


def is_table(name: str) -> bool:
    """Whether a file of this name is a table."""
    return PurePosixPath(name).suffix.lower() in ENDINGS


def opened(file: BinaryIO, name: str) -> Table:
    """The table in ``file``, by the ending of its ``name``. Raises WrongUsage."""
    match PurePosixPath(name).suffix.lower():
        case ".parquet":
            return _Parquet(ParquetRows(file))
        case ".jsonl" | ".ndjson":
            return _JsonLines(file)
    return _Csv(file)


# --- CSV


class _Csv:
    def __init__(self, file: BinaryIO) -> None:
        csv.field_size_limit(ROW_CHARACTERS_MAX)
        self._lines = _Lines(file)
        first = next(self._lines, "")
        if separator := _declared(first):
            first = next(self._lines, "")
        self._lines.put_back(first)
        self._separator = separator or _separator(first)
        self._records = csv.reader(self._lines, delimiter=self._separator)
        names = self._next() or []
        while names and not names[-1].strip():
            names.pop()
        self.columns = _distinct([name.strip() for name in names])
        self._number = 2 if separator else 1

    def rows(self) -> Iterator[Row]:
        while (cells := self._next()) is not None:
            self._number += 1
            if not any(cell.strip() for cell in cells):
                continue
            if len(self.columns) == 1:  # a list of URLs, which may have commas
                cells = [self._separator.join(cells).rstrip(self._separator)]
            if any(cell.strip() for cell in cells[len(self.columns) :]):
                yield (
                    self._number,
                    (
                        f"it has {len(cells)} cells, and the table has {len(self.columns)} columns:"
                        " put quotes around cells in which separators stand"
                    ),
                )
                continue
            yield self._number, _kept(zip(self.columns, cells, strict=False))

    def _next(self) -> list[str] | None:
        self._lines.begin()
        try:
            return next(self._records, None)
        except csv.Error as error:
            raise WrongUsage(f"{error}") from None


class _Lines:
    """The lines of a text file, of which one record may take so many characters."""

    def __init__(self, file: BinaryIO) -> None:
        encoding = _encoding(file)
        file.seek(0)
        self._text = io.TextIOWrapper(file, encoding, errors="replace", newline="")
        self._held: list[str] = []
        self._taken = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self._held:
            return self._held.pop()
        line = self._text.readline(ROW_CHARACTERS_MAX + 1)
        if not line:
            raise StopIteration
        self._taken += len(line)
        if self._taken > ROW_CHARACTERS_MAX:
            raise WrongUsage(
                f"a row has more than {ROW_CHARACTERS_MAX:,} characters: a quote may be missing"
            )
        return line

    def begin(self) -> None:
        """A record begins."""
        self._taken = 0

    def put_back(self, line: str) -> None:
        self._held = [line] if line else []

    def again(self) -> None:
        """Go back to the first line."""
        self._text.seek(0)
        self._held = []


def _encoding(file: BinaryIO) -> str:
    """By the mark at the start, else by the bytes: what is not UTF-8 is text of Windows, as Excel
    saves it in Europe."""
    file.seek(0)
    head = file.read(4)
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            return encoding
    if b"\0" in head[:2]:
        return "utf-16-be" if head[:1] == b"\0" else "utf-16-le"
    decoder = codecs.getincrementaldecoder("utf-8")()
    file.seek(0)
    try:
        while chunk := file.read(_CHUNK):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _declared(line: str) -> str:
    """The separator of Excel's line ``sep=;``, or empty."""
    text = line.rstrip("\r\n").strip('"')
    return text[4] if len(text) == 5 and text.lower().startswith("sep=") else ""


def _separator(header: str) -> str:
    """What separates the columns of the header: the commonest outside of quotes."""
    outside = "".join(header.split('"')[::2])
    return max(_SEPARATORS, key=outside.count)


# --- JSON Lines


class _JsonLines:
    """Its columns are those of all rows, so it is read twice."""

    def __init__(self, file: BinaryIO) -> None:
        self._lines = _Lines(file)
        names: dict[str, None] = {}
        for _, value in self._values():
            if isinstance(value, dict):
                names.update(dict.fromkeys(map(_name, value)))
                _check_columns(names)
        self.columns = list(names)

    def rows(self) -> Iterator[Row]:
        for number, value in self._values():
            if cells := value if isinstance(value, str) else _kept(value.items()):
                yield number, cells

    def _values(self) -> Iterator[tuple[int, dict[str, Any] | str]]:
        self._lines.again()
        for number, line in enumerate(self._each(), start=1):
            if not line.strip():
                continue
            try:
                value = json.loads(line, parse_constant=lambda _: None)
            except (ValueError, RecursionError):
                value = None
            is_row = isinstance(value, dict)
            yield number, value if is_row else "it is not a JSON object on one line"

    def _each(self) -> Iterator[str]:
        for line in self._lines:
            self._lines.begin()
            yield line


# --- Parquet


class _Parquet:
    def __init__(self, file: ParquetRows) -> None:
        self._file = file
        self.columns = _distinct(file.columns)

    def rows(self) -> Iterator[Row]:
        for number, cells in enumerate(self._file, start=1):
            if kept := _kept(zip(self.columns, cells, strict=True)):
                yield number, kept


# --- values


def _distinct(names: Sequence[str]) -> list[str]:
    """Names of columns: without a name by their number; the second of a name as ``name (2)``."""
    _check_columns(names)
    counts: Counter[str] = Counter()
    distinct = []
    for number, given in enumerate(map(_name, names), start=1):
        name = given or f"column {number}"
        counts[name] += 1
        distinct.append(name if counts[name] == 1 else f"{name} ({counts[name]})")
    return distinct


def _name(name: str) -> str:
    return str(storable(name.strip()[:NAME_CHARACTERS_MAX]))


def _check_columns(names: Iterable[str]) -> None:
    count = len(list(names))
    if count > COLUMNS_MAX:
        raise WrongUsage(f"it has more than {COLUMNS_MAX:,} columns: leave out what is not needed")


def _kept(cells: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The cells that have a value, as JSON knows it."""
    values = ((_name(name), _value(cell)) for name, cell in cells)
    return {name: value for name, value in values if value is not None}


def _value(cell: Any) -> Any:
    """Text, a number, true or false; None for nothing. A list or an object is its JSON."""
    match cell:
        case None | bool():
            return cell
        case str():
            return storable(cell) if cell.strip() else None
        case int():
            return cell if abs(cell) < INTEGER_MAX else str(cell)
        case float():
            return cell if math.isfinite(cell) else None
        case datetime() | date() | time():
            return cell.isoformat()
        case list() | dict():
            return storable(json.dumps(cell, ensure_ascii=False, default=str)) if cell else None
    return storable(str(cell))
