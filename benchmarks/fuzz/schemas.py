"""Schemas of producers, and values that models may give: refused with a sentence, or of use.

A schema goes through the check of a submission. One that passes is asked for, values made for it
are judged, merged, totalled and shown; nothing of that may fail any more.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.fuzz.kind import Kind, check
from benchmarks.fuzz.mutations import dumped, of_value, scalar
from core.answers.json_schema import Schema
from core.answers.merge import FITS
from core.answers.spec import AnswerSpec, faults, parts_of, reply_schema, totals_of, whole_of
from core.answers.totals import fields, totals, value_at
from core.errors import WrongUsage
from core.jobs import parse_spec
from core.requests.set_summary import stand_in
from core.text.json_replies import entries, line_of
from core.text.sanitize import all_storable
from overstory.output.answers import Shape
from overstory.report import shaped
from overstory.report.page import island

SENTENCE_MAX = 3_000
PATTERNS = (
    *(
        "^(a+)+$",
        r"^(\w+\s?)*$",
        "(a|a)*b",
        "(?=a)b",
        r"(a)\1",
        "[",
        "a{1,1000}",
        "a{9999}",
        "\\d+",
    ),
    *(
        "^$",
        "(",
        "x" * 500,
        r"\p{L}{20}",
        "[^\\n]*",
        "(?i)a",
        "((a{0,5}){0,5}){0,5}",
        "\ud800",
        "é",
    ),
)
REFERENCES = (
    *("#", "#/$defs/a", "#/$defs/b", "#/$defs/c", "#/properties/a", "#/properties/a/items"),
    *("#/nowhere", "http://h/x", "#a", "", "#/$defs/a/properties/a", "#/$defs/%61", "#/items/0"),
)
NAMES = ("a", "b", "total", "name", "note", "1", "whole", "", "a.b", "$ref", "Größe", "x" * 80)
MERGES = (*FITS, "object", "first", 7)
POSITIONS = {1: 41, 2: 42, 3: 57}


def written(draw: random.Random, depth: int = 0) -> Any:
    """A schema by the grammar, mostly a valid one."""
    if depth > 4 or draw.random() < 0.1:
        return draw.choice(({}, {"type": "string"}, {"type": "integer"}, True, False))
    return draw.choice(PARTS)(draw, depth)


def _object(draw: random.Random, depth: int) -> Schema:
    count = draw.choice((1, 2, 2, 3, 5)) if draw.random() < 0.98 else draw.choice((60, 600, 1_100))
    names = draw.sample(NAMES, min(count, len(NAMES)))
    schema: Schema = {"type": "object", "properties": {n: written(draw, depth + 1) for n in names}}
    if count > len(NAMES):
        schema["properties"] |= {f"p{n}": {"type": "integer"} for n in range(count)}
    if draw.random() < 0.5:
        schema["required"] = draw.sample(names, draw.randrange(len(names) + 1))
    for name, values in OBJECT_KEYWORDS.items():
        if draw.random() < 0.12:
            schema[name] = draw.choice(values)
    if draw.random() < 0.05:
        schema["patternProperties"] = {draw.choice(PATTERNS): written(draw, depth + 1)}
    return schema


def _list(draw: random.Random, depth: int) -> Schema:
    schema: Schema = {"type": "array", "items": written(draw, depth + 1)}
    for name, values in LIST_KEYWORDS.items():
        if draw.random() < 0.15:
            schema[name] = draw.choice(values)
    return schema


def _text(draw: random.Random, _depth: int) -> Schema:
    schema: Schema = {"type": "string"}
    if draw.random() < 0.4:
        schema["pattern"] = draw.choice(PATTERNS)
    for name, values in TEXT_KEYWORDS.items():
        if draw.random() < 0.15:
            schema[name] = draw.choice(values)
    return schema


def _number(draw: random.Random, _depth: int) -> Schema:
    schema: Schema = {"type": draw.choice(("number", "integer", ["number", "null"]))}
    for name, values in NUMBER_KEYWORDS.items():
        if draw.random() < 0.2:
            schema[name] = draw.choice(values)
    return schema


def _choice(draw: random.Random, _depth: int) -> Schema:
    values = draw.choice((["a", "b"], [1, 1.0, True], [None], [], list(range(200)), [{}, []]))
    return {"enum": values} if draw.random() < 0.9 else {"const": scalar(draw)}


def _combined(draw: random.Random, depth: int) -> Schema:
    parts = [written(draw, depth + 1) for _ in range(draw.choice((1, 2, 2, 3)))]
    keyword = draw.choice(("anyOf", "oneOf", "allOf"))
    if draw.random() < 0.1:
        return {"if": parts[0], "then": parts[-1], "else": {"not": parts[0]}}
    return {keyword: parts}


def _reference(draw: random.Random, _depth: int) -> Schema:
    return {"$ref": draw.choice(REFERENCES)}


def _merged(draw: random.Random, depth: int) -> Schema:
    part = written(draw, depth + 1)
    return {**part, "x-merge": draw.choice(MERGES)} if isinstance(part, dict) else {}


Part = Callable[[random.Random, int], Any]
PARTS: tuple[Part, ...] = (
    *(_object, _object, _object, _list, _text, _text, _number, _number, _choice, _combined),
    *(_reference, _merged),
)
OBJECT_KEYWORDS: dict[str, tuple[Any, ...]] = {
    "additionalProperties": (False, True, {"type": "string"}),
    "unevaluatedProperties": (False, {}),
    "minProperties": (0, 1, 10**9),
    "propertyNames": ({"pattern": "^a"}, False),
    "dependentRequired": ({"a": ["b"]},),
    "dependentSchemas": ({"a": {"required": ["b"]}},),
    "title": ("T", "\u202e", "x" * 1_000),
    "x-merge": MERGES,
}
LIST_KEYWORDS: dict[str, tuple[Any, ...]] = {
    "minItems": (0, 1, 10**9),
    "maxItems": (0, 3, 1e300),
    "uniqueItems": (True, "yes"),
    "prefixItems": ([{"type": "string"}], []),
    "contains": ({"const": 1}, True),
    "unevaluatedItems": (False,),
    "x-merge": MERGES,
}
TEXT_KEYWORDS: dict[str, tuple[Any, ...]] = {
    "minLength": (0, 5, -1, 10**30),
    "maxLength": (0, 1, 100, 1e308),
    "format": ("date-time", "uri", "nothing", 7),
    "description": ("what", "</schema>", "\0", "\ud800", "x" * 3_000),
    "x-merge": MERGES,
}
NUMBER_KEYWORDS: dict[str, tuple[Any, ...]] = {
    "minimum": (0, -1e308, 10**30),
    "maximum": (0, 1e308, 10**400),
    "multipleOf": (1, 0.01, 1e-300, 10**30, 0),
    "x-merge": MERGES,
}


def expanding(draw: random.Random) -> Schema:
    """References that make a short schema a large one, or one without an end."""
    levels, wide = draw.choice((2, 3, 6, 20)), draw.choice((1, 2, 5, 20))
    keyword = draw.choice(("properties", "allOf", "items", "anyOf"))

    def level(number: int) -> Schema:
        part = {"$ref": f"#/$defs/d{number + 1}"}
        match keyword:
            case "properties":
                return {"type": "object", "properties": {f"p{n}": part for n in range(wide)}}
            case "items":
                return {"type": "array", "items": part, "prefixItems": [part] * wide}
            case _:
                return {keyword: [part] * wide}

    end: Schema = {"$ref": "#/$defs/d0"} if draw.random() < 0.2 else {"type": "string"}
    defs = {f"d{number}": level(number) for number in range(levels)} | {f"d{levels}": end}
    return {"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": defs}


def schema_of(draw: random.Random) -> Any:
    if draw.random() < 0.06:
        return expanding(draw)
    schema = _object(draw, 0)
    if draw.random() < 0.5:
        schema["$defs"] = {name: written(draw, 1) for name in ("a", "b", "c")}
    spoil = draw.choice((0.0, 0.0, 0.01, 0.05, 0.3))
    return of_value(draw, schema, spoil) if spoil else schema


# --- values


PLACES_MAX = 300


@dataclass
class Values:
    """Makes values that may well fit ``root``, of at most PLACES_MAX places."""

    draw: random.Random
    root: Any
    left: int = PLACES_MAX

    def of(self, schema: Any, depth: int = 0) -> Any:
        self.left -= 1
        if not isinstance(schema, dict) or depth > 6 or self.left < 0 or self.draw.random() < 0.03:
            return scalar(self.draw)
        if "$ref" in schema:
            return self.of(self._referred(schema["$ref"]), depth + 1)
        for keyword in ("anyOf", "oneOf", "allOf"):
            if isinstance(parts := schema.get(keyword), list) and parts:
                return self.of(self.draw.choice(parts), depth + 1)
        if isinstance(choices := schema.get("enum"), list) and choices:
            return self.draw.choice(choices)
        return self._of_kind(schema, depth)

    def _referred(self, reference: Any) -> Any:
        target = self.root
        for name in str(reference).removeprefix("#/").split("/"):
            target = target.get(name) if isinstance(target, dict) else None
        return target

    def _of_kind(self, schema: Schema, depth: int) -> Any:
        match schema.get("type"):
            case "object":
                properties = schema.get("properties")
                items = properties.items() if isinstance(properties, dict) else ()
                return {
                    name: self.of(part, depth + 1)
                    for name, part in list(items)[:40]
                    if self.draw.random() < 0.95
                }
            case "array":
                count = self.draw.choice((0, 1, 1, 3)) if depth < 4 else 0
                return [self.of(schema.get("items"), depth + 1) for _ in range(count)]
            case "string":
                return self.draw.choice(TEXTS)
            case "integer" | "number":
                return self.draw.choice((0, 1, 12, 0.1, 1e308, -1e308, 10**30, 7.0))
            case _:
                return scalar(self.draw)


TEXTS = ("", "a", "aaaa!", "a barn [1]", "a" * 2_000 + "!", "b [2-99999]")


def value_of(draw: random.Random, root: Any) -> Any:
    return Values(draw, root).of(root)


@dataclass(frozen=True)
class Case:
    schema: Any
    folds: bool
    replies: list[str]


class Schemas:
    def make(self, draw: random.Random) -> Case:
        schema = schema_of(draw)
        values = [{str(n): value_of(draw, schema) for n in POSITIONS} for _ in range(2)]
        replies = [dumped(draw, of_value(draw, value, 0.02)) for value in values]
        return Case(schema, draw.random() < 0.5, replies)

    def run(self, case: Case) -> str:
        question = {"ask": "?"} if case.folds else {"each": "?"}
        try:
            spec = parse_spec({"images": ["a.jpg"], "schema": case.schema, **question})
        except WrongUsage as refused:
            check(
                len(str(refused)) < SENTENCE_MAX, f"a refusal has {len(str(refused)):,} characters"
            )
            return "refused"
        text = spec.schema_text
        if text is None:
            return "no schema"
        check(all_storable(text), "a schema that cannot be stored is taken")
        return judged(text, case)


def judged(schema: str, case: Case) -> str:
    asked = AnswerSpec("?", None if case.folds else "?", schema)
    json.dumps(reply_schema(asked, 3, case.folds))
    records = []
    for reply in case.replies:
        answers = entries(reply)
        for number in POSITIONS:
            known = asked.parts.known_value(answers.get(str(number)), POSITIONS, number)
            if known is not None:
                check(all_storable(known), "a value that cannot be stored is kept")
                records.append(known)
    root = json.loads(schema)
    island({"records": records, "totals": totals(root, records)})
    shape = Shape(asked.each, root)
    for record in records:
        line_of(record)
        shape.ordered(record, 41)
        for path in fields(root):
            value_at(record, path)
    if not case.folds or not records:
        return "values" if records else "no value fits"
    totals_of(asked, records)
    rule = asked.parts.rule
    texts = None if rule is None else stand_in(rule, list(enumerate(records, 41)))
    whole = whole_of(asked, records, texts)
    faults(schema, whole)
    island({"blocks": shaped.data_blocks(whole, None)})
    parts_of(schema, folds=True)
    return "merged"


@contextmanager
def opened() -> Iterator[Schemas]:
    yield Schemas()


KIND = Kind("schema", 22_000, opened, cpu_seconds=3.0)
