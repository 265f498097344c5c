"""The labelled images of a truth file, and which images of a job they are."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Not:
    """What is known of a field whose answer ``value`` is wrong, when nobody wrote the truth."""

    value: Any


Value = str | int | float | bool | list[Any] | Not
"""What is known of one field of one image."""


@dataclass(frozen=True, slots=True)
class Matched:
    """``index``: a labelled name -> its place among the names that were given, from 0."""

    index: Mapping[str, int]
    unmatched: tuple[str, ...] = ()
    ambiguous: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Truth:
    """``rows``: name -> {field: value}; a field that is not labelled is absent. ``fields``: all
    of them, in the order of the file; one inside another has a dotted name."""

    rows: Mapping[str, Mapping[str, Value]]
    fields: tuple[str, ...]

    def values(self, name: str) -> Iterator[Value]:
        """The labelled values of the field ``name``."""
        return (row[name] for row in self.rows.values() if name in row)

    def matched(self, names: Sequence[str]) -> Matched:
        """Find each labelled image among ``names``: by the whole name; else by the longest end of
        its path that they share, where one is a whole end of the other; else by the file name, if
        it stands for one image on both sides. A name that means several is ambiguous."""
        places = _Places(names, Counter(_parts(name)[-1] for name in self.rows))
        found = {name: places.of(name) for name in self.rows}
        taken = Counter(hits[0] for hits in found.values() if len(hits) == 1)
        alone = {n: hits[0] for n, hits in found.items() if len(hits) == 1 and taken[hits[0]] == 1}
        return Matched(
            alone,
            tuple(name for name, hits in found.items() if not hits),
            tuple(name for name, hits in found.items() if hits and name not in alone),
        )


@dataclass(slots=True)
class _Places:
    """Where names stand. ``labels``: how many labelled images have a file name."""

    names: Sequence[str]
    labels: Counter[str]
    _by_file: dict[str, list[tuple[int, tuple[str, ...]]]] = field(init=False)

    def __post_init__(self) -> None:
        self._by_file = defaultdict(list)
        for place, name in enumerate(self.names):
            parts = _parts(name)
            self._by_file[parts[-1]].append((place, parts))

    def of(self, name: str) -> list[int]:
        label = _parts(name)
        near = self._by_file.get(label[-1], [])
        if same := [place for place, parts in near if parts == label]:
            return same
        ends = [(min(len(p), len(label)), place) for place, p in near if _one_ends(p, label)]
        if ends:
            longest = max(ends)[0]
            return [place for length, place in ends if length == longest]
        only = len(near) == 1 and self.labels[label[-1]] == 1
        return [near[0][0]] if only else []


def _parts(name: str) -> tuple[str, ...]:
    """The parts of a path or an address, composed (NFC): macOS decomposes the names of files."""
    plain = unicodedata.normalize("NFC", name.strip()).replace("\\", "/")
    return tuple(part for part in plain.split("/") if part not in ("", ".")) or (plain,)


def _one_ends(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    length = min(len(one), len(other))
    return one[-length:] == other[-length:]
