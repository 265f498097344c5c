"""Image markers in prompts and notes: ``[17]``, ``[3, 5]``, ``[3-7]``."""

from __future__ import annotations

import re
from collections.abc import Sequence

_RANGE = re.compile(r"\[(\d{1,9})\]\s*(?:to|through|and up to|\.\.\.?|[-–—…])\s*\[(\d{1,9})\]")
_MARKER = re.compile(r"\[(\d{1,9}(?:\s*[,;–-]\s*\d{1,9})*)\]")
_RUN = re.compile(r"(\d+)(?:\s*[–-]\s*(\d+))?")
_KEY = re.compile(r'"(\d{1,9})"\s*:|"(?:image|marker|number|index|position|n)"\s*:\s*(\d{1,9})')
_NOTES = re.compile(r"<notes\b[^>]*>(.*?)</notes>", re.DOTALL | re.IGNORECASE)
RUN_MAX = 100_000


def cited(text: str) -> tuple[int, ...]:
    """The distinct markers in the brackets of ``text``, in order; ``[1] to [9]`` is not filled."""
    found: dict[int, None] = {}
    for inside in _MARKER.findall(text):
        for first, last in _RUN.findall(inside):
            found.update(dict.fromkeys(_filled(int(first), int(last or first), RUN_MAX)))
    return tuple(found)


def written(numbers: Sequence[int], short: bool = False) -> str:
    """``[1], [2], [3], [5]``, or ``[1-3, 5]`` when it must be ``short``."""
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
    """The distinct image numbers of JSON notes: digit keys and fields such as ``"image": 17``."""
    return tuple(dict.fromkeys(int(a or b) for a, b in _KEY.findall(text)))


def declared(text: str, count: int) -> tuple[int, ...]:
    """The markers of ``count`` images, in order, as the prompt's text declares them.

    A range (``[1] to [31]``) of that many, or exactly that many distinct markers, or both together;
    otherwise 1..count.
    """
    ranges = [_filled(int(a), int(b), count) for a, b in _RANGE.findall(text)]
    spread = _RANGE.sub(lambda m: _spelled(_filled(int(m[1]), int(m[2]), count)), text)
    for candidate in (*ranges, cited(text), cited(spread)):
        if len(candidate) == count:
            return candidate
    return tuple(range(1, count + 1))


def _filled(first: int, last: int, most: int) -> tuple[int, ...]:
    """The range, or only its ends where it is longer than there are images."""
    return tuple(range(first, last + 1)) if last - first < most else (first, last)


def _spelled(markers: tuple[int, ...]) -> str:
    return " ".join(f"[{marker}]" for marker in markers)


def notes_of(parts: list[str]) -> str:
    """The notes of a request without images: everything but its instruction.

    What stands in ``<notes>`` tags when there are any; else every text part but the last; else,
    of one part, every paragraph but the last. Where that leaves no markers, the whole text.
    """
    whole = "\n".join(parts)
    tagged = _NOTES.findall(whole)
    if tagged:
        return "\n".join(tagged)
    *notes, _ = parts if len(parts) > 1 else (whole.strip().rsplit("\n\n", 1) if whole else [""])
    text = "\n".join(notes)
    return text if cited(text) or keyed(text) else whole
