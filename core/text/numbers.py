"""Numbers in text: a model that writes about computed totals may repeat numbers, not invent them.

A number is backed if the model's input contains it, exactly or before rounding. Citations are image
numbers; core.text.citations checks them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from decimal import Decimal

from core.text.citations import parted, sentences

_NUMBER = re.compile(r"(?<![\w.])\d+(?:[.,'\u00a0\u202f]\d{3})*(?:[.,]\d+)?(?!\w)")


def numbers_in(text: str) -> frozenset[Decimal]:
    """Every number in ``text``, in each possible reading of its separators."""
    return frozenset(reading for token in _tokens(text) for reading in _readings(token))


def unbacked(text: str, known: Collection[Decimal]) -> list[str]:
    """The numbers in ``text`` that ``known`` does not back, as written."""
    return [token for token in _tokens(text) if not _backed(token, known)]


def without_unbacked(text: str, known: Collection[Decimal]) -> str:
    """``text`` without the sentences that contain an unbacked number; may be empty."""
    return "".join(part for part in sentences(text) if not unbacked(part, known)).strip()


def _tokens(text: str) -> Iterator[str]:
    for part in parted(text):
        if isinstance(part, str):
            yield from (match.group(0) for match in _NUMBER.finditer(part))


def _readings(token: str) -> set[Decimal]:
    """Values that ``token`` may mean: ``1.234`` is 1234 or 1.234; ``12,5`` has a decimal comma."""
    readings = {Decimal(re.sub(r"\D", "", token))}  # all separators group thousands
    for point in (".", ","):
        if token.count(point) <= 1:
            plain = re.sub(rf"[^\d{point}]", "", token)
            readings.add(Decimal(plain.replace(",", ".")))
    return readings


def _backed(token: str, known: Collection[Decimal]) -> bool:
    return any(_rounds_to(number, reading) for reading in _readings(token) for number in known)


def _rounds_to(number: Decimal, reading: Decimal) -> bool:
    """Whether ``number``, rounded to the decimal places of ``reading``, equals it."""
    if reading == number:
        return True
    exponent = reading.as_tuple().exponent
    places = -exponent if isinstance(exponent, int) else 0
    return places > 0 and round(number, places) == reading
