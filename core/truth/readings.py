"""How a number, a date, a yes or no and a set are read from a cell or an answer."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from dateutil import parser

YES = frozenset({"true", "yes"})
NO = frozenset({"false", "no"})
CENTURY_FROM = 1970
"""A year of two digits is one of the hundred years from here, whatever the clock says."""
_PARTS = re.compile(r"[,;|]")
_GROUPED = re.compile(r"[+-]?\d{1,3}([.,'\u00a0\u202f ]\d{3})+([.,]\d+)?")
_DEFAULTS = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2004, 2, 2, tzinfo=UTC))
_THOUSANDS = "'\u00a0\u202f "


def folded(value: Any) -> str:
    """Text without case, accents, surrounding space and runs of space: Unicode NFKD, then
    casefold (Unicode Standard, sections 3.11 and 3.13)."""
    text = unicodedata.normalize("NFKD", as_text(value)).casefold()
    text = "".join(part for part in text if not unicodedata.combining(part))
    return " ".join(text.split())


def as_text(value: Any) -> str:
    """``true`` and ``false`` as JSON writes them; anything else by ``str``."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def number(value: Any) -> Decimal | None:
    """A number from JSON, or one written alone in text, with a currency sign or not; else None.

    The last of two kinds of separators is the decimal one. A comma before exactly three digits
    separates thousands; a dot does not, unless there are two.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    signless = "".join(char for char in str(value) if unicodedata.category(char) != "Sc")
    text = signless.strip().replace("\u2212", "-")
    try:
        result = Decimal(_with_a_dot(text))
    except InvalidOperation:
        return None
    return result if result.is_finite() else None


def _with_a_dot(text: str) -> str:
    """``text`` without separators of thousands, with a dot before its decimals."""
    commas, dots = text.count(","), text.count(".")
    if _GROUPED.fullmatch(text):
        text = text.translate(dict.fromkeys(map(ord, _THOUSANDS)))
        if commas and dots:
            decimal = max(",.", key=text.rindex)
            return text.replace("," if decimal == "." else ".", "").replace(",", ".")
        if (commas == 1 and re.search(r",\d{3}$", text)) or commas > 1 or dots > 1:
            return text.replace(",", "").replace(".", "")
    return text.replace(",", ".") if commas == 1 and not dots else text


def truth_of(value: Any) -> bool | None:
    """A boolean, or the word for one in English; else None."""
    if isinstance(value, bool):
        return value
    word = folded(value)
    return word in YES if word in YES | NO else None


def members(value: Any) -> frozenset[str]:
    """The members of a list, or of text with commas, semicolons or bars between; each folded."""
    parts: Collection[Any] = value if isinstance(value, list) else _PARTS.split(as_text(value))
    return frozenset(word for part in parts if (word := folded(part)))


def day(value: Any, month_first: bool) -> date | None:
    """The day that ``value`` names, or None. Year, month and day must all be there.

    ISO 8601 is read as it is. Else dateutil reads it: names of months are English, and where both
    of two numbers may be the month, ``month_first`` decides.
    """
    text = as_text(value).strip()
    try:
        return datetime.fromisoformat(text).date()
    except ValueError:
        pass
    calendar = _Calendar(dayfirst=not month_first)
    try:  # what the text leaves out comes from the default, so two defaults must agree
        days = {
            parser.parser(calendar).parse(text, default=default).date() for default in _DEFAULTS
        }
    except (ValueError, OverflowError):
        return None
    return days.pop() if len(days) == 1 else None


class _Calendar(parser.parserinfo):  # type: ignore[misc]  # dateutil has no types
    def convertyear(self, year: int, century_specified: bool = False) -> int:
        if year >= 100 or century_specified:
            return year
        return CENTURY_FROM + (year - CENTURY_FROM) % 100
