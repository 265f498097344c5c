"""Values for the places of a schema, drawn from what was seen."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from overstory.sandbox.colours import VOCABULARY
from overstory.sandbox.sight import Sight

_MARKER_NAMES = re.compile(r"marker|citation|cite|evidence|image|number|index|position|\bids?\b")
_COUNT_NAMES = re.compile(r"count|total|how_many|num_|number_of|amount|quantity")
_UNSURE = ("unknown", "other", "none", "unclear", "n/a")
_WORD = re.compile(r"[a-z]+")

Sights = Sequence[Sight]


def choice(options: list[Any], sights: Sights) -> Any:
    """The option that names what is seen; else one that admits it does not; else a steady pick."""
    words = _words(sights)
    for option in options:
        if isinstance(option, str) and words & set(_WORD.findall(option.lower())):
            return option
    for option in options:
        if isinstance(option, str) and option.lower() in _UNSURE:
            return option
    seen = "|".join(sight.line for sight in sights).encode()
    return options[blake2b(seen, digest_size=4).digest()[0] % len(options)]


def truth(name: str, sights: Sights) -> bool:
    """Whether what the name asks (``is_dark``) is seen; for other names, whether it is bright."""
    asked = set(_WORD.findall(name.lower())) & VOCABULARY
    return bool((asked or {"bright"}) & _words(sights))


def quantity(name: str, sights: Sights) -> float:
    """A count of the images, or of one image its width, brightness or marker, by the name."""
    plain = name.lower()
    if len(sights) != 1 or _COUNT_NAMES.search(plain):
        return len(sights)
    known = dict(sights[0].numbers)
    if plain in known:
        return known[plain]
    return sights[0].marker if _MARKER_NAMES.search(plain) else known.get("brightness", 1)


def is_count(name: str) -> bool:
    """Whether the name asks for a count."""
    return _COUNT_NAMES.search(name.lower()) is not None


def share(sights: Sights) -> float:
    """The mean share of the main colour, 0..1."""
    known = [dict(sight.numbers).get("share", 0.5) for sight in sights]
    return sum(known) / len(known) if known else 0.5


def phrase(name: str, pattern: str | None, sight: Sight) -> str:
    """Words for one image: what fits the pattern, its colour, its marker, or its whole line."""
    if pattern:
        forms = (f"[{sight.marker}]", str(sight.marker), sight.colour or "", sight.line)
        return next((form for form in forms if re.search(pattern, form)), forms[0])
    if re.search(r"colou?r", name.lower()):
        return sight.colour or "unknown"
    if name.lower() in ("marker", "image", "citation", "id"):
        return f"[{sight.marker}]"
    return f"[{sight.marker}] {sight.line}"


def distinct(values: list[Any]) -> list[Any]:
    """The values without repeats, in order."""
    kept = {json.dumps(value, sort_keys=True): value for value in values}
    return list(kept.values())


def _words(sights: Sights) -> set[str]:
    return {word for sight in sights for word in sight.words}
