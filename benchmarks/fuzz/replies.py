"""Replies of models: text and JSON, through all that judges, keeps and shows them."""

from __future__ import annotations

import json
import random
import re
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.fuzz.kind import Kind, check
from benchmarks.fuzz.mutations import dumped, of_text, of_value, piece, prose
from benchmarks.fuzz.schemas import value_of
from clients.provider.replies import json_or_none, read_reply
from core.errors import ReplyUnusable
from core.jobs import JobSpec
from core.reply import Reply
from core.requests.leaf import ATTEMPTS_MAX_PER_LEAF, Leaf
from core.requests.leaves import leaf_of
from core.requests.request import FIRST, notes_body, request_context, with_usage
from core.requests.review import Accepted, NotSeen, review, salvage
from core.requests.set_summary import review_texts, summary_body, texts_body
from core.settings import load
from core.text.citations import cited_numbers
from core.text.sanitize import all_storable
from core.tree.capacity import NOTHING_LEARNED
from overstory.output.terminal import safe
from overstory.report import markdown, shaped
from overstory.report.notes import notes_of, rest_of, without_number
from overstory.report.page import island

FRAME = re.compile(r"[<‹〈˂ᐸ«]\s?/\s?(notes|question)\b")
"""A closing delimiter, in text without invisible signs and in plain letters."""
OFFSET = 40
"""Image 1 of a leaf is image 41 of the job."""
SCHEMAS: tuple[dict[str, Any], ...] = (
    {"type": "object", "properties": {"total": {"type": "number"}, "shop": {"type": "string"}}},
    {"type": "object", "required": ["receipts", "summary"], "properties": {
        "receipts": {"type": "integer"}, "summary": {"type": "string", "maxLength": 300}}},
    {"type": "object", "additionalProperties": False, "properties": {
        "kind": {"enum": ["a", "b", None]},
        "tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        "place": {"type": "object", "properties": {
            "x": {"type": "number"}, "y": {"$ref": "#/$defs/n"}}}},
     "$defs": {"n": {"type": ["number", "null"], "minimum": 0}}},
    {"type": "object", "properties": {
        "code": {"type": "string", "pattern": r"^(\w+\s?)*$"}, "ok": {"type": "boolean"}}},
)  # fmt: skip
ASKED: tuple[dict[str, Any], ...] = (
    {"ask": "Which?"},
    {"ask": "Which?", "canary": True},
    {"ask": "Which?", "bare": True},
    {"each": "What is it?"},
    {"ask": "Which?", "each": "What is it?"},
    {"each": "What is it?", "canary": True},
    *({"each": "What is it?", "schema": schema} for schema in SCHEMAS),
    *({"ask": "How many?", "schema": schema} for schema in SCHEMAS),
)


def leaves() -> list[Leaf]:
    """Leaves and roots over few and many images, for each kind of question."""
    made = []
    for asked in ASKED:
        spec = JobSpec(images=["x"], **asked)
        for images, is_root, history in ((1, True, False), (3, True, False), (3, False, False),
                                         (60, False, False), (3, True, True)):  # fmt: skip
            context = request_context(
                load(), question=spec.question, model="step-3.7-flash", provider="stepfun",
                endpoint="e", detail="low", options=spec.options, learned=NOTHING_LEARNED,
            )  # fmt: skip
            if history:
                context = replace(context, history=(("Before?", "Red [1]."),))
            numbers = range(1, images + 1)
            positions = {number: OFFSET + number for number in numbers}
            contents = {number: f"c{number}" for number in numbers}
            made.append(leaf_of(context, positions, contents, is_root))
    return made


# --- writing them


def text_reply(draw: random.Random, images: int) -> str:
    """Lines about the images, mostly well formed, and an answer below them."""
    if draw.random() < 0.15:
        return prose(draw)
    form = draw.choice(
        ("[{}] {}", "[{}] {}", "- [{}]: {}", "Image {}: {}", "{}. {}", "**[{}]** {}")
    )
    lines = [form.format(number, _about(draw)) for number in range(1, images + 1)]
    if draw.random() < 0.3:
        draw.shuffle(lines)
    answer = f"{_about(draw)} [1], {_about(draw)} [{draw.choice((1, 2, '1-3', 99))}]."
    parts = [*lines, draw.choice(("===", "===", "---", "")), answer]
    return of_text(draw, "\n".join(parts))


def _about(draw: random.Random) -> str:
    return draw.choice(("a red barn", "a boat 12.5 m", "nothing", "two cows", piece(draw)))


def json_reply(draw: random.Random, leaf: Leaf, schema: Any) -> str:
    """An object by image number, mostly well formed."""
    images = len(leaf.positions)
    value = {
        str(number): _about(draw) if schema is None else value_of(draw, schema)
        for number in range(1, images + 1)
    }
    if draw.random() < 0.5:
        value["whole"] = _about(draw) if schema is None else value_of(draw, schema)
    text = dumped(draw, of_value(draw, value, 0.03))
    if draw.random() < 0.1:
        text = text.replace('"2"', '"1"')
    return of_text(draw, text) if draw.random() < 0.4 else text


def envelope(draw: random.Random, text: str) -> bytes:
    """A chat.completion object around ``text``, as bytes of a response."""
    content: Any = text
    if draw.random() < 0.1:
        content = [{"type": "text", "text": text}, {"type": "text"}, None]
    body: Any = {
        "id": "trace.0123", "model": "m",
        "choices": [{"finish_reason": draw.choice(("stop", "stop", "stop", "length", None, "x")),
                     "message": {"content": content, "reasoning_content": None}}],
        "usage": {"prompt_tokens": draw.choice((3_000, 3_000, 50_000, 10**30, -1, None, 1e300)),
                  "completion_tokens": 20},
    }  # fmt: skip
    if draw.random() < 0.05:
        body = of_value(draw, body, 0.2)
    data = json.dumps(body, ensure_ascii=draw.random() < 0.5).encode("utf-8", "surrogatepass")
    return data[: draw.randrange(len(data))] if draw.random() < 0.01 else data


@dataclass(frozen=True)
class Case:
    leaf: int
    responses: list[bytes]


@dataclass
class Replies:
    in_json: bool
    leaves: list[Leaf]

    def make(self, draw: random.Random) -> Case:
        choices = [n for n, leaf in enumerate(self.leaves) if has_values(leaf) == self.in_json]
        at = draw.choice(choices)
        leaf = self.leaves[at]
        schema = schema_of(leaf)
        texts = []
        for _ in range(draw.choice((1, 2, 4))):
            other = draw.random() < 0.1  # text where JSON is wanted, and the other way round
            if has_values(leaf) != other:
                texts.append(json_reply(draw, leaf, schema))
            else:
                texts.append(text_reply(draw, len(leaf.positions)))
        return Case(at, [envelope(draw, text) for text in texts])

    def run(self, case: Case) -> str:
        leaf = self.leaves[case.leaf]
        replies = []
        for response in case.responses:
            body = json_or_none(response)
            try:
                reply = read_reply(body if isinstance(body, dict) else {}, None)
            except ReplyUnusable:
                continue
            check(all_storable([reply.text, reply.reasoning, reply.model]), "it cannot be stored")
            replies.append(with_usage(reply, 3_000, 500))
        if not replies:
            return "unusable"
        outcome = asked(leaf, replies)
        above(leaf, replies)
        return outcome


def has_values(leaf: Leaf) -> bool:
    return leaf.context.answer_spec is not None


def schema_of(leaf: Leaf) -> Any:
    spec = leaf.context.answer_spec
    return None if spec is None else spec.parts.root


# --- reading them


def asked(leaf: Leaf, replies: Sequence[Reply]) -> str:
    """The attempts of a leaf, to which ``replies`` come in turn."""
    attempt = leaf.first()
    for turn in range(ATTEMPTS_MAX_PER_LEAF + 1):
        pictures = len(attempt.shown) + len(leaf.canaries(attempt))
        leaf.body(attempt, [f"u{n}" for n in range(pictures)])
        result = leaf.review(attempt, replies[turn % len(replies)])
        if isinstance(result, NotSeen):
            return "not seen"
        if isinstance(result, Accepted):
            accepted(leaf, result)
            return "accepted" if result.images and result.images.seen else "nothing of use"
        attempt = result.attempt
    raise AssertionError("the attempts do not end")


def accepted(leaf: Leaf, result: Accepted) -> None:
    """What is recorded holds: storable, citing nothing unknown, with each image accounted for."""
    images = result.images
    positions = set(leaf.positions.values())
    check(images is not None, "a leaf records its images")
    assert images is not None
    apart = [position for group in images.apart for position in group]
    accounted = [*images.seen, *images.unseen, *apart]
    check(sorted(accounted) == sorted(positions), f"{len(accounted)} of {len(positions)} images")
    texts = [result.text, *images.notes.values()]
    check(all_storable([texts, list(images.answers.values())]), "it cannot be stored")
    check(len(result.text.encode()) < 5_000_000, "the text has grown too large")
    if not has_values(leaf):
        false = {n for text in texts for n in cited_numbers(text)} - positions
        check(not false, f"it cites {sorted(false)[:5]}, which were not shown")
    json.dumps({str(n): value for n, value in images.answers.items()}, allow_nan=False)
    shown(result.text, sorted(positions), list(images.answers.items()))
    framed(leaf, result.text)


def shown(text: str, positions: Sequence[int], answers: Sequence[tuple[int, Any]]) -> None:
    """The report and the terminal."""
    notes = notes_of(text, positions)
    data = {
        "answer": markdown.blocks(text),
        "rest": markdown.blocks(rest_of(text)),
        "notes": [markdown.spans(without_number(note, n)) for n, note in notes.items()],
        "answers": [shaped.note(None, value) for _, value in answers],
    }
    island(data)
    printed = safe(text)
    bad = {c for c in printed if unicodedata.category(c) == "Cc" and c not in "\n\t\r"}
    check(not bad, f"{bad!r} is printed")


def framed(leaf: Leaf, text: str) -> None:
    """In the request of the node above, the notes cannot close their frame."""
    body = notes_body(leaf.context, [text], 3, True, FIRST)
    message = body["messages"][-1]["content"]
    inner = message[message.index("<notes>") + 7 : message.rindex("</notes>")]
    plain = "".join(
        c for c in unicodedata.normalize("NFKC", inner) if unicodedata.category(c) != "Cf"
    )
    found = FRAME.search(plain.casefold())
    check(not found, f"{found and found[0]!r} closes the frame of the notes")


def above(leaf: Leaf, replies: Sequence[Reply]) -> None:
    """The same replies to a branch, and to a root that writes about records."""
    known = set(leaf.positions.values())
    for reply in replies:
        review(reply, FIRST, known, None)
    salvage([*replies, *replies, *replies], known, None)
    spec = leaf.context.answer_spec
    if spec is None or not spec.folds:
        return
    records = [(41, {}), (42, {})]
    notes = [replies[0].text]
    values = [value for _, value in records]
    texts_body(leaf.context, spec, notes, values, FIRST)
    summary_body(leaf.context, spec, notes, values, FIRST)
    last = replace(FIRST, nudges=("form", "form"))
    for reply in replies:
        result = review_texts(spec, reply, last, notes, records, known)
        check(isinstance(result, Accepted), "the last attempt is not accepted")


@contextmanager
def opened_text() -> Iterator[Replies]:
    yield Replies(False, leaves())


@contextmanager
def opened_json() -> Iterator[Replies]:
    yield Replies(True, leaves())


TEXT = Kind("reply", 20_000, opened_text, cpu_seconds=3.0)
JSON = Kind("json", 18_000, opened_json, cpu_seconds=3.0)
