"""Other people's words on their way to a person's screen: answers, questions, errors.

What is laid out for people (tables, lines under an answer) is safe wherever it goes. An answer by
itself is safe on a terminal; a pipe gets it as it is, for there a program reads it.
"""

from __future__ import annotations

import io
import sys

from core.text.printable import printable


def safe(text: str) -> str:
    """``text`` without control characters, but for line breaks and tabs."""
    return printable(text.replace("\r\n", "\n"), keep="\n\t")


def safe_line(text: str) -> str:
    """The same in one line."""
    return safe(" ".join(text.split()))


def for_stdout(text: str) -> str:
    """``text`` as stdout may have it."""
    return safe(text) if sys.stdout.isatty() else text


class Screen(io.TextIOWrapper):
    """Writes what is safe on a terminal."""

    def write(self, text: str) -> int:
        return super().write(safe(text))
