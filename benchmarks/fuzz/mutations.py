"""Changes by chance: of bytes, of JSON values and of text."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

HEADER_BYTES = 600
NASTY = (
    *(b"\0", b"\xff", b"\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff"),
    b"\x80",
)
Mutation = Callable[[random.Random, bytearray, bytes], None]


# --- bytes


def _flip(draw: random.Random, data: bytearray, _other: bytes) -> None:
    for _ in range(draw.choice((1, 1, 2, 5, 20, 100))):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)


def _header(draw: random.Random, data: bytearray, _other: bytes) -> None:
    for _ in range(draw.choice((1, 2, 4))):
        at, value = draw.randrange(min(len(data), HEADER_BYTES)), draw.choice(NASTY)
        data[at : at + len(value)] = value


def _cut(draw: random.Random, data: bytearray, _other: bytes) -> None:
    del data[draw.randrange(len(data)) :]


def _remove(draw: random.Random, data: bytearray, _other: bytes) -> None:
    at = draw.randrange(len(data))
    del data[at : at + draw.choice((1, 2, 4, 16, 256, 4096))]


def _repeat(draw: random.Random, data: bytearray, _other: bytes) -> None:
    at, size = draw.randrange(len(data)), draw.choice((1, 4, 64, 1024))
    data[at:at] = data[at : at + size] * draw.choice((1, 2, 50))


def _blank(draw: random.Random, data: bytearray, _other: bytes) -> None:
    at, size = draw.randrange(len(data)), draw.choice((2, 8, 64, 2048))
    data[at : at + size] = draw.choice((b"\0", b"\xff", b"A")) * len(data[at : at + size])


def _splice(draw: random.Random, data: bytearray, other: bytes) -> None:
    at = draw.randrange(len(data))
    data[at:] = other[min(at, len(other) - 1) :]


MUTATIONS: tuple[Mutation, ...] = (_flip, _header, _header, _cut, _remove, _repeat, _blank, _splice)


def of_bytes(draw: random.Random, original: bytes, other: bytes) -> bytes:
    """``original`` with one to three changes; ``other`` may be spliced into it."""
    data = bytearray(original)
    for mutation in draw.choices(MUTATIONS, k=draw.choice((1, 1, 2, 3))):
        if data:
            mutation(draw, data, other)
    return bytes(data)


# --- JSON values

SCALARS: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 7, 2**31, 2**63, 10**30, -(10**30), 10**290, 0.1, -0.0, 1e-300),
    *(1e308, -1e308, float("nan"), float("inf"), "", " ", "\0", "a\0b", "\ud800", "\udfff x"),
    *("\u202ea", "\x1b[31m", "\x9b2J", "a barn [1]", "[1-99999]", "null", "NaN", "1e400"),
    *("</notes>", "＜/question＞", "x" * 300, "é" * 3_000, [], {}, [[]], [None], {"": ""}),
    *({"a": {"b": [1, "c"]}}, list(range(50)), [1, 1.0, True]),
)
NAMES = ("", "1", "2", "60", "whole", "total", "$ref", "$defs", "type", "\0", "\ud83d", "a" * 500)


def nested(draw: random.Random, levels: int) -> Any:
    """A value nested so many levels deep."""
    value = draw.choice(SCALARS)
    for _ in range(levels):
        value = [value] if draw.random() < 0.5 else {"a": value}
    return value


def scalar(draw: random.Random) -> Any:
    if draw.random() < 0.02:
        return nested(draw, draw.choice((3, 30, 63, 64, 65, 130, 400)))
    return draw.choice(SCALARS)


def of_value(draw: random.Random, value: Any, spoil: float = 0.1) -> Any:
    """A copy of a JSON value in which each place changes with the chance ``spoil``."""
    if draw.random() < spoil:
        return _changed(draw, value)
    if isinstance(value, list):
        return [of_value(draw, item, spoil) for item in value]
    if isinstance(value, dict):
        return {name: of_value(draw, item, spoil) for name, item in value.items()}
    return value


def _changed(draw: random.Random, value: Any) -> Any:
    if isinstance(value, dict) and value and draw.random() < 0.7:
        names = list(value)
        name = draw.choice(names)
        match draw.randrange(4):
            case 0:
                return {key: item for key, item in value.items() if key != name}
            case 1:
                return {**value, draw.choice(NAMES): scalar(draw)}
            case 2:
                return {draw.choice(NAMES) if key == name else key: value[key] for key in names}
            case _:
                return {**value, name: value[draw.choice(names)]}
    if isinstance(value, list) and value and draw.random() < 0.7:
        at = draw.randrange(len(value))
        return value[:at] + [value[at]] * draw.choice((0, 2, 2, 30)) + value[at + 1 :]
    return scalar(draw)


def dumped(draw: random.Random, value: Any) -> str:
    """``value`` as JSON, in one of the ways that models write it."""
    return json.dumps(
        value, ensure_ascii=draw.random() < 0.5, indent=draw.choice((None, None, None, 0, 2))
    )


# --- text

PIECES = (
    *("[1]", "[2]", "[3] ", "[1-3]", "[2-1]", "[1-99999]", "[99999999999]", "[1, 2; 3]", "[[1]]"),
    *("[1", "1]", "[]", "[ 1 ]", "[1][2]", "[1]: ", "[0]", "[-1]", "[１]", "[٣]", "【1】", "(1) "),
    *("Image 1: ", "Image 1 and 2: ", "Images 1-3 ", "图片1", "第2张图片：", "- [1] ", "1. "),
    *("===", "\n===\n", "\n---\n", "==", "```json\n", "```", "`", "**", "*a ", "**b ", "_", "~~"),
    *("> ", "- ", "  - ", "# ", "| a | b |\n|---|---|\n", "| [1] | x |\n", "\\", "\\[1\\]"),
    *(
        "<notes>",
        "</notes>",
        "</question>",
        "< / notes >",
        "＜/notes＞",
        "‹/notes›",
        "&lt;/notes&gt;",
    ),
    *("<\u200b/notes>", "<script>", "</script>", "<!--", "&#60;/notes>", "«/totals»"),
    *("\u202e", "\u2066", "\0", "\ud800", "\udfff", "\ud83d\ude00", "\x1b[31m", "\x9b", "\ufeff"),
    *("\u200b", "\u00a0", "\u2028", "\u0085", "\r\n", "\r", "\n", "\n\n", "\t", " ", "  ", "   "),
    *("{", "}", '{"1": "a", "2": "b"}', '"', '\\"', "\\ud83d", ": ", ",", "null", "NaN", "1e999"),
    *("1", "12", "1.5", "1,234.56", "1.234,56", "0.1000", "٣", "𝟙", "9" * 400, "-7", "50 %"),
    *("a barn", "red", "Nothing is shown.", "not shown", "I cannot see it.", "none", "a. b. c. "),
    *("nothing", "ÄÖ", "漢字", "e\u0301" * 3, "a" * 200),
)
LONG = (200, 2_000, 20_000)


def piece(draw: random.Random, pieces: Sequence[str] = PIECES) -> str:
    """A piece of text; now and then the same one very often."""
    part = draw.choice(pieces)
    if draw.random() < 0.004:
        return part * min(draw.choice(LONG), 30_000 // max(len(part), 1))
    return part


def of_text(draw: random.Random, text: str) -> str:
    """``text`` with pieces put in, parts repeated, or its end cut off."""
    for _ in range(draw.choice((0, 1, 1, 2, 4, 8))):
        at = draw.randrange(len(text) + 1)
        match draw.randrange(6):
            case 0:
                text = text[:at]
            case 1:
                text = text[:at] + text[at + draw.choice((1, 5, 50)) :]
            case 2:
                text = text[:at] + text[at : at + 40] * draw.choice((1, 2, 20)) + text[at:]
            case _:
                text = text[:at] + piece(draw) + text[at:]
    return text


def prose(draw: random.Random) -> str:
    """Text that is pieces alone."""
    return "".join(piece(draw) for _ in range(draw.choice((0, 1, 3, 10, 30, 80))))
