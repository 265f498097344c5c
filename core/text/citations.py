"""Citations: image numbers in square brackets, checked against the images that the node has seen.

``[17]``, ``[3, 5]`` and ``[3-7]`` are citations; anything else in brackets is text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from core.text.runs import Runs

_CITATION = re.compile(r"\[\s*(\d{1,9}(?:\s*(?:,|;|-|–|—|to)\s*\d{1,9})*)\s*\]")
_TOKEN = re.compile(r"\d+|,|;|-|–|—|to")
_SENTENCE_END = re.compile(r"(?<=[.!?。！？;；])\s+|\n+")
_REMOVED = "\0"
"""Placeholder for a removed citation until the space before it is removed too. No stored text
contains it."""
_AROUND_REMOVED = re.compile(rf"(?<![ \t])[ \t]++(?:{_REMOVED}|(?=[.,;:!?]))|{_REMOVED}")
"""A run of spaces is tried once, at its beginning: replies are hostile."""
RANGE_MAX = 100_000
"""Of a longer range only both ends count: no set here is that large."""
SHORT = 64
"""Numbers of a range that are looked up one by one; of a longer one, only the known numbers are."""
WRITTEN_MAX = 200_000
"""Numbers that the citations of one text are translated to. After that, of each citation only both
ends are."""
PASSES_MAX = 8
"""Brackets inside brackets from which unknown citations are removed one after the other."""


@dataclass(frozen=True, slots=True)
class Checked:
    """``text`` cites only known numbers, those in ``cited``; ``refused``: how many were removed."""

    text: str
    cited: tuple[int, ...]
    refused: int


def cited_numbers(text: str) -> list[int]:
    """Every number cited in ``text``, once, in order of first appearance; at most RANGE_MAX."""
    return _distinct(_all_spans(text))


def count_unknown(text: str, known: Collection[int]) -> int:
    """How many of the numbers cited in ``text`` are not in ``known``."""
    return _count_unknown(text, _Known(known))


def parted(text: str) -> list[str | list[range]]:
    """``text`` in order: its words, and between them the numbers of each citation as ranges.

    Ranges are not expanded: ten thousand times ``[1-99999]`` would fill the memory.
    """
    parts: list[str | list[range]] = []
    start = 0
    for match in _CITATION.finditer(text):
        parts += [text[start : match.start()], _spans(match.group(1))]
        start = match.end()
    return [part for part in [*parts, text[start:]] if part]


def check(text: str, known: Collection[int]) -> Checked:
    """Remove citations of numbers that are not in ``known``.

    If all citations of a sentence are unknown, nothing backs it and the whole sentence is removed;
    else only its unknown numbers are. If no sentence would be left, all stay without the unknown
    numbers: a model that cites badly must not make the answer empty.
    """
    numbers = _Known(known)
    refused = _count_unknown(text, numbers)
    if refused == 0:
        return Checked(text, tuple(cited_numbers(text)), 0)
    backed = "".join(sentence for sentence in sentences(text) if _is_backed(sentence, numbers))
    cleaned = backed if backed.strip() else text
    for _ in range(PASSES_MAX):  # [[9] 9] needs two passes
        if not _count_unknown(cleaned, numbers):
            break
        cleaned = _translated(cleaned, numbers, None)
    else:
        cleaned = cleaned.replace("[", "")
    return Checked(cleaned.strip(), tuple(cited_numbers(cleaned)), refused)


def translate(text: str, numbers: Mapping[int, int]) -> str:
    """``text`` with each cited number replaced by ``numbers[number]``, or removed if not there."""
    return _translated(text, _Known(numbers), numbers)


def _translated(text: str, known: _Known, numbers: Mapping[int, int] | None) -> str:
    """``text`` without unknown numbers; the others translated by ``numbers``, if it is given."""
    left = WRITTEN_MAX

    def replace(match: re.Match[str]) -> str:
        nonlocal left
        spans = _spans(match.group(1))
        old = [number for span in spans for number in known.within(span, left)]
        left -= len(old)
        new = old if numbers is None else [numbers[number] for number in old]
        if new == old and len(old) == sum(map(len, spans)):
            return match.group(0)
        return format_numbers(new) if new else _REMOVED

    return _AROUND_REMOVED.sub("", _CITATION.sub(replace, text))


def format_numbers(numbers: Collection[int]) -> str:
    """``[3-5, 9]``: sorted, with runs of three or more as ranges."""
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


def _all_spans(text: str) -> Iterator[range]:
    for match in _CITATION.finditer(text):
        yield from _spans(match.group(1))


def _spans(inside: str) -> list[range]:
    """The numbers inside one pair of brackets as ranges; a single number has length 1."""
    spans: list[range] = []
    in_range = False
    for token in _TOKEN.findall(inside):
        if not token.isdigit():
            in_range = token not in {",", ";"}
            continue
        number = int(token)
        last = spans[-1][-1] if in_range and spans else number
        continues = 0 < number - last <= RANGE_MAX
        spans.append(range(last + 1 if continues else number, number + 1))
        in_range = False
    return spans


class _Known:
    """Numbers that may be cited. Of long ranges nothing is looked up one by one: a reply about 60
    images may cite ``[1-100000]`` hundreds of times."""

    def __init__(self, numbers: Collection[int]) -> None:
        of_runs = isinstance(numbers, Mapping | Runs)
        self._numbers = numbers if of_runs else frozenset(numbers)

    @cached_property
    def _runs(self) -> Runs:
        return self._numbers if isinstance(self._numbers, Runs) else Runs.of(self._numbers)

    def count(self, span: range) -> int:
        """How many numbers of ``span`` are known."""
        if len(span) <= SHORT:
            return sum(number in self._numbers for number in span)
        return self._runs.below(span.stop) - self._runs.below(span.start)

    def within(self, span: range, most: int) -> list[int]:
        """The known numbers of ``span``, in order; if they are more than ``most``, both ends."""
        if len(span) <= SHORT:
            return [number for number in span if number in self._numbers]
        indices = range(self._runs.below(span.start), self._runs.below(span.stop))
        if len(indices) > max(most, 2):
            return [self._runs.at(indices[0]), self._runs.at(indices[-1])]
        return [self._runs.at(index) for index in indices]


def _distinct(spans: Iterable[range]) -> list[int]:
    """Each number of ``spans`` once, in order; at most RANGE_MAX. A number that was there before is
    stepped over together with all that follow it."""
    numbers: list[int] = []
    beyond: dict[int, int] = {}  # number that was there -> a later one that may be new
    for span in spans:
        number = span.start
        while number < span.stop and len(numbers) < RANGE_MAX:
            passed = []
            while number in beyond:
                passed.append(number)
                number = beyond[number]
            beyond.update(dict.fromkeys(passed, number))
            if number < span.stop:
                numbers.append(number)
                beyond[number] = number + 1
    return numbers


def _count_unknown(text: str, known: _Known) -> int:
    return sum(len(span) - known.count(span) for span in _all_spans(text))


def _is_backed(sentence: str, known: _Known) -> bool:
    """Whether ``sentence`` cites a known number, or nothing at all."""
    spans = list(_all_spans(sentence))
    return not spans or any(known.count(span) for span in spans)


def sentences(text: str) -> list[str]:
    """The sentences of ``text`` in order, each with the space after it."""
    ends = [*(match.end() for match in _SENTENCE_END.finditer(text)), len(text)]
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
