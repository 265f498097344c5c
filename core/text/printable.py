"""File names and foreign text, made safe to print on a terminal.

Raw control characters could colour the output (``ESC[31m``), rename the window (``ESC]0;...``) or
reverse the text (U+202E).
"""

from __future__ import annotations

import os
import unicodedata

ONE_LINE_MAX = 1_000
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def printable(text: str, keep: str = "") -> str:
    """``text`` with its control characters as backslash escapes, except those in ``keep``."""
    if text.isprintable():
        return text
    return "".join(_escaped(c) if _is_control(c) and c not in keep else c for c in text)


def quotable(text: str, most: int) -> str:
    """The first ``most`` characters of ``text``, those that are not seen as escapes: to quote it in
    a message."""
    cut = shortened(text, most)
    return "".join(c if c.isprintable() else _escaped(c) for c in cut)


def shortened(text: str, most: int) -> str:
    """``text``, cut off after ``most`` characters with a sign that says so."""
    return text if len(text) <= most else f"{text[:most]}..."


def one_line(text: str, most: int = ONE_LINE_MAX) -> str:
    """What a stranger's program said, as one printable line that a database can store."""
    return shortened(printable(" ".join(text[: 4 * most].split())), most)


def printable_name(name: str) -> str:
    """``printable`` for a file name, which may not be UTF-8."""
    return printable(os.fsencode(name).decode("utf-8", "backslashreplace"))


def _is_control(char: str) -> bool:
    return char in _BIDI_CONTROLS or unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode()
