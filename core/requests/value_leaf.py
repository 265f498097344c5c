"""A leaf that is asked for a value for each of its images, in one JSON object by image number."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from core.answers.spec import (
    REPLY_STEPS_MAX,
    TEXT,
    WHOLE,
    AnswerSpec,
    reply_schema,
    whole_of,
)
from core.answers.validation import Steps
from core.errors import RefusalCode
from core.prompts import Nudge, shaped
from core.reply import Reply
from core.requests import second_look, set_summary
from core.requests.leaf import Leaf, LeafAttempt, Reading, lines_of, seen_as
from core.requests.request import Attempt, Body, notes_body
from core.requests.review import Accepted, LeafImages, Rejected, review
from core.states import Seen
from core.text import citations
from core.text.json_replies import entries, line_of
from core.text.notes import says_nothing


@dataclass(frozen=True)
class ValueLeaf(Leaf):
    """``spec``: what is asked about each image."""

    spec: AnswerSpec

    unanswered: ClassVar = (RefusalCode.NO_ANSWER, "no attempt got a usable answer for it")
    nudge: ClassVar[Nudge] = "missing"

    @property
    def wants_text(self) -> bool:
        return self.is_root and self.spec.needs_words

    def images_body(self, attempt: LeafAttempt, urls: Sequence[str]) -> Body:
        context, spec = self.context, self.spec
        with_text = self.asks_text(attempt)
        words = [canary.place for canary in self.canaries(attempt)]
        beside = {second_look.KEY: second_look.SCHEMA} if context.marks else {}
        schema = reply_schema(spec, len(urls), with_text, words, beside)
        instruction = shaped.each_instruction(
            len(urls),
            spec.question,
            records=spec.folds,
            objects=spec.schema is not None,
            words=words,
            also=self._besides(with_text),
            schema=None if spec.structured == "json_schema" else schema,
            own=context.prompts,
        )
        return set_summary.shown_body(context, spec, urls, instruction, schema, attempt)

    def read(self, attempt: LeafAttempt, reply: Reply) -> Reading:
        answers = entries(reply.text)
        placed = self.placed(attempt)
        positions = {n: self.positions[number] for n, number in placed.items()}
        values: dict[int, Any] = {}
        refused = 0
        work = Steps(REPLY_STEPS_MAX)
        for n, number in placed.items():
            given = answers.get(str(n))
            value = self.spec.parts.known_value(given, positions, n, work)
            if value is None or (isinstance(value, str) and says_nothing(value, alone=True)):
                continue
            values[number] = value
            refused += _false_citations(given, positions)
        words = {c.place: line_of(answers.get(str(c.place), "")) for c in self.canaries(attempt)}
        kept = {**attempt.kept, **values}
        given_for = {number for n, number in placed.items() if answers.get(str(n)) is not None}
        reading = Reading(
            values,
            refused=refused,
            unclear=self._unclear(answers, placed, values),
            unfit=frozenset(given_for - values.keys()),
            words=words,
        )
        if not self.asks_text(attempt) or len(kept) < len(self.positions):
            return reading
        checked = self._checked(answers.get(WHOLE), kept, positions)
        text = None if checked.reason else json.dumps(checked.value)
        return replace(reading, text=text)

    def body_over_answers(self, attempt: LeafAttempt, inner: Attempt) -> Body:
        lines = [self.lines(attempt)]
        if self.spec.folds:
            records = list(attempt.kept.values())
            return set_summary.texts_body(self.context, self.spec, lines, records, inner)
        return notes_body(self.context, lines, len(attempt.kept), True, inner)

    def review_over_answers(
        self, attempt: LeafAttempt, inner: Attempt, reply: Reply
    ) -> Accepted | Rejected:
        placed = self.by_position(attempt)
        if self.spec.folds:
            lines, records = [self.lines(attempt)], list(placed.items())
            return set_summary.review_texts(self.spec, reply, inner, lines, records, set(placed))
        return review(reply, inner, set(placed), None)

    def text_of(self, attempt: LeafAttempt, text: str | None) -> str:
        if not self.is_root or (text is None and not self.spec.folds) or not attempt.kept:
            return self.lines(attempt)
        about_all = None if text is None else json.loads(text)
        if not self.spec.folds:
            return str(about_all)
        merged = whole_of(self.spec, list(attempt.kept.values()), about_all)
        return json.dumps(merged, ensure_ascii=False)

    def notes(self, attempt: LeafAttempt) -> str:
        return self.lines(attempt)

    def seen(self, attempt: LeafAttempt) -> LeafImages:
        answers = self.by_position(attempt)
        return LeafImages(seen_as(Seen.ANSWER, answers), answers=answers)

    def _besides(self, with_text: bool) -> str:
        """What is asked for beside the values: a text about all images, and what is unclear."""
        unclear = shaped.unclear(self.context.prompts) if self.context.marks else ""
        parts = (self._also() if with_text else "", unclear)
        return "\n\n".join(part for part in parts if part)

    def _unclear(
        self, answers: Mapping[str, Any], placed: Mapping[int, int], values: Mapping[int, Any]
    ) -> dict[int, second_look.Unclear]:
        """Which of the images with a value are unclear, by their number in the leaf."""
        if not self.context.marks:
            return {}
        known = {n: values[number] for n, number in placed.items() if number in values}
        told = second_look.unclear_in(answers.get(second_look.KEY), known)
        return {placed[n]: fields for n, fields in told.items()}

    def _also(self) -> str:
        if not self.spec.folds:
            return shaped.also_answer(self.spec.ask or "", self.context.prompts)
        names = set_summary.text_names(self.spec.whole_schema() or {})
        return shaped.also_words(names, self.context.prompts)

    def _checked(
        self, text: Any, kept: Mapping[int, Any], positions: Mapping[int, int]
    ) -> set_summary.CheckedTexts:
        """The text about all images in a first reply. It cites numbers of the request, which
        ``positions`` translates."""
        numbers = None
        if self.spec.folds:
            lines = lines_of([(self.positions[number], value) for number, value in kept.items()])
            numbers = set_summary.given_numbers(self.spec, list(kept.values()), [lines])
        schema = self.spec.whole_schema() or TEXT
        return set_summary.check_texts(text, schema, set(positions), numbers, positions)


def _false_citations(value: Any, known: Mapping[int, int]) -> int:
    return sum(citations.count_unknown(text, known) for text in set_summary.texts_of(value))
