"""What a leaf's text says of each image: the notes a citation leads to."""

from __future__ import annotations

import re
from collections.abc import Collection

from core.text.citations import cited_numbers

_SENTENCE = re.compile(r"(?<=[.!?。！？])\s+")
_OWN_LINE = re.compile(
    r"\s*(?:(?:[-*+•]|\d{1,4}[.)])\s+)?\**\[\s*(\d{1,9})\s*\]\**[ \t:.–—-]*(\S.*?)\s*$"
)
SENTENCES_MAX = 3
"""Of an image without a line of its own: the first sentences that cite it say enough."""
CITED_TOGETHER_MAX = 12
"""A sentence about more images than this says little about each."""


def notes_of(text: str, positions: Collection[int]) -> dict[int, str]:
    """A note for each of ``positions`` that ``text`` says something of.

    A line that begins with one image's number is its note. Where an image has none, sentences that
    cite it stand in, those about few images first.
    """
    wanted = frozenset(positions)
    own: dict[int, list[str]] = {}
    others: dict[int, list[tuple[int, str]]] = {}
    for line in text.splitlines():
        number, words = _headed(line)
        if number in wanted and words:
            own.setdefault(number, []).append(words)
            continue
        for sentence in _SENTENCE.split(line):
            cited = cited_numbers(sentence)
            if len(cited) <= CITED_TOGETHER_MAX:
                for each in wanted.intersection(cited):
                    others.setdefault(each, []).append((len(cited), sentence.strip()))
    sentences = {n: _first(found) for n, found in others.items()}
    return sentences | {number: "\n".join(lines) for number, lines in own.items()}


def rest_of(text: str) -> str:
    """``text`` without the lines that are one image's own note."""
    return "\n".join(line for line in text.splitlines() if not _headed(line)[1]).strip()


def _first(found: list[tuple[int, str]]) -> str:
    return " ".join(words for _, words in sorted(found, key=lambda one: one[0])[:SENTENCES_MAX])


def _headed(line: str) -> tuple[int, str]:
    """(number, words) of a line like ``- [17] A red barn``; (0, "") of any other."""
    match = _OWN_LINE.match(line)
    return (int(match[1]), match[2]) if match else (0, "")
