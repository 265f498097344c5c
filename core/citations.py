"""Citations: image numbers in square brackets, checked against what the node could have seen.

``[17]``, ``[3, 5]`` and ``[3-7]`` are citations; anything else in brackets is text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

_CITATION = re.compile(r"\[\s*(\d{1,9}(?:\s*(?:,|;|-|–|—|to)\s*\d{1,9})*)\s*\]")
_TOKEN = re.compile(r"\d+|,|;|-|–|—|to")
_SENTENCE_END = re.compile(r"(?<=[.!?。！？;；])\s+|\n+")
RANGE_MAX = 100_000
"""A longer range is no citation but a claim about a set that cannot exist here."""


@dataclass(frozen=True, slots=True)
class Checked:
    """``text`` cites known numbers only; ``cited`` are these; ``refused`` were taken out."""

    text: str
    cited: tuple[int, ...]
    refused: int


def cited_numbers(text: str) -> list[int]:
    """Every number cited in ``text``, once, in order of first appearance."""
    seen: dict[int, None] = {}
    for match in _CITATION.finditer(text):
        for number in _numbers(match.group(1)):
            seen.setdefault(number, None)
    return list(seen)


def parted(text: str) -> list[str | tuple[int, ...]]:
    """``text`` in order as its words and, between them, the numbers of each citation."""
    parts: list[str | tuple[int, ...]] = []
    start = 0
    for match in _CITATION.finditer(text):
        parts += [text[start : match.start()], tuple(_numbers(match.group(1)))]
        start = match.end()
    return [part for part in [*parts, text[start:]] if part]


def check(text: str, known: Collection[int]) -> Checked:
    """Take out what cites a number that is not in ``known``.

    A sentence whose citations are all unknown goes as a whole, since nothing backs it; in a
    sentence with some known ones only the unknown numbers go. Where nothing would be left the
    words stay without the numbers, so that an answer is never empty for a bad habit of the model.
    """
    known = frozenset(known)
    refused = sum(number not in known for number in _all_numbers(text))
    if refused == 0:
        return Checked(text, tuple(cited_numbers(text)), 0)
    kept = _filter_sentences(text, known)
    if not kept.strip():
        kept = text
    cleaned = kept
    while any(number not in known for number in _all_numbers(cleaned)):  # [[9] 9] needs two turns
        cleaned = _rewrite(cleaned, lambda number: number if number in known else None)
    return Checked(cleaned.strip(), tuple(cited_numbers(cleaned)), refused)


def translate(text: str, numbers: Mapping[int, int]) -> str:
    """``text`` with each cited number replaced by ``numbers[number]``; unknown ones go."""
    return _rewrite(text, numbers.get)


def format_numbers(numbers: Collection[int]) -> str:
    """``[3-5, 9]``: sorted, with runs of three and more shortened."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return "[" + ", ".join(_run(first, last) for first, last in runs) + "]"


def _run(first: int, last: int) -> str:
    if last - first < 2:
        return ", ".join(str(n) for n in range(first, last + 1))
    return f"{first}-{last}"


def _all_numbers(text: str) -> list[int]:
    return [n for match in _CITATION.finditer(text) for n in _numbers(match.group(1))]


def _numbers(inside: str) -> list[int]:
    """The numbers of one bracket, ranges written out."""
    numbers: list[int] = []
    in_range = False
    for token in _TOKEN.findall(inside):
        if not token.isdigit():
            in_range = token not in {",", ";"}
            continue
        number = int(token)
        if in_range and numbers and 0 < number - numbers[-1] <= RANGE_MAX:
            numbers.extend(range(numbers[-1] + 1, number + 1))
        else:
            numbers.append(number)
        in_range = False
    return numbers


def _rewrite(text: str, to: Callable[[int], int | None]) -> str:
    def replace(match: re.Match[str]) -> str:
        old = _numbers(match.group(1))
        new = [number for number in map(to, old) if number is not None]
        if new == old:
            return match.group(0)
        return format_numbers(new) if new else ""

    return re.sub(r"[ \t]+([.,;:!?])", r"\1", _CITATION.sub(replace, text))


def _filter_sentences(text: str, known: frozenset[int]) -> str:
    kept: list[str] = []
    for sentence in sentences(text):
        numbers = _all_numbers(sentence)
        if not numbers or any(number in known for number in numbers):
            kept.append(sentence)
    return "".join(kept)


def sentences(text: str) -> list[str]:
    """``text`` in order as its sentences, each with what follows it."""
    ends = [*(match.end() for match in _SENTENCE_END.finditer(text)), len(text)]
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
