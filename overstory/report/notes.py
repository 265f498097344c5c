"""What a leaf's text says about each image: the notes that a citation links to."""

from __future__ import annotations

import re
from collections.abc import Collection

from core.text.citations import cited_numbers

_SENTENCE = re.compile(r"(?<=[.!?。！？])\s+")
_OWN_LINE = re.compile(r"(?:(?:[-*+•]|\d{1,4}[.)])\s+)?\**\[\s*(\d{1,9})\s*\]\**[ \t:.–—-]*(\S.*)")
SENTENCES_MAX = 3
"""For an image without a line of its own: this many sentences that cite it."""
CITED_TOGETHER_MAX = 12
"""A sentence about more images than this says little about each."""


def notes_of(text: str, positions: Collection[int]) -> dict[int, str]:
    """The note on each of ``positions`` that ``text`` mentions.

    A line that begins with an image's number is its note. An image without such a line gets the
    sentences that cite it; sentences that cite few images come first.
    """
    wanted = frozenset(positions)
    own: dict[int, list[str]] = {}
    citing: dict[int, list[tuple[int, str]]] = {}
    for line in text.splitlines():
        number, note = _own_note(line)
        if number in wanted and note:
            own.setdefault(number, []).append(note)
            continue
        for sentence in _SENTENCE.split(line):
            cited = cited_numbers(sentence)
            if len(cited) <= CITED_TOGETHER_MAX:
                for number in wanted.intersection(cited):
                    citing.setdefault(number, []).append((len(cited), sentence.strip()))
    sentences = {number: _first(counted) for number, counted in citing.items()}
    return sentences | {number: "\n".join(lines) for number, lines in own.items()}


def rest_of(text: str) -> str:
    """``text`` without the lines that are the note on one image."""
    return "\n".join(line for line in text.splitlines() if not _own_note(line)[1]).strip()


def without_number(note: str, position: int) -> str:
    """``note`` without the image's own number in front of it."""
    match = _OWN_LINE.match(note)
    return note[match.start(2) :] if match and int(match[1]) == position else note


def _first(counted: list[tuple[int, str]]) -> str:
    ranked = sorted(counted, key=lambda pair: pair[0])
    return " ".join(sentence for _, sentence in ranked[:SENTENCES_MAX])


def _own_note(line: str) -> tuple[int, str]:
    """(number, note) of a line like ``- [17] A red barn``; (0, "") of any other line."""
    match = _OWN_LINE.match(line.strip())
    return (int(match[1]), match[2]) if match else (0, "")
