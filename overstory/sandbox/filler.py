"""Answers in JSON: a value for any common JSON schema, filled with what was seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from overstory.sandbox import pick
from overstory.sandbox.schema import DEEPEST, Schema, kind_of, map_schema, resolved
from overstory.sandbox.sight import Sight


def fill(schema: Schema, sights: Sequence[Sight], text: str) -> Any:
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

    def value(self, schema: Schema, name: str, sights: tuple[Sight, ...]) -> Any:
        """The value for one place of the schema, called ``name`` in its object."""
        schema = resolved(self.root, schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return pick.choice(schema["enum"], sights)
        filler = self._fillers().get(kind_of(schema), Filler._string)
        return filler(replace(self, depth=self.depth + 1), schema, name, sights)

    @staticmethod
    def _fillers() -> dict[str, Callable[[Filler, Schema, str, tuple[Sight, ...]], Any]]:
        return {
            "object": Filler._object,
            "array": Filler._array,
            "integer": Filler._integer,
            "number": Filler._number,
            "boolean": Filler._boolean,
            "null": Filler._null,
        }

    def _object(self, schema: Schema, name: str, sights: tuple[Sight, ...]) -> dict[str, Any]:
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

    def _array(self, schema: Schema, name: str, sights: tuple[Sight, ...]) -> list[Any]:
        if "prefixItems" in schema:
            return [self.value(each, name, sights) for each in schema["prefixItems"]]
        each = schema.get("items", {})
        scopes: list[tuple[Sight, ...]] = [(sight,) for sight in sights]
        if self.depth > DEEPEST:
            scopes = []
        least = schema.get("minItems", 0)
        while len(scopes) < least:
            scopes.append(scopes[-1] if scopes else sights)
        values = [self.value(each, name, s) for s in scopes[: schema.get("maxItems")]]
        return pick.distinct(values) if schema.get("uniqueItems") else values

    def _string(self, schema: Schema, name: str, sights: tuple[Sight, ...]) -> str:
        text = self.text
        if len(sights) == 1:
            text = pick.phrase(name, schema.get("pattern"), sights[0])
        least, most = schema.get("minLength", 0), schema.get("maxLength")
        return text[:most].ljust(least, ".")

    def _integer(self, schema: Schema, name: str, sights: tuple[Sight, ...]) -> int:
        step = int(schema.get("multipleOf", 1)) or 1
        low = schema.get("minimum", schema.get("exclusiveMinimum", -(2**53)) + 1)
        high = schema.get("maximum", schema.get("exclusiveMaximum", 2**53) - 1)
        value = int(min(max(pick.quantity(name, sights), low), high)) // step * step
        return value if value >= low else value + step

    def _number(self, schema: Schema, name: str, sights: tuple[Sight, ...]) -> float:
        low = schema.get("minimum", schema.get("exclusiveMinimum"))
        high = schema.get("maximum", schema.get("exclusiveMaximum"))
        share = min(pick.share(sights), 0.99)
        if low is not None and high is not None:
            return float(low + (high - low) * share)
        value = pick.quantity(name, sights) if pick.is_count(name) else share
        return float(max(value, low + 1) if low is not None else value)

    def _boolean(self, schema: Schema, name: str, sights: tuple[Sight, ...]) -> bool:
        return pick.truth(name, sights)

    def _null(self, schema: Schema, name: str, sights: tuple[Sight, ...]) -> None:
        return None
