"""JSON schemas: found in a request, with references and alternatives resolved."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

Schema = dict[str, Any]
DEEPEST = 12
_SCHEMA_WORDS = frozenset({"$schema", "properties", "patternProperties", "additionalProperties"})


def wanted_schema(response_format: dict[str, Any], prompt: str) -> Schema | None:
    """The schema to answer by: the given one, or for ``json_object`` one embedded in the prompt.

    An example whose keys are all numbers (``{"1": ...}``) means a map with an entry a marker.
    """
    if response_format["type"] == "json_schema":
        schema: Schema = response_format["json_schema"]["schema"]
        return schema
    for found in embedded_objects(prompt):
        if _SCHEMA_WORDS & found.keys():
            return found
        if found and all(key.isdecimal() for key in found):
            return {"type": "object", "additionalProperties": _like(next(iter(found.values())))}
    return {"type": "object", "additionalProperties": {}} if _asks_map(prompt) else None


def asks_json(texts: Sequence[str]) -> bool:
    """Whether the instruction asks for JSON in words alone: it says so and shows a schema."""
    said = texts[-1] if texts else ""
    return "JSON object" in said and any(
        _SCHEMA_WORDS & found.keys() for found in embedded_objects(said)
    )


def embedded_objects(text: str) -> list[dict[str, Any]]:
    """The outermost JSON objects written in a text."""
    found, at, decoder = [], text.find("{"), json.JSONDecoder()
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
        except ValueError:
            end = at + 1
        else:
            found.append(value)
        at = text.find("{", end)
    return found


def _asks_map(prompt: str) -> bool:
    return re.search(r'\{\s*"\d+"\s*:', prompt) is not None


def _like(example: object) -> Schema:
    if isinstance(example, dict):
        kept = {key: _like(value) for key, value in example.items()}
        return {"type": "object", "properties": kept}
    if isinstance(example, list):
        return {"type": "array", "items": _like(example[0]) if example else {}}
    names = {bool: "boolean", int: "integer", float: "number"}
    return {"type": names.get(type(example), "string")}


def resolved(root: Schema, schema: Any) -> Schema:
    """The schema behind references and alternatives; the first that is not null is taken."""
    if not isinstance(schema, dict):
        return {}
    for _ in range(DEEPEST):
        if "$ref" in schema:
            schema = _referred(root, schema["$ref"])
        elif options := schema.get("anyOf") or schema.get("oneOf"):
            real = [each for each in options if each.get("type") != "null"]
            schema = _without(schema, "anyOf", "oneOf") | (real or options)[0]
        elif parts := schema.get("allOf"):
            schema = _without(schema, "allOf")
            for part in parts:
                schema = _merged(schema, resolved(root, part))
        else:
            break
    return dict(schema)


def _referred(root: Schema, pointer: str) -> Schema:
    place: Any = root
    for step in pointer.removeprefix("#").strip("/").split("/"):
        place = place.get(step, {}) if step and isinstance(place, dict) else place
    return place if isinstance(place, dict) else {}


def kind_of(schema: Schema) -> str:
    """The type a value of ``schema`` takes; the first that is not null, guessed when unsaid."""
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    if isinstance(kind, str):
        return kind
    if _SCHEMA_WORDS & schema.keys():
        return "object"
    return "array" if "items" in schema else "string"


def map_schema(schema: Schema) -> Schema | None:
    """The schema of an object's free entries, if it has a place for them."""
    patterns = schema.get("patternProperties")
    if patterns:
        return dict(next(iter(patterns.values())))
    extra = schema.get("additionalProperties")
    return extra if isinstance(extra, dict) else None


def _without(schema: Schema, *keys: str) -> Schema:
    return {key: value for key, value in schema.items() if key not in keys}


def _merged(first: Schema, second: Schema) -> Schema:
    properties = {**first.get("properties", {}), **second.get("properties", {})}
    required = [*first.get("required", ()), *second.get("required", ())]
    merged = first | second
    return merged | ({"properties": properties, "required": required} if properties else {})
