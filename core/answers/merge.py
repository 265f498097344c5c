"""Merge rules: how the records of single images become one object. Arithmetic is done here.

A rule stands at each property of the schema: what its type asks for, or its ``x-merge``. Records
are folded all at once, in the order of their images, so a mean is a mean of images and the order
in which workers finish changes nothing. A null says nothing and is left out.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from core.answers.json_schema import IMAGE, MERGE, Schema, is_image, kind_of, resolved
from core.errors import WrongUsage

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
"""Each rule and the types it takes; none: every type."""
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
    """One place of the schema. ``merge`` is one of FITS, or ``object``: by property.

    ``schema`` is resolved; ``entries`` is the rule of an object's free entries, if it has any.
    """

    merge: str
    schema: Schema
    nullable: bool = False
    properties: Mapping[str, Rule] | None = None
    entries: Rule | None = None

    @property
    def image(self) -> bool:
        """Filled by code with the image's position."""
        return bool(self.schema.get(IMAGE))

    def below(self) -> Iterator[Rule]:
        yield from (self.properties or {}).values()
        if self.entries is not None:
            yield self.entries

    @property
    def needs_words(self) -> bool:
        """Whether something in it has to be written by the model."""
        return self.merge == "text" or any(rule.needs_words for rule in self.below())


def rule_of(root: Schema) -> Rule:
    """The rules of a whole schema. Raises WrongUsage naming the place that has none."""
    return _rule(root, root, "", 0)


def _rule(root: Schema, schema: Any, path: str, depth: int) -> Rule:
    if not isinstance(schema, dict):
        raise WrongUsage(f"schema: {path or 'it'} says nothing of its type, so it cannot be merged")
    if depth > DEEPEST:
        raise WrongUsage(f"schema: {path} is nested deeper than {DEEPEST}: put it in an array")
    found, nullable = resolved(root, schema)
    merge = found.get(MERGE) or _default(found, path)
    kind = kind_of(found)
    if merge not in FITS and merge != "object":
        raise WrongUsage(f"schema: {path}: there is no {MERGE} {merge!r}: {', '.join(FITS)}")
    if FITS.get(merge) and kind not in FITS[merge]:
        raise WrongUsage(f"schema: {path}: {MERGE} {merge!r} does not fit the type {kind or 'any'}")
    if merge != "object":
        return Rule(merge, found, nullable)
    properties = {
        name: _rule(root, each, f"{path}.{name}".strip("."), depth + 1)
        for name, each in found.get("properties", {}).items()
    }
    free = found.get("additionalProperties")
    entries = _rule(root, free, f"{path}.*".strip("."), depth + 1) if _says(free) else None
    if entries is not None and entries.needs_words:  # named by the images: who would be asked?
        raise WrongUsage(f"schema: {path or 'the object'}: free entries of text need an {MERGE}")
    if not properties and entries is None:
        raise WrongUsage(f"schema: {path or 'the object'} has no properties")
    return Rule("object", found, nullable, properties, entries)


def _says(free: Any) -> bool:
    return isinstance(free, dict) and bool(free)


def _default(schema: Schema, path: str) -> str:
    """The rule of a type; a choice of given words is voted on."""
    if is_image(schema) or "const" in schema:
        return "first"
    if "enum" in schema:
        return "most_common"
    kind = kind_of(schema)
    if kind == "array" and schema.get("uniqueItems"):
        return "union"
    if kind not in BY_TYPE:
        raise WrongUsage(f"schema: {path or 'it'} has no one type: give it a type, or an {MERGE}")
    return BY_TYPE[kind]


def merged(rule: Rule, values: Sequence[Any], words: Any = None) -> Any:
    """``values`` (one an image, in order) as one; ``words`` has what the model wrote, in the shape
    of the object. None where nothing was said and the type has no empty value."""
    said = [value for value in values if value is not None]
    if rule.merge == "object":
        if rule.nullable and not said and not words:
            return None
        return _object(rule, said, words if isinstance(words, Mapping) else {})
    if rule.merge == "text":
        return words if words is not None else _one_text(said)
    if not said:
        return _nothing(rule)
    return _FOLDS[rule.merge](said, rule.schema)


def _object(rule: Rule, values: Sequence[Any], words: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, each in (rule.properties or {}).items():
        value = merged(each, [value.get(name) for value in values], words.get(name))
        if value is not None or each.nullable or name in rule.schema.get("required", ()):
            made[name] = value
    if rule.entries is not None:
        names = dict.fromkeys(name for value in values for name in value if name not in made)
        for name in names:
            if name not in (rule.properties or {}):
                made[name] = merged(rule.entries, [value.get(name) for value in values])
    return made


def _one_text(said: Sequence[Any]) -> Any:
    """Where nobody wrote words there is one text at most."""
    return said[0] if len(set(said)) == 1 else None


def _nothing(rule: Rule) -> Any:
    """What a property is when no image said anything of it."""
    if rule.nullable:
        return None
    empty: dict[str, Any] = {"add": 0, "join": [], "union": [], "any": False, "all": True}
    return empty.get(rule.merge)


Fold = Callable[[Sequence[Any], Schema], Any]


def _add(said: Sequence[Any], schema: Schema) -> Any:
    return _plain(_sum(said), schema)


def _mean(said: Sequence[Any], schema: Schema) -> Any:
    return _plain(_sum(said) / len(said), schema)


def _sum(said: Sequence[Any]) -> Decimal:
    """Exact as written: 0.1 and 0.2 are 0.3."""
    return sum((Decimal(str(value)) for value in said), Decimal(0))


def _plain(value: Decimal, schema: Schema) -> int | float:
    """A number as JSON has it; a whole one where the type is integer (a mean is rounded)."""
    if kind_of(schema) == "integer":
        return round(value)
    return int(value) if value == value.to_integral_value() else float(value)


def _join(said: Sequence[Any], schema: Schema) -> Any:
    return [item for value in said for item in value]


def _union(said: Sequence[Any], schema: Schema) -> Any:
    kept: dict[str, Any] = {}
    for item in _join(said, schema):
        kept.setdefault(canonical(item), item)
    return list(kept.values())


def _most_common(said: Sequence[Any], schema: Schema) -> Any:
    """The value said most often; of equals the one said first."""
    counts = Counter(canonical(value) for value in said)
    most = max(counts.values())
    return next(value for value in said if counts[canonical(value)] == most)


_FOLDS: dict[str, Fold] = {
    "add": _add,
    "mean": _mean,
    "min": lambda said, _: min(said),
    "max": lambda said, _: max(said),
    "join": _join,
    "union": _union,
    "any": lambda said, _: any(said),
    "all": lambda said, _: all(said),
    "first": lambda said, _: said[0],
    "last": lambda said, _: said[-1],
    "most_common": _most_common,
}


def canonical(value: Any) -> str:
    """The same text for equal JSON values."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


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
