"""Numbers in words: a model that writes about computed totals may repeat them, not make its own.

A number is backed when what the model was given has it, exactly or as it rounds. Citations are
numbers of images and are checked elsewhere (core.text.citations).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from decimal import Decimal

from core.text.citations import parted, sentences

_NUMBER = re.compile(r"(?<![\w.])\d+(?:[.,'\u00a0\u202f]\d{3})*(?:[.,]\d+)?(?!\w)")
_MARKS = re.compile(r"[,'\u00a0\u202f]")


def numbers_in(text: str) -> frozenset[Decimal]:
    """Every number that ``text`` has, whichever way its marks are meant."""
    return frozenset(each for token in _tokens(text) for each in _readings(token))


def unbacked(text: str, known: Collection[Decimal]) -> list[str]:
    """The numbers of ``text``, as written, that ``known`` does not back."""
    return [token for token in _tokens(text) if not _backed(token, known)]


def without_unbacked(text: str, known: Collection[Decimal]) -> str:
    """``text`` without the sentences that have a number of their own; it may come to nothing."""
    return "".join(each for each in sentences(text) if not unbacked(each, known)).strip()


def _tokens(text: str) -> Iterator[str]:
    for part in parted(text):
        if isinstance(part, str):
            yield from (match.group(0) for match in _NUMBER.finditer(part))


def _readings(token: str) -> set[Decimal]:
    """``1.234`` may be a thousand or one and a bit; ``12,5`` has a decimal comma."""
    plain = _MARKS.sub("", token)
    found = {Decimal(plain)} if plain.count(".") <= 1 else set()
    found.add(Decimal(re.sub(r"\D", "", token)))
    if token.count(",") == 1:
        swapped = re.sub(r"[.'\u00a0\u202f]", "", token).replace(",", ".")
        found.add(Decimal(swapped))
    return found


def _backed(token: str, known: Collection[Decimal]) -> bool:
    return any(_is_about(reading, each) for reading in _readings(token) for each in known)


def _is_about(reading: Decimal, known: Decimal) -> bool:
    """Whether ``known``, rounded to as many places as ``reading`` has, is ``reading``."""
    if reading == known:
        return True
    exponent = reading.as_tuple().exponent
    places = -exponent if isinstance(exponent, int) else 0
    return places > 0 and round(known, places) == reading
