"""Regular expressions of other people, matched by RE2 in time linear in the text.

The dialect is ECMA-262's as far as RE2 knows it (docs/shape.md). ``\\u0041``, ``\\u{41}`` and
Python's ``\\Z`` are translated. Look-around, back-references, atomic groups and more than 1,000
repetitions are refused: no engine matches them in linear time, or RE2 does not.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from core.errors import WrongUsage

if TYPE_CHECKING:  # loaded only for schemas with patterns
    import re2

CHARACTERS_MAX = 5_000
"""Of one expression: RE2 takes a second to compile one of 100,000."""
MEMORY_MAX = 4 << 20
"""Bytes of one expression: its program, and the states that RE2 keeps while it matches."""
COMPILED_MAX = 128
"""Expressions kept by a process."""
SHOWN_MAX = 80
"""Characters of an expression that a message shows."""
_ESCAPE = re.compile(
    r"\\(?:u\{([0-9A-Fa-f]{1,6})\}|u([0-9A-Fa-f]{4})(?:\\u([Dd][C-Fc-f][0-9A-Fa-f]{2}))?|(.))",
    re.DOTALL,
)
_REFUSED = (
    ("invalid perl operator: (?=", "look-around is not supported"),
    ("invalid perl operator: (?!", "look-around is not supported"),
    ("invalid perl operator: (?<", "look-around is not supported"),
    ("invalid perl operator: (?>", "atomic groups are not supported"),
    *(
        (rf"invalid escape sequence: \{n}", "back-references are not supported")
        for n in range(1, 10)
    ),
    (r"invalid escape sequence: \k", "back-references are not supported"),
    ("invalid repetition size", "more than 1,000 repetitions are not supported"),
    ("pattern too large", "it is too large: use minLength and maxLength for lengths"),
)
"""How RE2's messages begin, and what we write instead."""


class Pattern:
    """A compiled expression. ``size``: of its program. A match takes time in proportion to the size
    times the length of the text, in the worst case."""

    def __init__(self, compiled: re2._Regexp) -> None:
        self._compiled = compiled
        self.size: int = compiled.programsize

    def is_in(self, text: str) -> bool:
        """Whether ``text`` has a match anywhere, as JSON Schema reads patterns."""
        found: Any = self._compiled.search(text.encode("utf-8", "replace"))
        return found is not None


@lru_cache(maxsize=COMPILED_MAX)
def compiled(text: str) -> Pattern:
    """Raises WrongUsage, which says what RE2 does not support."""
    import re2

    if len(text) > CHARACTERS_MAX:
        raise WrongUsage(f"a pattern has more than {CHARACTERS_MAX:,} characters")
    options = re2.Options()
    options.max_mem = MEMORY_MAX
    options.never_capture = True
    options.log_errors = False
    try:
        return Pattern(re2.compile(_translated(text).encode(), options=options))
    except UnicodeEncodeError:
        reason = "it holds half of a surrogate pair"
    except re2.error as error:
        reason = _reason(error)
    raise WrongUsage(f"the pattern {_short(text)!r} cannot be used: {reason}")


def _translated(text: str) -> str:
    """``text`` with ECMA-262's escapes in RE2's spelling."""
    return _ESCAPE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    braced, first, second, other = match.groups()
    if other is not None:
        return r"\z" if other == "Z" else match[0]
    if braced is None and second is not None and first.upper().startswith(("D8", "D9", "DA", "DB")):
        code = 0x10000 + ((int(first, 16) - 0xD800) << 10) + int(second, 16) - 0xDC00
        return rf"\x{{{code:X}}}"
    after = "" if second is None else rf"\x{{{second}}}"
    return rf"\x{{{braced or first}}}" + after


def _reason(error: Exception) -> str:
    given = error.args[0] if error.args else ""
    message = given.decode("utf-8", "replace") if isinstance(given, bytes) else str(given)
    for beginning, reason in _REFUSED:
        if message.startswith(beginning):
            return reason
    return _short(message)


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}..."
