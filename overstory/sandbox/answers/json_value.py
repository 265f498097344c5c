"""Answers in JSON: a value for any common JSON schema, filled with what was seen."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from overstory.sandbox.answers.json_schema import DEEPEST, Schema, kind_of, map_schema, resolved
from overstory.sandbox.answers.observation import Observation
from overstory.sandbox.vision.colours import VOCABULARY


def fill(schema: Schema, sights: Sequence[Observation], text: str) -> Any:
    """A value that validates against ``schema``; ``text`` is the answer in words.

    Knows types, properties, items, enum, const, $ref, anyOf, oneOf, allOf, the bounds of numbers,
    lengths and sizes, additionalProperties and patternProperties (an entry a marker). A pattern
    on a string is met by a marker or not at all.
    """
    return Filler(schema, text).value(schema, "", tuple(sights))


@dataclass(frozen=True, slots=True)
class Filler:
    """Walks a schema; the sights narrow to one image inside a list or map of images."""

    root: Schema
    text: str
    depth: int = 0

    def value(self, schema: Schema, name: str, sights: tuple[Observation, ...]) -> Any:
        """The value for one place of the schema, called ``name`` in its object."""
        schema = resolved(self.root, schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return choice(schema["enum"], sights)
        filler = self._fillers().get(kind_of(schema), Filler._string)
        return filler(replace(self, depth=self.depth + 1), schema, name, sights)

    @staticmethod
    def _fillers() -> dict[str, Callable[[Filler, Schema, str, tuple[Observation, ...]], Any]]:
        return {
            "object": Filler._object,
            "array": Filler._array,
            "integer": Filler._integer,
            "number": Filler._number,
            "boolean": Filler._boolean,
            "null": Filler._null,
        }

    def _object(self, schema: Schema, name: str, sights: tuple[Observation, ...]) -> dict[str, Any]:
        wanted = schema.get("properties") or {}
        by_marker = {str(sight.marker): sight for sight in sights}
        if self.depth > DEEPEST:
            wanted = {key: wanted.get(key, {}) for key in schema.get("required", ())}
        entries = {
            key: self.value(each, key, (by_marker[key],) if key in by_marker else sights)
            for key, each in wanted.items()
        }
        for key in schema.get("required", ()):
            entries.setdefault(key, self.value({}, key, sights))
        each = map_schema(schema)
        if each is not None and not wanted:
            for sight in sights:
                entries[str(sight.marker)] = self.value(each, name, (sight,))
        return entries

    def _array(self, schema: Schema, name: str, sights: tuple[Observation, ...]) -> list[Any]:
        if "prefixItems" in schema:
            return [self.value(each, name, sights) for each in schema["prefixItems"]]
        each = schema.get("items", {})
        scopes: list[tuple[Observation, ...]] = [(sight,) for sight in sights]
        if self.depth > DEEPEST:
            scopes = []
        least = schema.get("minItems", 0)
        while len(scopes) < least:
            scopes.append(scopes[-1] if scopes else sights)
        values = [self.value(each, name, s) for s in scopes[: schema.get("maxItems")]]
        return distinct(values) if schema.get("uniqueItems") else values

    def _string(self, schema: Schema, name: str, sights: tuple[Observation, ...]) -> str:
        text = self.text
        if len(sights) == 1:
            text = phrase(name, schema.get("pattern"), sights[0])
        least, most = schema.get("minLength", 0), schema.get("maxLength")
        return text[:most].ljust(least, ".")

    def _integer(self, schema: Schema, name: str, sights: tuple[Observation, ...]) -> int:
        step = int(schema.get("multipleOf", 1)) or 1
        low = schema.get("minimum", schema.get("exclusiveMinimum", -(2**53)) + 1)
        high = schema.get("maximum", schema.get("exclusiveMaximum", 2**53) - 1)
        value = int(min(max(quantity(name, sights), low), high)) // step * step
        return value if value >= low else value + step

    def _number(self, schema: Schema, name: str, sights: tuple[Observation, ...]) -> float:
        low = schema.get("minimum", schema.get("exclusiveMinimum"))
        high = schema.get("maximum", schema.get("exclusiveMaximum"))
        part = min(share(sights), 0.99)
        if low is not None and high is not None:
            return float(low + (high - low) * part)
        value = quantity(name, sights) if is_count(name) else part
        return float(max(value, low + 1) if low is not None else value)

    def _boolean(self, schema: Schema, name: str, sights: tuple[Observation, ...]) -> bool:
        return truth(name, sights)

    def _null(self, schema: Schema, name: str, sights: tuple[Observation, ...]) -> None:
        return None


_MARKER_NAMES = re.compile(r"marker|citation|cite|evidence|image|number|index|position|\bids?\b")
_COUNT_NAMES = re.compile(r"count|total|how_many|num_|number_of|amount|quantity")
_UNSURE = ("unknown", "other", "none", "unclear", "n/a")
_WORD = re.compile(r"[a-z]+")
Sights = Sequence[Observation]


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


def phrase(name: str, pattern: str | None, sight: Observation) -> str:
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
