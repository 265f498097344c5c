"""A truth file as an option, and its reading: CSV, JSON Lines or Parquet that names images."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from clients.parquet import rows_of
from core.errors import WrongUsage
from core.truth.rules import RULES
from core.truth.truth import Not, Truth, Value

NAME_COLUMNS = ("file", "name", "image", "path", "filename")
"""Columns that may name the image, the first that is there."""
UNSURE = "not"
"""``{"not": X}`` in JSON Lines: the answer X is wrong, and the right one is not known."""
truth_option = click.option(
    "--truth",
    "truth_file",
    type=click.Path(path_type=Path),
    help="What you know: CSV, JSON Lines or Parquet with a column for the file name and one for"
    " each field. An empty cell is not compared.",
)
rules_option = click.option(
    "--rule",
    "rules",
    multiple=True,
    metavar="FIELD=RULE",
    help=f"How a field is compared: {', '.join(RULES)}. May be given several times. Default: by the"
    " schema, else by the values.",
)
name_column_option = click.option(
    "--name-column",
    help="Column of the file name. Default: file, name, image, path or filename.",
)
Rows = Iterator[tuple[int, dict[str, Any]]]
"""Rows with the number of their line, or of their row in Parquet."""


def truth_options(command: Any) -> Any:
    """The truth file and how it is read. The command says whether it needs one."""
    for option in (name_column_option, rules_option, truth_option):
        command = option(command)
    return command


def read_truth(path: Path, name_column: str | None = None) -> Truth:
    """The labelled images in ``path``. Its format is known by its ending, else by its content.

    Raises WrongUsage with the number of the line for what cannot be read, for an image that is
    labelled twice, and for a file in which nothing is labelled.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise WrongUsage(f"--truth {str(path)!r} cannot be read: {error.strerror}") from None
    rows: dict[str, dict[str, Value]] = {}
    lines: dict[str, int] = {}
    column = name_column
    for line, row in _rows(path, raw):
        column = column or _name_column(row, path, line)
        name = row.pop(column, None)
        if name is None or not str(name).strip():
            raise WrongUsage(f"{_at(path, line)}: there is no file name in the column {column!r}")
        if (name := str(name).strip()) in rows:
            raise WrongUsage(
                f"{_at(path, line)}: {name!r} is labelled already in line {lines[name]}"
            )
        rows[name], lines[name] = dict(_labels(row)), line
    fields = tuple(dict.fromkeys(field for row in rows.values() for field in row))
    if not fields:
        raise WrongUsage(
            f"--truth {str(path)!r} labels nothing: write a column for the file name, and one for"
            " each field that you know"
        )
    return Truth(rows, fields)


def _at(path: Path, line: int) -> str:
    return f"--truth {str(path)!r}, line {line}"


def _name_column(row: Mapping[str, Any], path: Path, line: int) -> str:
    by_folded = {name.strip().casefold(): name for name in reversed(list(row))}
    for name in NAME_COLUMNS:
        if name in by_folded:
            return by_folded[name]
    raise WrongUsage(
        f"{_at(path, line)}: no column names the file. Call it {', '.join(NAME_COLUMNS[:-1])} or"
        f" {NAME_COLUMNS[-1]}, or give --name-column. Columns: {', '.join(row) or 'none'}"
    )


def _labels(row: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Value]]:
    """Fields with what is known of them: without empty cells, the inner ones by dotted names."""
    for name, value in row.items():
        field = f"{before}{name.strip()}"
        if isinstance(value, Mapping) and set(value) == {UNSURE}:
            yield field, Not(value[UNSURE])
        elif isinstance(value, Mapping):
            yield from _labels(value, f"{field}.")
        elif _is_known(value):
            yield field, value if isinstance(value, str | int | float | list) else str(value)


def _is_known(value: Any) -> bool:
    return value is not None and bool(str(value).strip())


def _rows(path: Path, raw: bytes) -> Rows:
    ending = path.suffix.lower()
    if ending == ".parquet" or raw[:4] == b"PAR1":
        return _parquet(path, raw)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise WrongUsage(f"{_at(path, line)}: this is not UTF-8; save the file as UTF-8") from None
    is_json = ending in (".jsonl", ".ndjson") or (
        ending not in (".csv", ".tsv", ".txt") and text.lstrip().startswith("{")
    )
    return _json_lines(path, text) if is_json else _csv(path, text)


def _json_lines(path: Path, text: str) -> Rows:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            why = getattr(error, "msg", "it cannot be read")
            raise WrongUsage(f"{_at(path, number)}: not a JSON object: {why}") from None
        if not isinstance(row, dict):
            raise WrongUsage(f"{_at(path, number)}: each line must be one JSON object")
        yield number, row


def _csv(path: Path, text: str) -> Rows:
    first = text.lstrip().partition("\n")[0]
    separator = max(",;\t", key=first.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for row in reader:
            if None in row:
                raise WrongUsage(
                    f"{_at(path, reader.line_num)}: the row has more cells than there are columns;"
                    f" put cells that contain {separator!r} in quotes"
                )
            yield (
                reader.line_num,
                {name: cell for name, cell in row.items() if name and name.strip()},
            )
    except csv.Error as error:
        raise WrongUsage(f"{_at(path, reader.line_num)}: not CSV: {error}") from None


def _parquet(path: Path, raw: bytes) -> Rows:
    try:
        yield from enumerate(rows_of(raw), 1)
    except ValueError as error:  # pyarrow's errors of content are ValueErrors
        raise WrongUsage(f"--truth {str(path)!r} is not Parquet: {error}") from None
