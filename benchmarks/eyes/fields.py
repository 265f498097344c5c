"""From rows of text to the fields of a receipt, by pattern. Functions of values, without OCR."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.eyes.rows import Row

SURE = 0.8
"""A field from a row of less confidence is marked as unclear."""
TOTAL = re.compile(r"total|gesamt|summe|somme|.yno.o|合[计計]|[总總]计|總計")
"""Words in folded rows. Recognition is unsure of two of the letters of the Greek word."""
NUMBER = re.compile(r"no\.|nr\.|number|receipt|ap\.|[单單][号號]|[番编編][号號]")
LOOK_ALIKES = str.maketrans("αβεζηικμνορτυχ", "abezhikmnoptyx")
"""Greek letters whose capitals look like Latin ones: no eye can tell A from Α."""
AMOUNT = re.compile(r"(?<![\d.,])(\d{1,3}(?:[ ,.]\d{3})+|\d+)\s?[.,]\s?(\d{2})(?![\d.,]?\d)")
YEAR_FIRST = re.compile(r"(20\d\d)\s?[-./年]\s?(\d{1,2})\s?[-./月]\s?(\d{1,2})(?!\d)")
DAY_FIRST = re.compile(r"(?<!\d)(\d{1,2})\s?[-./]\s?(\d{1,2})\s?[-./]\s?(20\d\d)")
DIGITS = re.compile(r"\d{4,}")


@dataclass(frozen=True, slots=True)
class Found:
    """A field's value and the confidence of the row that it was read from."""

    value: Any
    confidence: float

    @property
    def clear(self) -> bool:
        return self.confidence >= SURE


def folded(text: str) -> str:
    """``text`` in small letters, without accents and spaces; look-alike letters are one."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    kept = (c for c in plain if not unicodedata.combining(c) and not c.isspace())
    return "".join(kept).translate(LOOK_ALIKES)


def amounts(text: str) -> list[float]:
    """The amounts with two decimals, whichever of point and comma separates them."""
    return [
        float(re.sub(r"[ ,.]", "", whole) + "." + cents) for whole, cents in AMOUNT.findall(text)
    ]


def total(rows: Sequence[Row]) -> Found | None:
    """The last amount on the last row that has a word for total and an amount."""
    for row in reversed(rows):
        if TOTAL.search(folded(row.text)) and (given := amounts(row.text)):
            return Found(given[-1], row.confidence)
    return None


def prices(rows: Sequence[Row]) -> Found | None:
    """The last amount of each row that has no word for total."""
    found = [
        (given[-1], row.confidence)
        for row in rows
        if (given := amounts(row.text)) and not TOTAL.search(folded(row.text))
    ]
    if not found:
        return None
    return Found([price for price, _ in found], min(confidence for _, confidence in found))


def date(rows: Sequence[Row]) -> Found | None:
    """The first date, as YYYY-MM-DD."""
    for row in rows:
        text = unicodedata.normalize("NFKC", row.text)
        if found := YEAR_FIRST.search(text):
            year, month, day = found.groups()
        elif found := DAY_FIRST.search(text):
            day, month, year = found.groups()
        else:
            continue
        if 1 <= int(month) <= 12 and 1 <= int(day) <= 31:
            return Found(f"{year}-{int(month):02}-{int(day):02}", row.confidence)
    return None


def number(rows: Sequence[Row]) -> Found | None:
    """The last run of four digits or more on the first row that has a word for number."""
    for row in rows:
        if NUMBER.search(folded(row.text)) and (runs := DIGITS.findall(row.text)):
            return Found(runs[-1], row.confidence)
    return None


def shop(rows: Sequence[Row]) -> Found | None:
    """The first row."""
    return Found(rows[0].text, rows[0].confidence) if rows else None


def text(rows: Sequence[Row]) -> Found | None:
    """All rows in order."""
    if not rows:
        return None
    return Found("; ".join(row.text for row in rows), min(row.confidence for row in rows))


FIELDS: dict[str, Callable[[Sequence[Row]], Found | None]] = {
    "shop": shop,
    "date": date,
    "number": number,
    "total": total,
    "prices": prices,
    "text": text,
}


def read(rows: Sequence[Row], names: Sequence[str]) -> dict[str, Found | None]:
    """The fields called ``names``; a name that is not in FIELDS is None."""
    return {name: FIELDS[name](rows) if name in FIELDS else None for name in names}


def unclear(fields: dict[str, Found | None]) -> list[str]:
    """The names of fields that were not found, or were read without confidence."""
    return [name for name, found in fields.items() if found is None or not found.clear]
