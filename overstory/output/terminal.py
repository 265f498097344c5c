"""Printing text that a model or a person wrote: answers, questions, errors.

Text laid out for people (tables, lines below an answer) never holds control characters. An answer
alone has them removed only on a terminal; a pipe gets it unchanged, because a program reads it.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from core.text.printable import printable

if TYPE_CHECKING:
    from rich.console import Console


def safe(text: str) -> str:
    """``text`` without control characters. Line breaks and tabs stay."""
    return printable(text.replace("\r\n", "\n"), keep="\n\t")


def safe_line(text: str) -> str:
    """``safe`` text in one line."""
    return safe(" ".join(text.split()))


def for_stdout(text: str) -> str:
    """``safe`` text, broken between words, if stdout is a terminal; else ``text``."""
    if not sys.stdout.isatty():
        return text
    return wrapped(safe(text), shutil.get_terminal_size().columns)


def wrapped(text: str, columns: int) -> str:
    """``text`` with lines of at most ``columns`` cells, broken between words: a terminal would
    break ``[98]`` in the middle."""
    from rich.cells import cell_len
    from rich.console import Console
    from rich.text import Text

    console = Console(width=columns)
    lines: list[str] = []
    for line in text.split("\n"):
        if cell_len(line.expandtabs()) <= columns:
            lines.append(line)
        else:
            lines += (part.plain.rstrip(" ") for part in Text(line).wrap(console, columns))
    return "\n".join(lines)


def json_line(value: object) -> str:
    """One line of JSON for stdout: ASCII on a terminal, so that no character of a name or an answer
    controls it; UTF-8 in a pipe."""
    return json.dumps(value, ensure_ascii=sys.stdout.isatty())


def json_array(values: Iterable[object]) -> Iterator[str]:
    """``values`` as an array in one line of JSON, in pieces: a million do not fit in memory."""
    before = "["
    for value in values:
        yield before + json_line(value)
        before = ", "
    yield "[]" if before == "[" else "]"


def print_plain(console: Console, text: str) -> None:
    """Print ``safe`` text without markup and colours; on a terminal broken between words."""
    wraps = console.is_terminal
    console.print(safe(text), markup=False, highlight=False, soft_wrap=not wraps)


class Screen(io.TextIOWrapper):
    """A text stream that writes ``safe`` text."""

    def write(self, text: str) -> int:
        return super().write(safe(text))
