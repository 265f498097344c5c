"""What one image contributes to an object, and what only words can say: schemas made of rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.merge import Rule, merged
from core.schema import Schema

_OF_THE_WHOLE: dict[str, tuple[str, ...]] = {
    "add": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    "join": ("minItems", "maxItems", "uniqueItems", "contains", "minContains", "maxContains"),
    "union": ("minItems", "maxItems", "uniqueItems", "contains", "minContains", "maxContains"),
    "text": ("minLength", "maxLength", "pattern", "format"),
}
"""What a schema asks of the whole and no single image can promise."""
_OF_OBJECTS = ("required", "properties", "additionalProperties", "minProperties", "maxProperties")
_CONDITIONS = ("if", "then", "else", "allOf", "anyOf", "oneOf", "not", "dependentRequired")
SHOWN_MAX = 100
"""Free entries of an object that a prompt shows; of more it says how many."""


def record_schema(rule: Rule, strict: bool) -> Schema:
    """One image's part of the object: every property, or null.

    ``strict`` is how it is asked for, with every property; what is left out of a reply is taken
    for null, so only a record without any is refused.
    """
    if rule.merge != "object":
        out = _OF_THE_WHOLE.get(rule.merge, ())
        return {key: value for key, value in rule.schema.items() if key not in out}
    out = (*_OF_OBJECTS, *_CONDITIONS)
    kept = {key: value for key, value in rule.schema.items() if key not in out}
    parts = {
        name: or_null(record_schema(each, strict))
        for name, each in (rule.properties or {}).items()
        if not each.image
    }
    free = or_null(record_schema(rule.entries, strict)) if rule.entries else False
    made = {**kept, "type": "object", "properties": parts, "additionalProperties": free}
    return made | ({"required": list(parts)} if strict else {"minProperties": 1 if parts else 0})


def words_schema(rule: Rule) -> Schema:
    """The object with nothing in it but what the model writes about the whole set."""
    if rule.merge == "text":
        return {key: value for key, value in rule.schema.items() if not key.startswith("x-")}
    parts = {
        name: words_schema(each)
        for name, each in (rule.properties or {}).items()
        if each.needs_words
    }
    kept: Schema = {k: rule.schema[k] for k in ("title", "description") if k in rule.schema}
    return {
        **kept,
        "type": "object",
        "properties": parts,
        "required": list(parts),
        "additionalProperties": False,
    }


def or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def computed(rule: Rule, values: Any) -> Any:
    """What code can say of the records: the object without its words and its long lists."""
    return _without_words(rule, merged(rule, values))


def _without_words(rule: Rule, value: Any) -> Any:
    if rule.merge != "object" or not isinstance(value, Mapping):
        return value
    rules = rule.properties or {}
    kept = {}
    for name, each in value.items():
        inner = rules.get(name, rule.entries)
        if inner is None or inner.merge == "text":
            continue
        if inner.merge in ("join", "union") or (inner.entries and len(each or ()) > SHOWN_MAX):
            kept[f"number of {name}"] = len(each or ())
        else:
            kept[name] = _without_words(inner, each)
    return kept
