"""The shape of a job's answers: one an image, one object for the set, or plain words.

ask                     words (nothing here is used)
each, each + schema     a text or an object an image; no model is asked above the leaves
each + ask              the same, and the ask is answered over these answers
ask + schema            a record an image, folded by code into one object
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from core.answers.json_schema import (
    ANSWER,
    Schema,
    fill_positions,
    given_texts,
    map_strings,
    resolved,
    travelling,
    validator,
)
from core.answers.merge import Rule, computed, merged, record_schema, rule_of, words_schema
from core.catalog.models import Structured
from core.text import citations

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

WHOLE = "whole"
"""The key of what a reply says about all images together; the others are numbers."""
TEXT: Schema = {"type": "string", "minLength": 1}


@dataclass(frozen=True, slots=True)
class AnswerSpec:
    """What is asked of each image and what becomes of it. ``schema`` is JSON text, in order."""

    ask: str | None
    each: str | None
    schema: str | None
    structured: Structured = "json_object"

    @property
    def question(self) -> str:
        """What is asked of each image, or of the set where records are asked for."""
        return self.each or self.ask or ""

    @property
    def folds(self) -> bool:
        """Whether the records of all images are folded into one object."""
        return self.each is None

    @property
    def parts(self) -> Parts:
        return parts_of(self.schema, self.folds)

    @property
    def needs_words(self) -> bool:
        """Whether a model is asked above the leaves."""
        if not self.folds:
            return self.ask is not None
        return self.parts.words is not None

    def whole_schema(self) -> Schema | None:
        """What a reply says of all images together, where it is asked for."""
        if not self.needs_words:
            return None
        return self.parts.words if self.folds else TEXT


@dataclass(frozen=True, slots=True)
class Parts:
    """A schema taken apart, once a process. ``words``: the texts a model writes about the set."""

    root: Schema | None
    rule: Rule | None
    defs: dict[str, Schema]  # of a request; ANSWER is the value of one image
    value: Draft202012Validator  # of one image's value
    words: Schema | None
    fields: int  # how many values one image's answer has, about
    given: frozenset[str] = frozenset()  # texts the schema itself has: no model cites with them

    def known_value(self, value: Any, positions: Mapping[int, int], number: int) -> Any:
        """``value`` of image ``number`` as it is stored, or None where it does not fit.

        Citations become positions; those of other images than the request's go.
        """
        if self.root is None and isinstance(value, bool | int | float):
            value = json.dumps(value)
        if not self.value.is_valid(value):
            return None
        own = positions[number]
        told = map_strings(
            value, lambda text: text if text in self.given else _told(text, positions, own)
        )
        if not self.value.is_valid(told):  # nothing is left of a text that cited falsely
            return None
        return told if self.root is None else fill_positions(self.root, self.root, told, own)

    def moved(self, value: Any, positions: Mapping[int, int], own: int) -> Any:
        """A stored ``value`` of an image that is at position ``own`` now; ``positions``: old to
        new."""
        told = map_strings(value, lambda text: citations.translate(text, positions))
        return told if self.root is None else fill_positions(self.root, self.root, told, own)


@lru_cache(maxsize=256)
def parts_of(schema: str | None, folds: bool) -> Parts:
    """Raises WrongUsage where the schema cannot be folded."""
    if schema is None:
        return Parts(None, None, {ANSWER: TEXT}, validator(TEXT), None, 1)
    root: Schema = json.loads(schema)
    rule = rule_of(root) if folds else None
    asked = root if rule is None else record_schema(rule, strict=True)
    kept = root if rule is None else record_schema(rule, strict=False)
    words = words_schema(rule) if rule is not None and rule.needs_words else None
    return Parts(
        root,
        rule,
        travelling(root, asked),
        validator({"$ref": f"#/$defs/{ANSWER}", "$defs": travelling(root, kept)}),
        words,
        fields_of(root),
        given_texts(root),
    )


def fields_of(schema: Schema) -> int:
    """How many values an object of ``schema`` has, a list counted as a few."""
    return _fields(schema, schema, 0)


def _fields(root: Schema, schema: Any, depth: int) -> int:
    if not isinstance(schema, dict) or depth > 6:
        return 1
    found, _ = resolved(root, schema)
    inner = sum(_fields(root, each, depth + 1) for each in found.get("properties", {}).values())
    if "items" in found:
        inner += 3 * _fields(root, found["items"], depth + 1)
    return max(inner, 1)


def _told(text: str, positions: Mapping[int, int], own: int) -> str:
    """A string of image ``own`` with citations of the job; its own number in front goes."""
    checked = citations.check(text, positions).text
    told = citations.translate(checked, positions).strip()
    return re.sub(rf"^\[{own}\]\s*(?:[:–—]|-\s)?\s*(?=\S)", "", told)


def reply_schema(shaping: AnswerSpec, count: int, whole: bool) -> Schema:
    """The JSON schema of a reply about ``count`` images: a key an image, all required."""
    properties: dict[str, Schema] = {
        str(number): {"$ref": f"#/$defs/{ANSWER}"} for number in range(1, count + 1)
    }
    about_all = shaping.whole_schema() if whole else None
    if about_all is not None:
        properties[WHOLE] = about_all
    return closed(properties, shaping.parts.defs)


def closed(properties: dict[str, Schema], defs: dict[str, Schema]) -> Schema:
    """An object with exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        **({"$defs": defs} if defs else {}),
    }


def totals(shaping: AnswerSpec, records: Sequence[Any]) -> dict[str, Any]:
    """What code can say of the records so far, for a model that writes about them."""
    rule = shaping.parts.rule
    return {} if rule is None else {"images": len(records), **computed(rule, records)}


def whole_of(shaping: AnswerSpec, records: Sequence[Any], words: Any) -> dict[str, Any]:
    """The one object of all records, with the words a model wrote."""
    rule = shaping.parts.rule
    assert rule is not None, "only what folds has one object"
    made: dict[str, Any] = merged(rule, records, words)
    return made


def faults(schema: str, value: Any) -> list[str]:
    """How ``value`` breaks the schema, a sentence each; empty where it fits."""
    errors = validator(json.loads(schema)).iter_errors(value)
    return [f"{error.json_path.removeprefix('$.')}: {error.message}" for error in errors]


def answer_spec_of(
    ask: str, options: Mapping[str, Any], structured: Structured
) -> AnswerSpec | None:
    """The shaping of a stored job; None where words alone are asked for."""
    each, schema = options.get("each"), options.get("schema")
    if each is None and schema is None:
        return None
    asked = None if options.get("each_only") else ask
    return AnswerSpec(asked, each, schema, structured)
