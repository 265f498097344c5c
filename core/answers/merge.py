"""Merges the records of single images into one object. Code does the arithmetic.

Each property of the schema has a merge rule: its ``x-merge``, or the default of its type. All
records are merged at once in the order of their images. So a mean is a mean over images, and the
order in which workers finish does not matter. Nulls are ignored.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from core.answers.json_schema import MERGE, Schema, is_image, kind_of, resolved, without
from core.answers.schema_budget import Visits
from core.errors import WrongUsage
from core.text.printable import shortened

NUMBERS = ("integer", "number")
FITS: dict[str, tuple[str, ...]] = {
    "add": NUMBERS,
    "mean": NUMBERS,
    "min": (*NUMBERS, "string"),
    "max": (*NUMBERS, "string"),
    "join": ("array",),
    "union": ("array",),
    "any": ("boolean",),
    "all": ("boolean",),
    "text": ("string",),
    "first": (),
    "last": (),
    "most_common": (),
}
"""Each rule and the types it accepts; an empty tuple means every type."""
BY_TYPE = {
    "integer": "add",
    "number": "add",
    "boolean": "any",
    "string": "text",
    "array": "join",
    "object": "object",
}
DEEPEST = 12


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule at one place of the schema. ``merge``: a key of FITS, or ``object`` (by property).

    ``schema`` is resolved. ``entries``: the rule for an object's additional properties, if allowed.
    """

    merge: str
    schema: Schema
    nullable: bool = False
    properties: Mapping[str, Rule] | None = None
    entries: Rule | None = None

    @property
    def image(self) -> bool:
        """Whether code fills it in with the image's position."""
        return is_image(self.schema)

    def below(self) -> Iterator[Rule]:
        yield from (self.properties or {}).values()
        if self.entries is not None:
            yield self.entries

    @property
    def needs_words(self) -> bool:
        """Whether the model has to write text for it."""
        return self.merge == "text" or any(rule.needs_words for rule in self.below())


def rule_of(root: Schema, visits: Visits | None = None) -> Rule:
    """The rules of a schema. Raises WrongUsage, which names the place that cannot be merged."""
    return _rule(root, root, "", 0, visits or Visits())


def _rule(root: Schema, schema: Any, path: str, depth: int, visits: Visits) -> Rule:
    if not isinstance(schema, dict):
        raise WrongUsage(f"schema: {path or 'it'} has no type, so it cannot be merged")
    if depth > DEEPEST:
        raise WrongUsage(f"schema: {path} is nested deeper than {DEEPEST}: put it in an array")
    known, nullable = resolved(root, schema, visits)
    merge = known.get(MERGE) or _default(known, path)
    kind = kind_of(known)
    if not isinstance(merge, str) or (merge not in FITS and merge != "object"):
        given = shortened(repr(merge), 100)
        raise WrongUsage(f"schema: {path}: unknown {MERGE} {given}; known: {', '.join(FITS)}")
    if FITS.get(merge) and kind not in FITS[merge]:
        raise WrongUsage(f"schema: {path}: {MERGE} {merge!r} does not fit the type {kind or 'any'}")
    if merge != "object":
        return Rule(merge, known, nullable)
    properties = {
        name: _rule(root, part, f"{path}.{name}".strip("."), depth + 1, visits)
        for name, part in known.get("properties", {}).items()
    }
    free = known.get("additionalProperties")
    has_entries = isinstance(free, dict) and bool(free)
    below = f"{path}.*".strip(".")
    entries = _rule(root, free, below, depth + 1, visits) if has_entries else None
    # images choose the names of such entries, so no request could name the texts to write
    if entries is not None and entries.needs_words:
        raise WrongUsage(
            f"schema: {path or 'the object'}: additionalProperties of type string need an {MERGE}"
        )
    if not properties and entries is None:
        raise WrongUsage(f"schema: {path or 'the object'} has no properties")
    return Rule("object", known, nullable, properties, entries)


def _default(schema: Schema, path: str) -> str:
    """The default rule of a type; values of an enum are voted on."""
    if is_image(schema) or "const" in schema:
        return "first"
    if "enum" in schema:
        return "most_common"
    kind = kind_of(schema)
    if kind == "array" and schema.get("uniqueItems"):
        return "union"
    if kind not in BY_TYPE:
        raise WrongUsage(f"schema: {path or 'it'} needs a single type, or an {MERGE}")
    return BY_TYPE[kind]


def merged(rule: Rule, values: Sequence[Any], words: Any = None) -> Any:
    """``values`` (one per image, in order) merged into one. ``words``: the texts that the model
    wrote, in the structure of the object. None if all are null and the type has no empty value."""
    present = [value for value in values if value is not None]
    if rule.merge == "object":
        if rule.nullable and not present and not words:
            return None
        return _object(rule, present, words if isinstance(words, Mapping) else {})
    if rule.merge == "text":
        return words if words is not None else _common_text(present)
    return _FOLDS[rule.merge](present, rule.schema) if present else _empty_value(rule)


def _object(rule: Rule, values: Sequence[Any], words: Mapping[str, Any]) -> dict[str, Any]:
    rules = rule.properties or {}
    combined: dict[str, Any] = {}
    for name, inner in rules.items():
        value = merged(inner, [record.get(name) for record in values], words.get(name))
        if value is not None or inner.nullable or name in rule.schema.get("required", ()):
            combined[name] = value
    if rule.entries is not None:
        for name in dict.fromkeys(name for record in values for name in record):
            if name not in rules:
                combined[name] = merged(rule.entries, [record.get(name) for record in values])
    return combined


def _common_text(values: Sequence[Any]) -> Any:
    """The text, if the model wrote none and all images have the same; else None."""
    return values[0] if len(set(values)) == 1 else None


def _empty_value(rule: Rule) -> Any:
    """The value of a property that is null in every record."""
    if rule.nullable:
        return None
    empty: dict[str, Any] = {"add": 0, "join": [], "union": [], "any": False, "all": True}
    return empty.get(rule.merge)


Fold = Callable[[Sequence[Any], Schema], Any]


def _add(values: Sequence[Any], schema: Schema) -> Any:
    return _number_for(exact_sum(values), schema)


def _mean(values: Sequence[Any], schema: Schema) -> Any:
    return _number_for(exact_sum(values) / len(values), schema)


def exact_sum(values: Sequence[Any]) -> Decimal:
    """The decimal sum of the numbers as written: 0.1 and 0.2 give 0.3."""
    return sum((Decimal(str(value)) for value in values), Decimal(0))


def json_number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


def _number_for(value: Decimal, schema: Schema) -> int | float:
    """``value`` as a JSON number; rounded if the type is integer (a mean)."""
    return round(value) if kind_of(schema) == "integer" else json_number(value)


def _join(values: Sequence[Any], schema: Schema) -> Any:
    return [item for value in values for item in value]


def _union(values: Sequence[Any], schema: Schema) -> Any:
    kept: dict[str, Any] = {}
    for item in _join(values, schema):
        kept.setdefault(canonical(item), item)
    return list(kept.values())


def _most_common(values: Sequence[Any], schema: Schema) -> Any:
    """The most frequent value; among equally frequent ones the first."""
    texts = [canonical(value) for value in values]
    ((most_common, _),) = Counter(texts).most_common(1)
    return values[texts.index(most_common)]


_FOLDS: dict[str, Fold] = {
    "add": _add,
    "mean": _mean,
    "min": lambda values, _: min(values),
    "max": lambda values, _: max(values),
    "join": _join,
    "union": _union,
    "any": lambda values, _: any(values),
    "all": lambda values, _: all(values),
    "first": lambda values, _: values[0],
    "last": lambda values, _: values[-1],
    "most_common": _most_common,
}


def canonical(value: Any) -> str:
    """The same text for equal JSON values."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


_OF_THE_SET: dict[str, tuple[str, ...]] = {
    "add": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    "join": ("minItems", "maxItems", "uniqueItems", "contains", "minContains", "maxContains"),
    "union": ("minItems", "maxItems", "uniqueItems", "contains", "minContains", "maxContains"),
    "text": ("minLength", "maxLength", "pattern", "format"),
}
"""Constraints on the merged value, which the record of a single image cannot satisfy."""
_OF_OBJECTS = ("required", "properties", "additionalProperties", "minProperties", "maxProperties")
_CONDITIONS = ("if", "then", "else", "allOf", "anyOf", "oneOf", "not", "dependentRequired")
SHOWN_MAX = 100
"""Additional properties of an object that a prompt shows; above that it shows their number."""


def record_schema(rule: Rule, strict: bool, visits: Visits | None = None) -> Schema:
    """Schema of one image's record: each property of the object, or null.

    ``strict``: every property is required, as in a request. A reply may leave properties out,
    which counts as null; it must only have at least one.
    """
    visits = visits or Visits()
    visits.place(rule.schema)
    if rule.merge != "object":
        kept = without(rule.schema, *_OF_THE_SET.get(rule.merge, ()))
        is_object = kind_of(kept) == "object" and "type" not in kept
        return {**kept, "type": "object"} if is_object else kept
    parts = {
        name: or_null(record_schema(inner, strict, visits))
        for name, inner in (rule.properties or {}).items()
        if not inner.image
    }
    free = or_null(record_schema(rule.entries, strict, visits)) if rule.entries else False
    return {
        **without(rule.schema, *_OF_OBJECTS, *_CONDITIONS),
        "type": "object",
        "properties": parts,
        "additionalProperties": free,
        **({"required": list(parts)} if strict else {"minProperties": 1 if parts else 0}),
    }


def words_schema(rule: Rule, visits: Visits | None = None) -> Schema:
    """Schema of the texts about the whole set that the model writes, and of nothing else."""
    visits = visits or Visits()
    visits.place(rule.schema)
    if rule.merge == "text":
        return {key: value for key, value in rule.schema.items() if not key.startswith("x-")}
    parts = {
        name: words_schema(inner, visits)
        for name, inner in (rule.properties or {}).items()
        if inner.needs_words
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
    """The merged records for a prompt: without texts, and with the length of lists only."""
    return _without_words(rule, merged(rule, values))


def _without_words(rule: Rule, value: Any) -> Any:
    if rule.merge != "object" or not isinstance(value, Mapping):
        return value
    rules = rule.properties or {}
    kept = {}
    for name, item in value.items():
        inner = rules.get(name, rule.entries)
        if inner is None or inner.merge == "text":
            continue
        if inner.merge in ("join", "union") or (inner.entries and len(item or ()) > SHOWN_MAX):
            kept[f"number of {name}"] = len(item or ())
        else:
            kept[name] = _without_words(inner, item)
    return kept
