"""A model's text as plain values that a page can build elements from: blocks of spans.

The Markdown that models write, and citations. Whatever is not understood stays text; nothing here
is HTML, and no link leads anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from core.text.citations import parted

Span = str | list[object]
"""``"words"``, ``["b", spans]``, ``["i", spans]``, ``["code", text]``, ``["c", runs]``."""
Block = list[object]
"""``["p", spans]``, ``["h", level, spans]``, ``["ul" | "ol", items]``, ``["pre", text]``,
``["table", rows]``: an item or a cell is a list of spans, the first row is the head."""

_HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*$")
_BULLET = re.compile(r"\s*(?:[-*+•]|(\d{1,4})[.)])\s+(.*)$")
_FENCE = re.compile(r"\s*(```|~~~)")
_ROW = re.compile(r"\s*\|(.*)\|\s*$")
_RULE = re.compile(r"\s*\|?[\s:|-]*-[\s:|-]*\|?\s*$")
_BETWEEN = re.compile(r"[ \t]*[,;]?[ \t]*")
_STYLED = re.compile(
    r"`(?P<code>[^`\n]+)`|\*\*(?=\S)(?P<b>.+?)(?<=\S)\*\*|(?<!\*)\*(?=[^\s*])(?P<i>[^*\n]+?)(?<=\S)\*"
)


def blocks(text: str) -> list[Block]:
    """The blocks of ``text``, in order."""
    made: list[Block] = []
    lines = text.splitlines()
    start = 0
    while start < len(lines):
        start = _take(lines, start, made)
    return made


def spans(text: str) -> list[Span]:
    """One line's words, styles and citations."""
    made: list[Span] = []
    start = 0
    for match in _STYLED.finditer(text):
        made += _cited(text[start : match.start()])
        kind = match.lastgroup or "code"
        inside = match.group(kind)
        made.append([kind, inside if kind == "code" else spans(inside)])
        start = match.end()
    return made + _cited(text[start:])


def runs(numbers: Sequence[int]) -> list[list[int]]:
    """``[[3, 7], [9, 9]]``: numbers in order, neighbours joined."""
    made: list[list[int]] = []
    for number in sorted(set(numbers)):
        if made and number == made[-1][1] + 1:
            made[-1][1] = number
        else:
            made.append([number, number])
    return made


def _cited(text: str) -> list[Span]:
    """Words and citations; citations with nothing but commas between them are one."""
    made: list[Span] = []
    together: list[int] = []
    between = ""
    for part in parted(text):
        if not isinstance(part, str):
            together += part
            between = ""
        elif together and _BETWEEN.fullmatch(part):
            between = part
        else:
            made += [*_one(together), between + part]
            together, between = [], ""
    return [*made, *_one(together), *([between] if between else [])]


def _one(numbers: Sequence[int]) -> list[Span]:
    return [["c", runs(numbers)]] if numbers else []


def _take(lines: Sequence[str], start: int, made: list[Block]) -> int:
    """Add the block that begins at ``start``; returns where the next one begins."""
    line = lines[start]
    if not line.strip():
        return start + 1
    if _FENCE.match(line):
        return _take_fenced(lines, start, made)
    heading = _HEADING.match(line)
    if heading:
        made.append(["h", len(heading[1]), spans(heading[2])])
        return start + 1
    if _BULLET.match(line):
        return _take_list(lines, start, made)
    if _ROW.match(line) and start + 1 < len(lines) and _RULE.match(lines[start + 1]):
        return _take_table(lines, start, made)
    return _take_paragraph(lines, start, made)


def _take_fenced(lines: Sequence[str], start: int, made: list[Block]) -> int:
    end = start + 1
    while end < len(lines) and not _FENCE.match(lines[end]):
        end += 1
    made.append(["pre", "\n".join(lines[start + 1 : end])])
    return end + 1


def _take_list(lines: Sequence[str], start: int, made: list[Block]) -> int:
    items: list[object] = []
    first = _BULLET.match(lines[start])
    assert first is not None, "the caller saw a bullet"
    for end, match in _matching(_BULLET, lines, start):
        items.append(spans(match[2]))
        start = end
    made.append(["ol" if first[1] else "ul", items])
    return start


def _take_table(lines: Sequence[str], start: int, made: list[Block]) -> int:
    rows: list[object] = []
    for end, match in _matching(_ROW, lines, start):
        if not _RULE.match(lines[end - 1]):
            rows.append([spans(cell.strip()) for cell in match[1].split("|")])
        start = end
    made.append(["table", rows])
    return start


def _take_paragraph(lines: Sequence[str], start: int, made: list[Block]) -> int:
    """Lines up to an empty one or another kind of block, each on a line of its own."""
    end = start + 1
    while end < len(lines) and lines[end].strip() and not _begins_block(lines[end]):
        end += 1
    made.append(["p", spans("\n".join(line.strip() for line in lines[start:end]))])
    return end


def _begins_block(line: str) -> bool:
    return any(pattern.match(line) for pattern in (_HEADING, _BULLET, _FENCE))


def _matching(
    pattern: re.Pattern[str], lines: Sequence[str], start: int
) -> Iterator[tuple[int, re.Match[str]]]:
    """(index after it, match) of each line from ``start`` on, as long as they match."""
    for index in range(start, len(lines)):
        match = pattern.match(lines[index])
        if match is None:
            return
        yield index + 1, match
