"""Numbers in text: a model that writes about computed totals may repeat numbers, not invent them.

A number is backed if the model's input contains it, exactly or before rounding. Citations are image
numbers; core.text.citations checks them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from decimal import Decimal, InvalidOperation

from core.text.citations import parted, sentences

_NUMBER = re.compile(r"(?<![\w.])\d+(?:[.,'\u00a0\u202f]\d{3})*(?:[.,]\d+)?(?!\w)")


PLACES_MAX = 15
"""Decimal places to which a number may be rounded; one with more must be exactly a known one."""


def numbers_in(text: str) -> frozenset[Decimal]:
    """Every number in ``text``, in each possible reading of its separators."""
    return frozenset(reading for token in _tokens(text) for reading in _readings(token))


def unbacked(text: str, known: Collection[Decimal]) -> list[str]:
    """The numbers in ``text`` that ``known`` does not back, as written."""
    return _Backing(known).lacking(text)


def without_unbacked(text: str, known: Collection[Decimal]) -> str:
    """``text`` without the sentences that contain an unbacked number; may be empty."""
    backing = _Backing(known)
    return "".join(part for part in sentences(text) if not backing.lacking(part)).strip()


class _Backing:
    """Known numbers, exact and rounded to any number of places; each rounding is made once."""

    def __init__(self, known: Collection[Decimal]) -> None:
        self._known = frozenset(known)
        self._rounded: dict[int, frozenset[Decimal]] = {}

    def lacking(self, text: str) -> list[str]:
        """The numbers in ``text`` that are not backed, as written."""
        return [token for token in _tokens(text) if not any(map(self._backs, _readings(token)))]

    def _backs(self, reading: Decimal) -> bool:
        if reading in self._known:
            return True
        exponent = reading.as_tuple().exponent
        places = -exponent if isinstance(exponent, int) else 0
        return 0 < places <= PLACES_MAX and reading in self._rounded_to(places)

    def _rounded_to(self, places: int) -> frozenset[Decimal]:
        if places not in self._rounded:
            rounded = (_rounded(number, places) for number in self._known)
            self._rounded[places] = frozenset(n for n in rounded if n is not None)
        return self._rounded[places]


def _rounded(number: Decimal, places: int) -> Decimal | None:
    """None if it has more digits than are calculated with (28)."""
    try:
        return round(number, places)
    except InvalidOperation:
        return None


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
