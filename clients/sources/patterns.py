"""Patterns of file names: ``*``, ``?``, ``[a-z]`` inside a name, ``**`` for folders at any depth.

A pattern is matched while folders are listed, name by name, so that each folder is read once. What
is matched of a path so far is a set of states: places in the pattern.
"""

from __future__ import annotations

import fnmatch
import functools
import re
from dataclasses import dataclass
from glob import has_magic
from pathlib import PurePath

States = frozenset[int]
ANY_DEPTH = "**"


@dataclass(frozen=True, slots=True)
class Pattern:
    """The parts of a path below the base. Hidden names match only a part that begins with a dot."""

    parts: tuple[str, ...] = (ANY_DEPTH,)

    @property
    def is_deep(self) -> bool:
        return ANY_DEPTH in self.parts

    @property
    def start(self) -> States:
        """The states of the base."""
        return self._closed({0})

    def match(self, states: States, name: str) -> tuple[bool, States]:
        """Whether a file of this name in a folder in ``states`` matches, and the states of a folder
        of this name; none if nothing in it can match."""
        last = len(self.parts) - 1
        matches = False
        following: set[int] = set()
        for state in states:
            part = self.parts[state]
            if not _fits(part, name):
                continue
            matches |= state == last
            if part == ANY_DEPTH:
                following.add(state)
            elif state < last:
                following.add(state + 1)
        return matches, self._closed(following)

    def names(self, states: States, name: str) -> bool:
        """Whether the person wrote this very name."""
        return any(self.parts[state] == name for state in states)

    def is_deep_at(self, states: States) -> bool:
        """Whether everything below a folder in ``states`` matches."""
        return any(self.parts[state] == ANY_DEPTH for state in states)

    def _closed(self, states: set[int]) -> States:
        """``**`` may stand for no folder at all, so what comes after it is reached too."""
        for state in range(len(self.parts) - 1):
            if state in states and self.parts[state] == ANY_DEPTH:
                states.add(state + 1)
        return frozenset(states)


def split(pattern: str) -> tuple[str, Pattern]:
    """The folders before the first wildcard, as a path, and the pattern below them."""
    parts = PurePath(pattern).parts
    fixed = next((n for n, part in enumerate(parts[:-1]) if has_magic(part)), len(parts) - 1)
    return str(PurePath(*parts[:fixed])), Pattern(parts[fixed:])


def _fits(part: str, name: str) -> bool:
    if name.startswith(".") and not part.startswith("."):
        return False
    return part == ANY_DEPTH or _compiled(part).match(name) is not None


@functools.lru_cache(4_096)
def is_passed_over(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether one of the patterns matches the path's name; with a slash, the folder above too."""
    folded = path.casefold()
    name = folded.rpartition("/")[2]
    tail = "/".join(folded.split("/")[-2:])
    names, tails = _alternatives(patterns)
    return names.match(name) is not None or tails.match(tail) is not None


@functools.lru_cache(8)
def _alternatives(patterns: tuple[str, ...]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    folded = [pattern.casefold() for pattern in patterns]
    names = [fnmatch.translate(pattern) for pattern in folded if "/" not in pattern]
    tails = [fnmatch.translate(pattern) for pattern in folded if "/" in pattern]
    nothing = r"(?!)"
    return re.compile("|".join(names) or nothing), re.compile("|".join(tails) or nothing)


@functools.lru_cache(256)
def _compiled(part: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(part))
