"""What a job's answers look like: plain text, one value for each image, or one object for the set.

ask                     plain text (nothing here is used)
each, each + schema     a text or an object for each image; no model is asked above the leaves
each + by               the same for each unit
each + ask              the same, and the question is answered from these answers
ask + schema            a record for each image, merged by code into one object
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

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
from core.answers.schema_budget import Visits
from core.answers.totals import fields
from core.answers.validation import FAULTS_MAX, STEPS_MAX, Steps, TooMuchWork, Validator, sentences
from core.catalog.models import Structured
from core.job_options import JobOptions
from core.text import citations

_OWN_NUMBER = re.compile(r"\[([0-9]{1,9})\]\s*+(?:[:–—]|-\s)?+\s*+(?=\S)")
"""An image's own number at the beginning of a text about it."""
WHOLE = "whole"
"""The key of a reply's text about all images; its other keys are image numbers."""
TEXT: Schema = {"type": "string", "minLength": 1}
REPLY_STEPS_MAX = 1_000_000
"""Work for all values of one reply. Values that are left are asked for again, with fewer images."""
ALL_STEPS_MAX = 10_000_000
"""Work for the merged answer of a whole job, where a person looks at it."""
TEXT_VALUES = 3
FIELDS_DEPTH = 6
"""Deeper levels of a schema count as one field: an estimate needs no more."""


@dataclass(frozen=True, slots=True)
class AnswerSpec:
    """What is asked about each image, or each unit, and what becomes of it. ``schema``: JSON text,
    in order."""

    ask: str | None
    each: str | None
    schema: str | None
    structured: Structured = "json_object"
    by: bool = False  # each unit is asked about, not each image

    @property
    def question(self) -> str:
        """What is asked about each image; about the set, where records are asked for."""
        return self.each or self.ask or ""

    @property
    def folds(self) -> bool:
        """Whether the records of all images are merged into one object."""
        return self.each is None

    @property
    def parts(self) -> SchemaParts:
        return parts_of(self.schema, self.folds)

    @property
    def needs_words(self) -> bool:
        """Whether a model is asked above the leaves."""
        if not self.folds:
            return self.ask is not None
        return self.parts.words is not None

    def whole_schema(self) -> Schema | None:
        """The schema of the text about all images; None where none is asked for."""
        if not self.needs_words:
            return None
        return self.parts.words if self.folds else TEXT


@dataclass(frozen=True, slots=True)
class SchemaParts:
    """A schema taken apart, once in each process."""

    root: Schema | None
    rule: Rule | None  # how records are merged
    defs: dict[str, Schema]  # of a request; ANSWER is the value of one image
    value: Validator  # of one image's value
    words: Schema | None  # the texts about the set that a model writes
    fields: int  # about how many values one image's answer has
    given: frozenset[str] = frozenset()  # texts of the schema itself: they hold no citations

    @property
    def values(self) -> int:
        """About how many short values one image's answer is as long as; a text is a sentence."""
        return TEXT_VALUES if self.root is None else self.fields

    def known_value(
        self, value: Any, positions: Mapping[int, int], number: int, work: Steps | None = None
    ) -> Any:
        """``value`` of image ``number`` as it is stored; None where it does not fit the schema, or
        where ``work``, which the values of a reply share, is used up.

        Citations become positions of the job; those of images outside the request are removed.
        """
        if self.root is None and isinstance(value, bool | int | float):
            value = json.dumps(value)
        work = work or Steps()
        steps = Steps(min(STEPS_MAX, work.left))
        before = steps.left
        try:
            return self._known_value(value, positions, number, steps)
        except TooMuchWork:
            return None
        finally:
            work.left -= before - max(steps.left, 0)

    def _known_value(
        self, value: Any, positions: Mapping[int, int], number: int, steps: Steps
    ) -> Any:
        if not self.value.is_valid(value, steps):
            return None
        own = positions[number]
        cited = map_strings(
            value, lambda text: text if text in self.given else _cited(text, positions, own)
        )
        if not self.value.is_valid(cited, steps):  # nothing is left of a text of false citations
            return None
        if self.root is None:
            return cited
        return fill_positions(self.root, self.root, cited, own, steps)

    def moved(self, value: Any, positions: Mapping[int, int], own: int) -> Any:
        """A stored ``value`` of an image that is now at position ``own``; ``positions``: old to
        new."""
        cited = map_strings(value, lambda text: citations.translate(text, positions))
        return cited if self.root is None else fill_positions(self.root, self.root, cited, own)


@lru_cache(maxsize=256)
def parts_of(schema: str | None, folds: bool) -> SchemaParts:
    """Raises WrongUsage where the records of a schema cannot be merged."""
    if schema is None:
        return SchemaParts(None, None, {ANSWER: TEXT}, validator(TEXT), None, 1)
    root: Schema = json.loads(schema)
    visits = Visits()
    rule = rule_of(root, visits) if folds else None
    asked = root if rule is None else record_schema(rule, True, visits)
    kept = root if rule is None else record_schema(rule, False, visits)
    words = words_schema(rule, visits) if rule is not None and rule.needs_words else None
    defs = travelling(root, kept, visits)
    return SchemaParts(
        root,
        rule,
        travelling(root, asked, visits),
        validator({"$ref": f"#/$defs/{ANSWER}", "$defs": defs}),
        words,
        _fields(root, visits),
        given_texts(root, visits),
    )


def check_parts(schema: str | None, folds: bool) -> None:
    """Raises WrongUsage if an answer of ``schema`` cannot be merged, asked for or exported."""
    parts = parts_of(schema, folds)
    if parts.root is not None:
        fields(parts.root)


def answer_spec_of(ask: str, options: JobOptions, structured: Structured) -> AnswerSpec | None:
    """The answer spec of a stored job; None where plain text is asked for."""
    if options.each is None and options.schema is None:
        return None
    return AnswerSpec(
        None if options.each_only else ask,
        options.each,
        options.schema,
        structured,
        by=options.by is not None,
    )


def values_of(options: JobOptions) -> int:
    """About how many short values a stored job's answer about each image is as long as; 0 for plain
    text about the set."""
    if options.each is None and options.schema is None:
        return 0
    return parts_of(options.schema, options.each is None).values


def reply_schema(
    spec: AnswerSpec,
    count: int,
    with_text: bool,
    words: Collection[int] = (),
    beside: Mapping[str, Schema] = MappingProxyType({}),
) -> Schema:
    """The JSON Schema of a reply about ``count`` images: one required key for each.

    ``with_text``: and one for the text about all of them. ``words``: numbers of images that show
    nothing but a word, which is their value. ``beside``: further properties of the reply.
    """
    properties: dict[str, Schema] = {
        str(number): TEXT if number in words else {"$ref": f"#/$defs/{ANSWER}"}
        for number in range(1, count + 1)
    }
    about_all = spec.whole_schema() if with_text else None
    if about_all is not None:
        properties[WHOLE] = about_all
    return closed({**properties, **beside}, spec.parts.defs)


def closed(properties: dict[str, Schema], defs: dict[str, Schema]) -> Schema:
    """An object with exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        **({"$defs": defs} if defs else {}),
    }


def totals_of(spec: AnswerSpec, records: Sequence[Any]) -> dict[str, Any]:
    """What code computes from the records, for a model that writes about them."""
    rule = spec.parts.rule
    if rule is None:
        return {}
    known = computed(rule, records)  # None where a rule of the whole object finds no record
    return {"images": len(records), **(known or {})}


def whole_of(spec: AnswerSpec, records: Sequence[Any], texts: Any) -> dict[str, Any]:
    """The one object of all records, with the texts that a model wrote."""
    rule = spec.parts.rule
    assert rule is not None, "only merged records have one object"
    whole: dict[str, Any] = merged(rule, records, texts)
    return whole


def faults(schema: str, value: Any) -> list[str]:
    """How ``value`` breaks the schema, a sentence each; empty where it fits."""
    steps = Steps(ALL_STEPS_MAX)
    return sentences(validator(json.loads(schema)).faults(value, steps, FAULTS_MAX + 1))


def _fields(root: Schema, visits: Visits) -> int:
    """About how many values an object of ``root`` has; a list counts as three."""
    counted: dict[tuple[int, int], int] = {}

    def count(schema: Any, depth: int) -> int:
        if not isinstance(schema, dict) or depth > FIELDS_DEPTH:
            return 1
        if (id(schema), depth) not in counted:
            target, _ = resolved(root, schema, visits)
            inner = sum(count(part, depth + 1) for part in target.get("properties", {}).values())
            if "items" in target:
                inner += 3 * count(target["items"], depth + 1)
            counted[id(schema), depth] = max(inner, 1)
        return counted[id(schema), depth]

    return count(root, 0)


def _cited(text: str, positions: Mapping[int, int], own: int) -> str:
    """A string of image ``own`` with citations of the job, without its own number in front."""
    checked = citations.check(text, positions).text
    cited = citations.translate(checked, positions).strip()
    before = _OWN_NUMBER.match(cited)
    return cited[before.end() :] if before and before[1] == str(own) else cited
