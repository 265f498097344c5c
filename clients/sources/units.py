"""Which images of a job belong to one unit: a folder, a document, a day, a value of a column."""

from __future__ import annotations

import json
import urllib.parse
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from clients.sources.location import Source, is_url, system_path
from core.errors import WrongUsage
from core.images.uploaded import is_upload
from core.text.printable import printable_name, quotable

NAMES_SHOWN = 12
NAME_CHARACTERS = 200
NO_DAY = "no date"
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit: its name for people, and the indices of its images in the job's order."""

    name: str
    images: tuple[int, ...]


def grouped(sources: Sequence[Source], by: str) -> list[Unit]:
    """The units of ``sources``, in the order of their first images, with distinct names.

    A column of a table wins over the words ``folder``, ``document`` and ``date`` (the day on which
    a picture was taken, from ``facts``). Images without a date or a value are one unit. Raises
    WrongUsage for a name that is neither.
    """
    columns = {name for source in sources for name in source.facts or ()}
    if by in columns:
        return _units([_value(source, by) for source in sources], lambda value: value or f"no {by}")
    if by == "folder":
        folders = [_folder(source) for source in sources]
        return _units(folders, _short(dict.fromkeys(folders)).__getitem__)
    if by == "document":
        documents = [(source.location, _without_page(source)) for source in sources]
        return _units(documents, lambda document: document[1])
    if by == "date":
        return _units(
            [_value(source, "taken")[:10] for source in sources], lambda day: day or NO_DAY
        )
    raise WrongUsage(_unknown(by, sorted(columns)))


def _units(keys: Sequence[K], name: Callable[[K], str]) -> list[Unit]:
    images: dict[K, list[int]] = {}
    for index, key in enumerate(keys):
        images.setdefault(key, []).append(index)
    names = _distinct([name(key) for key in images])
    return [Unit(n, tuple(indices)) for n, indices in zip(names, images.values(), strict=True)]


def _distinct(names: Sequence[str]) -> list[str]:
    """``names``, of which equal ones are numbered."""
    counts, told = Counter(names), Counter[str]()
    distinct = []
    for name in names:
        told[name] += 1
        shown = quotable(name, NAME_CHARACTERS)
        distinct.append(shown if counts[name] == 1 else f"{shown} ({told[name]})")
    return distinct


def _value(source: Source, column: str) -> str:
    value: Any = (source.facts or {}).get(column)
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _without_page(source: Source) -> str:
    return source.name.removesuffix(f"[{source.page}]") if source.page else source.name


def _folder(source: Source) -> tuple[str, ...]:
    """The folder that an image is in, from the outermost on."""
    if is_upload(source.location):
        path = source.name
    elif is_url(source.location):
        parts = urllib.parse.urlsplit(source.location)
        path = f"{parts.netloc}{urllib.parse.unquote(parts.path)}"
    else:
        path = system_path(source.location)
    return tuple(part for part in path.split("/")[:-1] if part)


def _short(folders: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """The name of each folder: its last part, with as many above it as make it distinct."""
    short: dict[tuple[str, ...], str] = {}
    left, depth = list(folders), 1
    while left:
        names = {folder: "/".join(folder[-depth:]) or "/" for folder in left}
        shared = Counter(names.values())
        done = [f for f in left if shared[names[f]] == 1 or depth >= len(f)]
        short |= {folder: printable_name(names[folder]) for folder in done}
        left = [folder for folder in left if folder not in short]
        depth += 1
    return short


def _unknown(by: str, columns: Sequence[str]) -> str:
    if not columns:
        return (
            f"by: {quotable(by, 60)!r} is not folder, document or date, and no input is a table"
            " with columns (--image-column)"
        )
    shown = ", ".join(map(repr, columns[:NAMES_SHOWN]))
    more = f" and {len(columns) - NAMES_SHOWN} more" if len(columns) > NAMES_SHOWN else ""
    return (
        f"by: no table has the column {quotable(by, 60)!r}: give folder, document, date or one of"
        f" {shown}{more}"
    )
