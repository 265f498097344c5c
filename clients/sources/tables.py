"""Tables among the inputs of a job: each row names an image, and its other cells are facts of it.

A cell names what any input may name, in the same way and under the same rules, but for folders and
patterns: a row is about one image or one document. A row that cannot be used is an image that
fails, with the number of the row. Where no row can be used, the job is refused.
"""

from __future__ import annotations

import itertools
import os
import tempfile
import urllib.parse
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from io import BufferedReader
from pathlib import Path
from typing import Any

from clients import local_files
from clients.local_files import Place
from clients.sources import buckets, table_files
from clients.sources.download import FetchRules, fetch_file
from clients.sources.facts import Facts
from clients.sources.location import Source, is_url
from clients.sources.names import url_name
from clients.sources.original import copied
from clients.sources.refused_rows import refused_row
from clients.sources.table_files import Table, is_table
from clients.uploads import Uploads, local
from core.errors import ImageRefused, WrongUsage
from core.images.inputs import ENTRIES_MAX, InputRules
from core.images.objects import is_object
from core.images.uploaded import SCHEME, is_sha256, is_upload, owned, parse_upload
from core.requests.facts import RESERVED
from core.text.printable import printable, shortened

AT_ONCE = 500
"""Rows that are looked up together: uploads of a bucket take a request for each."""
FACTS_BYTES_MAX = 65_536
"""Of one image, as JSON."""
COLUMNS_SHOWN = 40
NAME_SHOWN = 200


@dataclass(frozen=True, slots=True)
class TableRules:
    """How a job reads tables. ``column``: the one with the images, None if none was named.
    ``wanted``: facts that some table must have. ``fetch``: how a table behind a URL is read."""

    column: str | None = None
    wanted: tuple[str, ...] = ()
    fetch: FetchRules = field(default_factory=FetchRules)


NO_TABLES = TableRules()
Expanded = list[Source] | WrongUsage
"""The images that a cell names, or why it names none that can be used."""
Expander = Callable[[Sequence[str]], Iterator[Expanded]]


@dataclass(frozen=True, slots=True)
class TableInput:
    """A table among the inputs. ``shown``: its name for people; ``base``: the folder or the URL
    that its rows are relative to, None for an upload; ``owner``: of an upload; ``is_own``: it is
    the file of a person's own command."""

    shown: str
    table: Table
    column: str
    base: str | None
    owner: str | None
    is_own: bool

    def sources(self, expander: Expander) -> list[Source]:
        """The images of all rows. Raises WrongUsage, with the first reason, if no row names one
        that is there."""
        sources: list[Source] = []
        usable, first = False, ""
        rows = self._rows()
        while batch := list(itertools.islice(rows, AT_ONCE)):
            named = iter(expander([row.text for row in batch if not row.reason]))
            for row in batch:
                images = WrongUsage(row.reason) if row.reason else _about_one(next(named))
                if isinstance(images, WrongUsage):
                    first = first or f"row {row.number:,}: {images}"
                    sources.append(refused_row(self.shown, row.number, str(images), row.facts))
                elif _is_missing(images[0]):
                    first = first or f"row {row.number:,}: {_quoted(row.text)} does not exist"
                    name = f"{images[0].name} (row {row.number:,})"
                    sources.append(replace(images[0], name=name, facts=row.facts))
                else:
                    usable = True
                    sources += [replace(image, facts=row.facts) for image in images]
        if not usable:
            reason = first or "it has no rows"
            raise WrongUsage(f"the table {self.shown!r} names no image that is there; {reason}")
        return sources

    def _rows(self) -> Iterator[_Row]:
        rows = self.table.rows()
        for count in itertools.count(1):
            try:
                number, cells = next(rows)
            except StopIteration:
                return
            except WrongUsage as error:
                raise WrongUsage(f"{self.shown!r}, row {count + 1:,} or later: {error}") from None
            if count > ENTRIES_MAX:
                raise WrongUsage(f"{self.shown!r} has more than {ENTRIES_MAX:,} rows: divide it")
            yield self._row(number, cells)

    def _row(self, number: int, cells: Mapping[str, Any] | str) -> _Row:
        if isinstance(cells, str):
            return _Row(number, "", cells, None)
        others = {name: value for name, value in cells.items() if name != self.column}
        facts = Facts(others) if others else None
        if facts is not None and facts.bytes > FACTS_BYTES_MAX:
            reason = f"its cells have {facts.bytes:,} bytes together, more than {FACTS_BYTES_MAX:,}"
            return _Row(number, "", reason, None)
        text = str(cells.get(self.column, "")).strip()
        try:
            return _Row(number, self._absolute(text), "", facts)
        except WrongUsage as error:
            return _Row(number, "", str(error), facts)

    def _absolute(self, text: str) -> str:
        """What a cell names, as an input. Raises WrongUsage."""
        if not text:
            raise WrongUsage(f"column {self.column!r} is empty")
        if is_upload(text):
            return self._upload(text)
        if self.base is None or not is_url(self.base):
            return self._path(text)
        try:
            joined = urllib.parse.urljoin(self.base, text)
        except ValueError:
            joined = ""
        if "://" not in joined or joined.lower().startswith("file:"):
            raise WrongUsage(f"{_quoted(text)} is not a URL: a table from the web names URLs alone")
        return joined

    def _path(self, text: str) -> str:
        if "://" in text or os.path.isabs(text):  # noqa: PTH117 - text
            return text
        if self.base is None:
            raise WrongUsage(
                f"{_quoted(text)} is a relative path, and an uploaded table has no folder: name"
                " URLs or uploads"
            )
        path = os.path.join(self.base, text)  # noqa: PTH118 - text
        if "\\" in text and not os.path.lexists(path):
            return os.path.join(self.base, text.replace("\\", "/"))  # noqa: PTH118
        return path

    def _upload(self, text: str) -> str:
        """A table may name uploads of its own owner, also without that name, as the owner knows
        them; a person's own table those of all."""
        if self.owner is not None and is_sha256(text.removeprefix(SCHEME).partition("/")[0]):
            return owned(text, self.owner)
        owner = parse_upload(text).owner
        if not self.is_own and owner != self.owner:
            raise WrongUsage(f"{_quoted(text)} is an upload of somebody else")
        return text


@dataclass(frozen=True, slots=True)
class _Row:
    """A row: the input that it names, or the ``reason`` why it names none."""

    number: int
    text: str
    reason: str
    facts: Facts | None


@dataclass(frozen=True, slots=True)
class Opening:
    """How tables are opened. ``place``: of a local file; it raises WrongUsage for one that may not
    be an input. ``rules``: which buckets may be read."""

    place: Callable[[str], Place]
    uploads: Uploads | None
    max_bytes: int
    rules: InputRules


def tables_among(
    inputs: Sequence[str], rules: TableRules, opening: Opening, held: ExitStack
) -> dict[str, TableInput]:
    """The tables among ``inputs``, open as long as ``held``. Raises WrongUsage for a table that
    cannot be read or has no such column, and for a wanted fact that none of them has."""
    tables: dict[str, TableInput] = {}
    for text in dict.fromkeys(inputs):
        if is_table(_name(text)):
            try:
                tables[text] = _opened(text, rules, opening, held)
            except ImageRefused as error:
                raise WrongUsage(f"the table {_shown(text)!r} cannot be read: {error}") from None
    if rules.column is not None and not tables:
        raise WrongUsage(
            "--image-column (image_column) names a column, and no table is among the inputs: give"
            f" a file that ends in {', '.join(table_files.ENDINGS)}"
        )
    return tables


def check_facts(wanted: Sequence[str], columns: Collection[str]) -> None:
    """Raises WrongUsage for facts to be shown that no image can have."""
    unknown = [name for name in wanted if name not in columns and name not in RESERVED]
    if unknown:
        there = f"; the tables have {_listed(columns)}" if columns else ", and no table is given"
        raise WrongUsage(
            f"--with (with): there is no fact {_quoted(unknown[0])}: every image may have name,"
            f" taken and gps{there}"
        )


def columns_of(tables: Collection[TableInput]) -> tuple[str, ...]:
    """The facts that the rows may have, each once."""
    names = (name for it in tables for name in it.table.columns if name != it.column)
    return tuple(dict.fromkeys(names))


def _about_one(images: Expanded) -> Expanded:
    """``images``, if they are all of one file: what holds several files is a folder."""
    if not isinstance(images, WrongUsage) and len({image.location for image in images}) > 1:
        return WrongUsage("it names several images, and a row is about one image or one document")
    return images


def _is_missing(image: Source) -> bool:
    return image.bytes is None and not is_url(image.location)


def _opened(text: str, rules: TableRules, opening: Opening, held: ExitStack) -> TableInput:
    file, base, owner = _file(text, rules, opening, held)
    shown = _shown(text)
    try:
        table = table_files.opened(file, _name(text))
    except WrongUsage as error:
        raise WrongUsage(f"the table {shown!r} cannot be read: {error}") from None
    if not table.columns:
        raise WrongUsage(f"the table {shown!r} has no columns: its first row names them")
    there = f"its columns are {_listed(table.columns)}"
    if rules.column is None:
        raise WrongUsage(
            f"{shown!r} is a table: name its column with the images by --image-column"
            f" (image_column); {there}"
        )
    if rules.column not in table.columns:
        raise WrongUsage(f"{shown!r} has no column {_quoted(rules.column)}; {there}")
    is_own = not (is_url(text) or owner or opening.rules.roots is not None)
    return TableInput(shown, table, rules.column, base, owner, is_own)


def _file(
    text: str, rules: TableRules, opening: Opening, held: ExitStack
) -> tuple[BufferedReader, str | None, str | None]:
    """The open table; the folder or URL that its rows are relative to; the owner of an upload.
    Raises ImageRefused, WrongUsage."""
    if is_url(text):
        folder = held.enter_context(tempfile.TemporaryDirectory(prefix="overstory-"))
        path = fetch_file(text, into=Path(folder), rules=rules.fetch)
        return held.enter_context(local_files.opened(path, opening.max_bytes))[0], text, None
    if is_upload(text) and opening.uploads is not None:
        upload = parse_upload(text)
        copy = local(opening.uploads, upload.owner, upload.sha256, opening.max_bytes)
        path = held.enter_context(copy)
        file, _ = held.enter_context(local_files.opened(path, opening.max_bytes))
        return file, None, upload.owner
    if is_object(text):
        location = buckets.checked(text, opening.rules).location
        path = held.enter_context(copied(location, None, opening.max_bytes))
        file, _ = held.enter_context(local_files.opened(path, opening.max_bytes))
        return file, location.rpartition("/")[0], None
    place = opening.place(text)
    file, _ = held.enter_context(local_files.opened(place, opening.max_bytes))
    return file, os.path.dirname(place.path), None  # noqa: PTH120 - text


def _name(text: str) -> str:
    """The name of a file by which its kind is known."""
    if not is_url(text):
        return text
    try:
        parts = urllib.parse.urlsplit(text)
    except ValueError:
        return ""
    values = [value for _, value in urllib.parse.parse_qsl(parts.query)]
    names = [urllib.parse.unquote(parts.path), *values]
    return next((name for name in names if is_table(name)), "")


def _shown(text: str) -> str:
    if is_upload(text):
        return parse_upload(text).name
    return url_name(text) if is_url(text) else shortened(printable(text), 400)


def _quoted(text: str) -> str:
    return repr(shortened(printable(text), NAME_SHOWN))


def _listed(columns: Collection[str]) -> str:
    shown = [_quoted(name) for name in list(columns)[:COLUMNS_SHOWN]]
    more = len(columns) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
