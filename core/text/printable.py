"""Names and other people's words, as a terminal may show them.

Raw, a file's name or a model's answer could colour what follows, name the window or turn lines
around: ``ESC[31m``, ``ESC]0;...``, U+202E.
"""

from __future__ import annotations

import os
import unicodedata

_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def printable(text: str, keep: str = "") -> str:
    """``text`` with its control characters as backslash escapes, but for those in ``keep``."""
    if text.isprintable():
        return text
    return "".join(_escaped(c) if _is_control(c) and c not in keep else c for c in text)


def printable_name(name: str) -> str:
    """The same of a file's name, which need not be UTF-8."""
    return printable(os.fsencode(name).decode("utf-8", "backslashreplace"))


def _is_control(char: str) -> bool:
    return char in _BIDI_CONTROLS or unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode()
