"""One object about a whole set: the totals are computed here, a model adds only the texts."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Any

from core import words
from core.figures import numbers_in
from core.keyed import entries
from core.prompts import shaped
from core.reply import Reply
from core.request import Ask, Body, Variant, make_body, read_body
from core.shaping import Shaping, totals, whole_of
from core.verdict import VARIANTS_MAX, Unusable, Usable


def response_format(shaping: Shaping, schema: Any) -> Body:
    """The field of a body that asks for JSON. Not ``strict``: that mode of some endpoints refuses
    schemas with bounds or optional properties, and every reply is validated here anyway."""
    if shaping.structured == "text":
        return {}
    if shaping.structured == "json_object":
        return {"response_format": {"type": "json_object"}}
    named = {"name": "answers", "schema": schema}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def words_body(
    ask: Ask, shaping: Shaping, notes: Sequence[str], records: Sequence[Any], variant: Variant
) -> Body:
    """The request for the texts of the object, over notes and what code has computed."""
    schema = shaping.whole_schema() or {}
    messages = shaped.words(
        notes,
        len(records),
        shaping.question,
        words.names_of(schema),
        totals(shaping, records),
        None if shaping.structured == "json_schema" else schema,
        variant.nudges,
        ask.prompts,
    )
    body = make_body(ask, messages, ask.shape.branch_max_tokens(variant.widened))
    return body | response_format(shaping, schema)


def summary_body(
    ask: Ask, shaping: Shaping, notes: Sequence[str], records: Sequence[Any], variant: Variant
) -> Body:
    """The request of a branch below the root: notes condensed, beside what code has computed."""
    defused = [shaped.framed(note) for note in notes]
    body = read_body(ask, defused, len(records), False, variant)
    computed = shaped.totals(totals(shaping, records), ask.prompts)
    last = body["messages"][-1]
    messages = [*body["messages"][:-1], {**last, "content": f"{last['content']}\n\n{computed}"}]
    return {**body, "messages": messages}


def judge_words(
    shaping: Shaping,
    reply: Reply,
    variant: Variant,
    notes: Sequence[str],
    records: Sequence[tuple[int, Any]],
    known: Collection[int],
) -> Usable | Unusable:
    """What a reply to ``words_body`` is worth. The last form always is: where its words cannot be
    used, the records' own words stand in for them, so that no reply can break the totals."""
    values = [value for _, value in records]
    schema = shaping.whole_schema() or {}
    checked = words.check(entries(reply.text), schema, known, given(shaping, values, notes))
    if checked.reason and len(variant.nudges) + 1 < VARIANTS_MAX:
        cut = reply.finish_reason == "length" or not reply.text.strip()
        return Unusable("length" if cut else checked.reason)
    said = checked.value
    if said is None and shaping.parts.rule is not None:
        said = words.stand_in(shaping.parts.rule, records)
    text = json.dumps(whole_of(shaping, values, said), ensure_ascii=False)
    return Usable(text, checked.refused)


def given(shaping: Shaping, records: Sequence[Any], notes: Sequence[str]) -> set[Decimal]:
    """Every number a model was given, and may repeat."""
    told = [json.dumps(totals(shaping, records)), shaping.question, *notes]
    return {number for text in told for number in numbers_in(text)} | {Decimal(len(records))}
