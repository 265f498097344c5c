"""Answers in JSON: a value for any common JSON schema, filled from what was seen."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from overstory.sandbox.answers.json_schema import DEEPEST, Schema, kind_of, map_schema, resolved
from overstory.sandbox.answers.observation import Observation
from overstory.sandbox.vision.colours import VOCABULARY

_MARKER_NAMES = re.compile(r"marker|citation|cite|evidence|image|number|index|position|\bids?\b")
_COUNT_NAMES = re.compile(r"count|total|how_many|num_|number_of|amount|quantity")
_UNSURE = ("unknown", "other", "none", "unclear", "n/a")
_WORD = re.compile(r"[a-z]+")
_INTEGER_MAX = 2**53
Scope = tuple[Observation, ...]
"""The images that a value is about."""


def fill(
    schema: Schema,
    observations: Sequence[Observation],
    text: str,
    one_by_one: Sequence[Observation] | None = None,
    groups: Mapping[str, tuple[Scope, str]] = MappingProxyType({}),
) -> Any:
    """A value that validates against ``schema``; ``text`` is the answer in words.

    ``one_by_one``: what stands under the markers that are keys of the outermost object, if that
    differs from ``observations``. ``groups``: what each key of the outermost object is about that
    stands for several images, and the answer about them in words.

    Supports types, properties, items, enum, const, $ref, anyOf, oneOf, allOf, bounds of numbers,
    lengths and sizes, additionalProperties and patternProperties (one entry for each marker). It
    ignores a string's pattern.
    """
    outermost = tuple(observations if one_by_one is None else one_by_one)
    return _Filler(schema, text, outermost, groups).value(schema, "", tuple(observations))


@dataclass(frozen=True, slots=True)
class _Filler:
    """Walks a schema. Inside a list or map of images the scope is one image."""

    root: Schema
    text: str
    outermost: Scope  # what the markers mean that are keys of the outermost object
    groups: Mapping[str, tuple[Scope, str]]

    def value(self, schema: Schema, name: str, scope: Scope, depth: int = 0) -> Any:
        """The value for one place of the schema; ``name`` is its key in the object around it."""
        schema = resolved(self.root, schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return _choice(schema["enum"], scope)
        match kind_of(schema):
            case "object":
                return self._object(schema, name, scope, depth + 1)
            case "array":
                return self._array(schema, name, scope, depth + 1)
            case "integer":
                return _integer(schema, _quantity(name, scope))
            case "number":
                return _number(schema, name, scope)
            case "boolean":
                asked = VOCABULARY.intersection(_WORD.findall(name.lower())) or {"bright"}
                return bool(asked & _words(scope))
            case "null":
                return None
        text = _phrase(name, scope[0]) if len(scope) == 1 else self.text
        return text[: schema.get("maxLength")].ljust(schema.get("minLength", 0), ".")

    def _object(self, schema: Schema, name: str, scope: Scope, depth: int) -> dict[str, Any]:
        properties, required = schema.get("properties") or {}, schema.get("required", ())
        images = self.outermost if depth == 1 else scope
        by_marker = {str(observation.marker): (observation,) for observation in images}
        keys = [*required] if depth > DEEPEST else [*properties, *required]
        wanted = {key: properties.get(key, {}) for key in keys}
        entry = map_schema(schema)
        if entry is not None and not properties and depth <= DEEPEST:
            wanted |= dict.fromkeys(by_marker, entry)
        groups = self.groups if depth == 1 else {}
        return {
            key: self._about(groups[key], part)
            if key in groups
            else self.value(
                part, name if key in by_marker else key, by_marker.get(key, scope), depth
            )
            for key, part in wanted.items()
        }

    def _about(self, group: tuple[Scope, str], schema: Schema) -> Any:
        scope, text = group
        return replace(self, text=text).value(schema, "", scope, depth=1)

    def _array(self, schema: Schema, name: str, scope: Scope, depth: int) -> list[Any]:
        scopes: list[Scope] = []
        if depth <= DEEPEST:
            scopes += [(observation,) for observation in scope]
        scopes += [scope] * (schema.get("minItems", 0) - len(scopes))
        items = schema.get("items", {})
        values = [self.value(items, name, one, depth) for one in scopes[: schema.get("maxItems")]]
        if schema.get("uniqueItems"):
            return list({json.dumps(value, sort_keys=True): value for value in values}.values())
        return values


def _integer(schema: Schema, quantity: float) -> int:
    low = schema.get("minimum", schema.get("exclusiveMinimum", -_INTEGER_MAX) + 1)
    high = schema.get("maximum", schema.get("exclusiveMaximum", _INTEGER_MAX) - 1)
    return int(min(max(quantity, low), high))


def _number(schema: Schema, name: str, scope: Scope) -> float:
    """Between two bounds: by the mean share of the main colour. Else that share, or a count."""
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    shares = [dict(observation.numbers).get("share", 0.5) for observation in scope] or [0.5]
    share = min(sum(shares) / len(shares), 0.99)
    if low is not None and high is not None:
        return float(low + (high - low) * share)
    value = _quantity(name, scope) if _COUNT_NAMES.search(name.lower()) else share
    return float(value if low is None else max(value, low + 1))


def _quantity(name: str, scope: Scope) -> float:
    """A count of the images; for one image its width, brightness or marker, by the name."""
    name = name.lower()
    if len(scope) != 1 or _COUNT_NAMES.search(name):
        return len(scope)
    known = dict(scope[0].numbers)
    if name in known:
        return known[name]
    return scope[0].marker if _MARKER_NAMES.search(name) else known.get("brightness", 1)


def _choice(options: list[Any], scope: Scope) -> Any:
    """The option that names what is seen, else one like "unknown", else the first."""
    texts = [option for option in options if isinstance(option, str)]
    words = _words(scope)
    named = [option for option in texts if words.intersection(_WORD.findall(option.lower()))]
    unsure = [option for option in texts if option.lower() in _UNSURE]
    return [*named, *unsure, *options][0]


def _phrase(name: str, observation: Observation) -> str:
    """Text about one image: its colour, its marker, or its marker and line, by the name."""
    if observation.says is not None:
        return observation.says
    if re.search(r"colou?r", name.lower()):
        return observation.colour or "unknown"
    marker = f"[{observation.marker}]"
    is_marker = name.lower() in ("marker", "image", "citation", "id")
    return marker if is_marker else f"{marker} {observation.line}"


def _words(scope: Scope) -> set[str]:
    return {word for observation in scope for word in observation.words}
