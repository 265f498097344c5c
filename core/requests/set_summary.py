"""One object about a whole set: the totals are computed here, a model adds only the texts."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from core.answers.json_schema import Schema, map_strings, validator
from core.answers.merge import Rule
from core.answers.spec import AnswerSpec, totals, whole_of
from core.prompts import shaped
from core.reply import Reply
from core.requests.request import Body, RequestContext, Variant, make_body, read_body
from core.requests.review import ATTEMPTS_MAX, Accepted, Rejected
from core.text import citations
from core.text.json_replies import entries, line_of
from core.text.numbers import numbers_in, unbacked, without_unbacked


def response_format(shaping: AnswerSpec, schema: Any) -> Body:
    """The field of a body that asks for JSON. Not ``strict``: that mode of some endpoints refuses
    schemas with bounds or optional properties, and every reply is validated here anyway."""
    if shaping.structured == "text":
        return {}
    if shaping.structured == "json_object":
        return {"response_format": {"type": "json_object"}}
    named = {"name": "answers", "schema": schema}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def words_body(
    ask: RequestContext,
    shaping: AnswerSpec,
    notes: Sequence[str],
    records: Sequence[Any],
    variant: Variant,
) -> Body:
    """The request for the texts of the object, over notes and what code has computed."""
    schema = shaping.whole_schema() or {}
    messages = shaped.words(
        notes,
        len(records),
        shaping.question,
        text_names(schema),
        totals(shaping, records),
        None if shaping.structured == "json_schema" else schema,
        variant.nudges,
        ask.prompts,
    )
    body = make_body(ask, messages, ask.shape.branch_max_tokens(variant.widened))
    return body | response_format(shaping, schema)


def summary_body(
    ask: RequestContext,
    shaping: AnswerSpec,
    notes: Sequence[str],
    records: Sequence[Any],
    variant: Variant,
) -> Body:
    """The request of a branch below the root: notes condensed, beside what code has computed."""
    defused = [shaped.framed(note) for note in notes]
    body = read_body(ask, defused, len(records), False, variant)
    computed = shaped.totals(totals(shaping, records), ask.prompts)
    last = body["messages"][-1]
    messages = [*body["messages"][:-1], {**last, "content": f"{last['content']}\n\n{computed}"}]
    return {**body, "messages": messages}


def judge_words(
    shaping: AnswerSpec,
    reply: Reply,
    variant: Variant,
    notes: Sequence[str],
    records: Sequence[tuple[int, Any]],
    known: Collection[int],
) -> Accepted | Rejected:
    """What a reply to ``words_body`` is worth. The last form always is: where its words cannot be
    used, the records' own words stand in for them, so that no reply can break the totals."""
    values = [value for _, value in records]
    schema = shaping.whole_schema() or {}
    checked = check_texts(entries(reply.text), schema, known, given(shaping, values, notes))
    if checked.reason and len(variant.nudges) + 1 < ATTEMPTS_MAX:
        cut = reply.finish_reason == "length" or not reply.text.strip()
        return Rejected("length" if cut else checked.reason)
    said = checked.value
    if said is None and shaping.parts.rule is not None:
        said = stand_in(shaping.parts.rule, records)
    text = json.dumps(whole_of(shaping, values, said), ensure_ascii=False)
    return Accepted(text, checked.refused)


def given(shaping: AnswerSpec, records: Sequence[Any], notes: Sequence[str]) -> set[Decimal]:
    """Every number a model was given, and may repeat."""
    told = [json.dumps(totals(shaping, records)), shaping.question, *notes]
    return {number for text in told for number in numbers_in(text)} | {Decimal(len(records))}


STAND_IN_CHARACTERS = 2_000


@dataclass(frozen=True, slots=True)
class CheckedTexts:
    """Texts that may be kept, and why they should be asked for again (empty: they are good)."""

    value: Any
    refused: int
    reason: str


def check_texts(
    value: Any,
    schema: Schema,
    known: Collection[int],
    numbers: Collection[Decimal] | None,
    positions: Mapping[int, int] | None = None,
) -> CheckedTexts:
    """``value`` without false citations and, where ``numbers`` is given, without false numbers.

    None as value: it has not the form of ``schema``, or nothing of a text is left.
    """
    if not validator(schema).is_valid(value):
        return CheckedTexts(None, 0, "form")
    told = [citations.check(text, known) for text in texts_of(value)]
    refused = sum(each.refused for each in told)
    false = [n for e in told for n in unbacked(e.text, numbers)] if numbers is not None else []

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
    found: list[str] = []

    def note(text: str) -> str:
        found.append(text)
        return text

    map_strings(value, note)
    return found


def text_names(schema: Schema, path: str = "") -> list[str]:
    """``summary``, ``shop.remark``: where texts stand, with what is said of them."""
    found: list[str] = []
    for name, each in schema.get("properties", {}).items():
        here = f"{path}{name}"
        if "properties" in each:
            found += text_names(each, f"{here}.")
        else:
            said = each.get("description")
            found.append(f'"{here}" ({said})' if said else f'"{here}"')
    return found


def stand_in(rule: Rule, records: Sequence[tuple[int, Any]]) -> Any:
    """Where no reply brought usable words: what the images' own records say, with citations."""
    if rule.merge == "text":
        said = [f"[{position}] {line_of(value)}" for position, value in records if value]
        most = min(int(rule.schema.get("maxLength", STAND_IN_CHARACTERS)), STAND_IN_CHARACTERS)
        return _cut("; ".join(said), most)
    made = {}
    for name, each in (rule.properties or {}).items():
        if each.needs_words:
            below = [(n, value.get(name)) for n, value in records if isinstance(value, Mapping)]
            made[name] = stand_in(each, below)
    return made


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: max(most - 1, 0)].rsplit(";", 1)[0] + "…"


def read(text: str) -> dict[str, Any]:
    """The object in a reply."""
    return entries(text)
