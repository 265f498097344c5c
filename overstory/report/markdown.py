"""A model's Markdown as plain values from which report.js builds elements: blocks of spans.

markdown-it-py parses it (CommonMark with tables). HTML, links and images are turned off and stay
text: nothing that a model wrote is loaded, and nothing of it can be clicked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from core.text.citations import parted

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

Span = str | list[object]
"""``"text"``, ``["b", spans]``, ``["i", spans]``, ``["code", text]``, or a citation as
``["c", runs]``."""
Block = list[object]
"""``["p", spans]``, ``["t", spans]`` (the text of a tight list item), ``["h", spans]``,
``["ul", items]``, ``["ol", items, first number]``, ``["quote", blocks]``, ``["pre", text]``,
``["hr"]`` or ``["table", rows]``. An item is a list of blocks, a cell a list of spans; the first
row is the head."""

_TURNED_OFF = (
    "autolink",
    "image",
    "link",
    "reference",  # "[1]: a barn" is a note on image 1, not a definition
    "entity",
    "code",  # models indent text without meaning code
    "lheading",  # models draw a rule under a paragraph without meaning a heading
    "text_join",  # an escaped bracket stays apart, so that it is not read as a citation
)
_STYLES = {"strong_open": "b", "em_open": "i"}
STYLES_NESTED_MAX = 8
"""Deeper styles are dropped and their text is kept: JSON and the page are built recursively."""
MARKS = "*_`\\"
MARKS_MAX = 20_000
"""Lines and marks in one text. A text with more was not written to be read: it is shown as it is,
because every mark takes 20 microseconds and more."""
_BETWEEN = re.compile(r"[ \t]*+[,;]?[ \t]*+")


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable("table").disable(_TURNED_OFF)


def blocks(text: str) -> list[Block]:
    """The blocks of ``text``, in order. A text with too many marks, or nested too deep to parse, is
    one ``pre``."""
    if _marks(text) + text.count("\n") + text.count("|") > MARKS_MAX:
        return [["pre", text]]
    tokens = _parser().parse(text)
    deepest = _parser().options.maxNesting - 1
    if any(token.level >= deepest for token in tokens):  # markdown-it drops what lies below
        return [["pre", text]]
    opened: list[tuple[Token | None, list[Any]]] = [(None, [])]
    for token in tokens:
        if token.nesting > 0:
            opened.append((token, []))
            continue
        if token.nesting < 0:
            start, children = opened.pop()
            value = _block(start, children)
        else:
            value = _leaf(token)
        opened[-1][1].append(value)
    return opened[0][1]


def spans(text: str) -> list[Span]:
    """One line as text, styles and citations."""
    if not 0 < _marks(text) <= MARKS_MAX:  # parsing takes 50 us, and there may be 40,000 notes
        return _cited(text)
    return _spans(_parser().parseInline(text)[0].children or ())


def _marks(text: str) -> int:
    return sum(map(text.count, MARKS))


def runs(ranges: Iterable[range]) -> list[list[int]]:
    """``[[3, 7], [9, 9]]``: first and last number of each run, in order, neighbours joined."""
    joined: list[list[int]] = []
    for numbers in sorted(ranges, key=lambda numbers: numbers.start):
        if joined and numbers.start <= joined[-1][1] + 1:
            joined[-1][1] = max(joined[-1][1], numbers[-1])
        else:
            joined.append([numbers.start, numbers[-1]])
    return joined


def _block(start: Token | None, children: list[Any]) -> Any:
    """The value of an element that ends: a block, or a part of one (an item, a row, a cell)."""
    assert start is not None, "markdown-it closes only what it opened"
    match start.type:
        case "paragraph_open":
            return ["t" if start.hidden else "p", *children]
        case "heading_open":
            return ["h", *children]
        case "bullet_list_open":
            return ["ul", children]
        case "ordered_list_open":
            return ["ol", children, start.attrGet("start") or 1]
        case "blockquote_open":
            return ["quote", children]
        case "table_open":
            return ["table", [row for part in children for row in part]]
        case "th_open" | "td_open":
            return children[0]
    return children


def _leaf(token: Token) -> list[Any]:
    if token.type == "inline":
        return _spans(token.children or ())
    if token.type == "hr":
        return ["hr"]
    return ["pre", token.content.removesuffix("\n")]


def _spans(tokens: Sequence[Token]) -> list[Span]:
    opened: list[list[Span]] = [[]]
    plain: list[str] = []
    dropped = 0
    for token in tokens:
        if token.type in ("text", "softbreak", "hardbreak"):
            plain.append(token.content if token.type == "text" else "\n")
            continue
        opened[-1] += _cited("".join(plain))
        plain.clear()
        if token.nesting == 0:
            is_code = token.type == "code_inline"
            opened[-1].append(["code", token.content] if is_code else token.content)
        elif token.nesting > 0 and len(opened) > STYLES_NESTED_MAX:
            dropped += 1
        elif token.nesting > 0:
            inside: list[Span] = []
            opened[-1].append([_STYLES[token.type], inside])
            opened.append(inside)
        elif dropped:
            dropped -= 1
        else:
            opened.pop()
    return opened[0] + _cited("".join(plain))


def _cited(text: str) -> list[Span]:
    """Text and citations; citations with only a comma or space between them become one."""
    result: list[Span] = []
    together: list[range] = []
    between = ""
    for part in parted(text):
        if not isinstance(part, str):
            together += part
            between = ""
        elif together and _BETWEEN.fullmatch(part):
            between = part
        else:
            result += [*_citation(together), between + part]
            together, between = [], ""
    return [*result, *_citation(together), *([between] if between else [])]


def _citation(numbers: Iterable[range]) -> list[Span]:
    return [["c", runs(numbers)]] if numbers else []
