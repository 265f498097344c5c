"""One object about a whole set: code computes the totals, a model adds only the texts."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from core.answers.json_schema import Schema, map_strings, validator
from core.answers.merge import Rule
from core.answers.spec import AnswerSpec, totals_of, whole_of
from core.catalog.models import Structured
from core.prompts import shaped
from core.reply import Reply
from core.requests.leaf import LeafAttempt
from core.requests.request import Attempt, Body, RequestContext, make_body, notes_body
from core.requests.review import ATTEMPTS_MAX, Accepted, Rejected
from core.text import citations
from core.text.json_replies import entries, line_of
from core.text.numbers import numbers_in, unbacked, without_unbacked

STAND_IN_CHARACTERS = 2_000


@dataclass(frozen=True, slots=True)
class CheckedTexts:
    """Texts that may be kept; ``reason``: why to ask for them again (empty: they are good)."""

    value: Any
    refused: int
    reason: str


def response_format(structured: Structured, schema: Any) -> Body:
    """The field of a body that asks for JSON. It is not ``strict``: with it some endpoints refuse
    schemas with bounds or optional properties, and every reply is validated here anyway."""
    if structured == "text":
        return {}
    if structured == "json_object":
        return {"response_format": {"type": "json_object"}}
    named = {"name": "answers", "schema": schema}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def shown_body(
    context: RequestContext,
    spec: AnswerSpec,
    urls: Sequence[str],
    instruction: str,
    schema: Any,
    attempt: LeafAttempt,
) -> Body:
    """The request that shows ``urls`` and asks for JSON that follows ``schema``."""
    messages = shaped.each(urls, context.detail, instruction, attempt.nudges, context.prompts)
    max_tokens = context.capacity.leaf_max_tokens(len(urls), attempt.widened)
    return make_body(context, messages, max_tokens) | response_format(spec.structured, schema)


def texts_body(
    context: RequestContext,
    spec: AnswerSpec,
    notes: Sequence[str],
    records: Sequence[Any],
    attempt: Attempt,
) -> Body:
    """The request for the object's texts, over notes and what code has computed."""
    schema = spec.whole_schema() or {}
    messages = shaped.words(
        notes,
        len(records),
        spec.question,
        text_names(schema),
        totals_of(spec, records),
        None if spec.structured == "json_schema" else schema,
        attempt.nudges,
        context.prompts,
    )
    max_tokens = context.capacity.branch_max_tokens(attempt.widened)
    return make_body(context, messages, max_tokens) | response_format(spec.structured, schema)


def summary_body(
    context: RequestContext,
    spec: AnswerSpec,
    notes: Sequence[str],
    records: Sequence[Any],
    attempt: Attempt,
) -> Body:
    """The request of a branch below the root: condense notes, beside what code has computed."""
    defused = [shaped.framed(note) for note in notes]
    body = notes_body(context, defused, len(records), False, attempt)
    computed = shaped.totals(totals_of(spec, records), context.prompts)
    last = body["messages"][-1]
    messages = [*body["messages"][:-1], {**last, "content": f"{last['content']}\n\n{computed}"}]
    return {**body, "messages": messages}


def review_texts(
    spec: AnswerSpec,
    reply: Reply,
    attempt: Attempt,
    notes: Sequence[str],
    records: Sequence[tuple[int, Any]],
    known: Collection[int],
) -> Accepted | Rejected:
    """What to record of a reply to ``texts_body``.

    The last attempt is always accepted: where its texts cannot be used, texts of the records stand
    in for them, so no reply can break the totals.
    """
    values = [value for _, value in records]
    schema = spec.whole_schema() or {}
    checked = check_texts(entries(reply.text), schema, known, given_numbers(spec, values, notes))
    if checked.reason and len(attempt.nudges) + 1 < ATTEMPTS_MAX:
        cut = reply.finish_reason == "length" or not reply.text.strip()
        return Rejected("length" if cut else checked.reason)
    texts = checked.value
    if texts is None and spec.parts.rule is not None:
        texts = stand_in(spec.parts.rule, records)
    return Accepted(json.dumps(whole_of(spec, values, texts), ensure_ascii=False), checked.refused)


def given_numbers(spec: AnswerSpec, records: Sequence[Any], notes: Sequence[str]) -> set[Decimal]:
    """Every number in a request, which its reply may repeat."""
    texts = [json.dumps(totals_of(spec, records)), spec.question, *notes]
    return {number for text in texts for number in numbers_in(text)} | {Decimal(len(records))}


def check_texts(
    value: Any,
    schema: Schema,
    known: Collection[int],
    numbers: Collection[Decimal] | None,
    positions: Mapping[int, int] | None = None,
) -> CheckedTexts:
    """``value`` without false citations and, if ``numbers`` is given, without other numbers.

    The value is None if it does not fit ``schema``, or if nothing of a text is left.
    """
    if not validator(schema).is_valid(value):
        return CheckedTexts(None, 0, "form")
    checked = [citations.check(text, known) for text in texts_of(value)]
    refused = sum(text.refused for text in checked)
    false = numbers is not None and any(unbacked(text.text, numbers) for text in checked)

    def cleaned(text: str) -> str:
        kept = citations.check(text, known).text
        if numbers is not None:
            kept = without_unbacked(kept, numbers)
        return kept if positions is None else citations.translate(kept, positions)

    kept = map_strings(value, cleaned)
    if not all(texts_of(kept)) or not validator(schema).is_valid(kept):
        return CheckedTexts(None, refused, "figure" if false else "form")
    return CheckedTexts(kept, refused, "citation" if refused else "figure" if false else "")


def texts_of(value: Any) -> list[str]:
    """All strings in a JSON value."""
    texts: list[str] = []

    def collect(text: str) -> str:
        texts.append(text)
        return text

    map_strings(value, collect)
    return texts


def text_names(schema: Schema, path: str = "") -> list[str]:
    """``"summary"``, ``"shop.remark" (description)``: where the schema has texts."""
    names: list[str] = []
    for name, part in schema.get("properties", {}).items():
        here = f"{path}{name}"
        if "properties" in part:
            names += text_names(part, f"{here}.")
        else:
            description = part.get("description")
            names.append(f'"{here}" ({description})' if description else f'"{here}"')
    return names


def stand_in(rule: Rule, records: Sequence[tuple[int, Any]]) -> Any:
    """Texts of the images' own records, with citations: used where no reply had usable texts."""
    if rule.merge == "text":
        lines = [f"[{position}] {line_of(value)}" for position, value in records if value]
        most = min(int(rule.schema.get("maxLength", STAND_IN_CHARACTERS)), STAND_IN_CHARACTERS)
        return _cut("; ".join(lines), most)
    texts = {}
    for name, part in (rule.properties or {}).items():
        if part.needs_words:
            below = [(n, value.get(name)) for n, value in records if isinstance(value, Mapping)]
            texts[name] = stand_in(part, below)
    return texts


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: max(most - 1, 0)].rsplit(";", 1)[0] + "…"
