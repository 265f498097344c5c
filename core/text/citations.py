"""Citations: image numbers in square brackets, checked against what the node could have seen.

``[17]``, ``[3, 5]`` and ``[3-7]`` are citations; anything else in brackets is text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

_CITATION = re.compile(r"\[\s*(\d{1,9}(?:\s*(?:,|;|-|–|—|to)\s*\d{1,9})*)\s*\]")
_TOKEN = re.compile(r"\d+|,|;|-|–|—|to")
_SENTENCE_END = re.compile(r"(?<=[.!?。！？;；])\s+|\n+")
_GONE = "\0"
"""Stands where a citation was, until the space before it has gone, too; it is in no stored text."""
_AROUND_GONE = re.compile(rf"[ \t]*{_GONE}|[ \t]+(?=[.,;:!?])")
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
    for span in _all_spans(text):
        seen.update(dict.fromkeys(span))
    return list(seen)


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
    """Take out what cites a number that is not in ``known``.

    A sentence whose citations are all unknown goes as a whole, since nothing backs it; in a
    sentence with some known ones only the unknown numbers go. Where nothing would be left the
    words stay without the numbers, so that an answer is never empty for a bad habit of the model.
    """
    known = frozenset(known)
    refused = _unknown(text, known)
    if refused == 0:
        return Checked(text, tuple(cited_numbers(text)), 0)
    kept = _filter_sentences(text, known)
    if not kept.strip():
        kept = text
    cleaned = kept
    own = {number: number for number in known}
    while _unknown(cleaned, known):  # [[9] 9] needs two turns
        cleaned = translate(cleaned, own)
    return Checked(cleaned.strip(), tuple(cited_numbers(cleaned)), refused)


def translate(text: str, numbers: Mapping[int, int]) -> str:
    """``text`` with each cited number replaced by ``numbers[number]``; unknown ones go."""

    def replace(match: re.Match[str]) -> str:
        spans = _spans(match.group(1))
        old = [number for span in spans for number in _known(span, numbers)]
        new = [numbers[number] for number in old]
        if new == old and len(old) == sum(map(len, spans)):
            return match.group(0)
        return format_numbers(new) if new else _GONE

    return _AROUND_GONE.sub("", _CITATION.sub(replace, text))


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


def _all_spans(text: str) -> Iterator[range]:
    for match in _CITATION.finditer(text):
        yield from _spans(match.group(1))


def _spans(inside: str) -> list[range]:
    """The numbers of one bracket: each a range, of one number or of those from one to another."""
    spans: list[range] = []
    in_range = False
    for token in _TOKEN.findall(inside):
        if not token.isdigit():
            in_range = token not in {",", ";"}
            continue
        number = int(token)
        last = spans[-1][-1] if in_range and spans else number
        far = 0 < number - last <= RANGE_MAX
        spans.append(range(last + 1 if far else number, number + 1))
        in_range = False
    return spans


def _known(span: range, known: Collection[int]) -> list[int]:
    """What of ``span`` is known, in order. As cheap as the smaller of the two: a reply may cite
    ``[1-100000]`` of 60 images, hundreds of times."""
    if len(span) <= len(known):
        return [number for number in span if number in known]
    return sorted(number for number in known if number in span)


def _unknown(text: str, known: Collection[int]) -> int:
    """How many of the numbers that ``text`` cites are not known."""
    return sum(len(span) - len(_known(span, known)) for span in _all_spans(text))


def _filter_sentences(text: str, known: frozenset[int]) -> str:
    kept: list[str] = []
    for sentence in sentences(text):
        spans = list(_all_spans(sentence))
        if not spans or any(_known(span, known) for span in spans):
            kept.append(sentence)
    return "".join(kept)


def sentences(text: str) -> list[str]:
    """``text`` in order as its sentences, each with what follows it."""
    ends = [*(match.end() for match in _SENTENCE_END.finditer(text)), len(text)]
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
