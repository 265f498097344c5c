"""JSON schemas: found in a request, with references and alternatives resolved."""

from __future__ import annotations

import json
import re
from typing import Any

Schema = dict[str, Any]
DEEPEST = 12
_KEYWORDS = frozenset({"$schema", "properties", "patternProperties", "additionalProperties"})


def wanted_schema(response_format: dict[str, Any], prompt: str) -> Schema | None:
    """The schema to answer by: the given one, or for ``json_object`` one written in the prompt.

    An example such as ``{"1": ...}`` means a map with one text for each marker.
    """
    if response_format["type"] == "json_schema":
        schema: Schema = response_format["json_schema"]["schema"]
        return schema
    for value in embedded_objects(prompt):
        if _KEYWORDS & value.keys():
            return value
    shows_map = re.search(r'\{\s*"\d+"\s*:', prompt)
    return {"type": "object", "additionalProperties": {}} if shows_map else None


def asks_json(text: str) -> bool:
    """Whether an instruction asks for JSON without ``response_format``, and shows a schema."""
    return "JSON object" in text and any(
        _KEYWORDS & value.keys() for value in embedded_objects(text)
    )


def embedded_objects(text: str) -> list[dict[str, Any]]:
    """The outermost JSON objects written in a text."""
    objects, at, decoder = [], text.find("{"), json.JSONDecoder()
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
        except ValueError:
            end = at + 1
        else:
            objects.append(value)
        at = text.find("{", end)
    return objects


def resolved(root: Schema, schema: Any) -> Schema:
    """The schema behind references and alternatives; of those the first that is not null."""
    if not isinstance(schema, dict):
        return {}
    for _ in range(DEEPEST):
        if "$ref" in schema:
            schema = _referred(root, schema["$ref"])
            continue
        rest = {
            key: value for key, value in schema.items() if key not in ("anyOf", "oneOf", "allOf")
        }
        if options := schema.get("anyOf") or schema.get("oneOf"):
            schema = rest | next((o for o in options if o.get("type") != "null"), options[0])
        elif parts := schema.get("allOf"):
            schema = rest
            for part in parts:
                schema = _merged(schema, resolved(root, part))
        else:
            break
    return dict(schema)


def kind_of(schema: Schema) -> str:
    """The type of a value of ``schema``: the first that is not null, guessed if it has none."""
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), "null")
    if isinstance(kind, str):
        return kind
    if _KEYWORDS & schema.keys():
        return "object"
    return "array" if "items" in schema else "string"


def map_schema(schema: Schema) -> Schema | None:
    """The schema of an object's entries under free keys, if it allows such keys."""
    for entry in (schema.get("patternProperties") or {}).values():
        return dict(entry)
    extra = schema.get("additionalProperties")
    return extra if isinstance(extra, dict) else None


def _referred(root: Schema, pointer: str) -> Schema:
    place: Any = root
    for step in pointer.removeprefix("#").strip("/").split("/"):
        place = place.get(step, {}) if step and isinstance(place, dict) else place
    return place if isinstance(place, dict) else {}


def _merged(first: Schema, second: Schema) -> Schema:
    properties = first.get("properties", {}) | second.get("properties", {})
    required = [*first.get("required", ()), *second.get("required", ())]
    return first | second | ({"properties": properties, "required": required} if properties else {})
