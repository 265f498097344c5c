"""Image markers in prompts and notes: ``[17]``, ``[3, 5]``, ``[3-7]``."""

from __future__ import annotations

import re
from collections.abc import Sequence

_RANGE = re.compile(r"\[(\d{1,9})\]\s*(?:to|through|and up to|\.\.\.?|[-–—…])\s*\[(\d{1,9})\]")
_MARKER = re.compile(r"\[(\d{1,9}(?:\s*[,;–-]\s*\d{1,9})*)\]")
_RUN = re.compile(r"(\d+)(?:\s*[–-]\s*(\d+))?")
_KEY = re.compile(r'"(\d{1,9})"\s*:|"(?:image|marker|number|index|position|n)"\s*:\s*(\d{1,9})')
_NOTES = re.compile(r"<notes\b[^<>]*>((?:[^<]++|<(?!/?notes\b))*+)</notes>", re.IGNORECASE)
_GROUP = re.compile(r'("group \d{1,9}") is images? (\[\d{1,9}\](?:(?:, | to )\[\d{1,9}\])*)')
RUN_MAX = 100_000


def cited(text: str) -> tuple[int, ...]:
    """The distinct markers in ``text``, in order; ``[1] to [9]`` counts as two."""
    markers: dict[int, None] = {}
    for inside in _MARKER.findall(text):
        for first, last in _RUN.findall(inside):
            markers.update(dict.fromkeys(_filled(int(first), int(last or first), RUN_MAX)))
    return tuple(markers)


def written(numbers: Sequence[int], short: bool = False) -> str:
    """``[1], [2], [3], [5]``, or ``[1-3, 5]`` if ``short``."""
    if not short:
        return ", ".join(f"[{number}]" for number in numbers)
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return f"[{', '.join(str(a) if a == b else f'{a}-{b}' for a, b in runs)}]"


def keyed(text: str) -> tuple[int, ...]:
    """The distinct image numbers in JSON notes: digit keys, and fields such as ``"image": 17``."""
    return tuple(dict.fromkeys(int(a or b) for a, b in _KEY.findall(text)))


def declared(text: str, count: int) -> tuple[int, ...]:
    """The markers of ``count`` images, in order, as the prompt's text declares them.

    The first of these that gives ``count`` markers: one range (``[1] to [31]``), all single
    markers, ranges and single markers together. Otherwise 1..count.
    """
    ranges = [_filled(int(a), int(b), count) for a, b in _RANGE.findall(text)]
    expanded = _RANGE.sub(lambda m: _listed(_filled(int(m[1]), int(m[2]), count)), text)
    for candidate in (*ranges, cited(text), cited(expanded)):
        if len(candidate) == count:
            return candidate
    return tuple(range(1, count + 1))


def groups(text: str) -> dict[str, tuple[int, ...]]:
    """The markers of each group of images that a prompt's ``text`` names as a key of the reply."""
    return {
        key.strip('"'): cited(
            _RANGE.sub(lambda m: _listed(_filled(int(m[1]), int(m[2]), RUN_MAX)), named)
        )
        for key, named in _GROUP.findall(text)
    }


def _filled(first: int, last: int, most: int) -> tuple[int, ...]:
    """The range, or only its ends if it has more than ``most`` numbers."""
    return tuple(range(first, last + 1)) if last - first < most else (first, last)


def _listed(markers: tuple[int, ...]) -> str:
    return " ".join(f"[{marker}]" for marker in markers)


def notes_of(parts: list[str]) -> str:
    """The notes of a request without images: the text without the instruction.

    The content of the ``<notes>`` tags if there are any; else all text parts but the last; of a
    single part all paragraphs but the last. If the result has no markers: the full text.
    """
    full = "\n".join(parts)
    tagged = _NOTES.findall(full)
    if tagged:
        return "\n".join(tagged)
    *notes, _ = parts if len(parts) > 1 else (full.strip().rsplit("\n\n", 1) if full else [""])
    text = "\n".join(notes)
    return text if cited(text) or keyed(text) else full
