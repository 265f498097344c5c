"""A leaf that is asked for a value for each of its images: its attempts, and its replies.

The first attempt shows every image. What its reply leaves out is shown again alone, numbered anew
from 1, with a nudge; the answers so far are kept. If a text about all images is wanted too, the
first reply may carry it; if an image was missing there, a request over the answers asks for it.
Every attempt follows from the replies before it, so replaying the ledger finds the one that is due.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from core.answers.spec import TEXT, WHOLE, AnswerSpec, reply_schema, whole_of
from core.prompts import Nudge, shaped
from core.reply import Reply
from core.requests import set_summary
from core.requests.request import FIRST, Attempt, Body, RequestContext, make_body, notes_body
from core.requests.review import ATTEMPTS_ALONE, ATTEMPTS_MAX, Accepted, AskAgain, Rejected, review
from core.text import citations
from core.text.json_replies import entries, line_of

ATTEMPTS_MAX_PER_IMAGE = ATTEMPTS_ALONE + ATTEMPTS_MAX
"""Attempts that show images, and after them attempts over the answers."""


@dataclass(frozen=True, slots=True)
class PerImageAttempt:
    """``shown``: numbers of the leaf's images that it shows. ``kept``: answers of earlier replies,
    by number. ``over_answers``: it shows no image and asks for a text over the answers."""

    shown: tuple[int, ...]
    turn: int = 0
    widened: int = 0
    kept: Mapping[int, Any] = field(default_factory=dict)
    refused: int = 0
    over_answers: Attempt | None = None


@dataclass(frozen=True, slots=True)
class PerImageLeaf:
    """What the requests of one leaf share. ``positions``: of its images, by number from 1;
    ``is_root``: its reply is the job's answer."""

    context: RequestContext
    spec: AnswerSpec
    positions: Mapping[int, int]
    is_root: bool

    @property
    def wants_text(self) -> bool:
        """Whether a text about all images is wanted as well."""
        return self.is_root and self.spec.needs_words

    def first(self) -> PerImageAttempt:
        return PerImageAttempt(tuple(self.positions))

    def body(self, attempt: PerImageAttempt, urls: Sequence[str]) -> Body:
        """The request; ``urls`` are those of ``attempt.shown``."""
        if attempt.over_answers is not None:
            return self._body_over_answers(attempt, attempt.over_answers)
        context, spec = self.context, self.spec
        with_text = self.wants_text and attempt.turn == 0
        schema = reply_schema(spec, len(urls), with_text)
        instruction = shaped.each_instruction(
            len(urls),
            spec.question,
            records=spec.folds,
            objects=spec.schema is not None,
            also=self._also() if with_text else "",
            schema=None if spec.structured == "json_schema" else schema,
            own=context.prompts,
        )
        nudges: tuple[Nudge, ...] = ("missing",) if attempt.turn else ()
        messages = shaped.each(urls, context.detail, instruction, nudges, context.prompts)
        max_tokens = context.capacity.leaf_max_tokens(len(urls), attempt.widened)
        return make_body(context, messages, max_tokens) | set_summary.response_format(spec, schema)

    def review(
        self, attempt: PerImageAttempt, reply: Reply
    ) -> Accepted | AskAgain[PerImageAttempt]:
        """What to record of ``reply`` to ``attempt``, or what to ask next."""
        if attempt.over_answers is not None:
            return self._review_over_answers(attempt, attempt.over_answers, reply)
        answers = entries(reply.text)
        kept, refused = self._kept(attempt, answers)
        missing = tuple(number for number in attempt.shown if number not in kept)
        # an empty reply says nothing about the images, so it may be repeated more often
        turns = ATTEMPTS_MAX if reply.text.strip() else ATTEMPTS_ALONE
        if missing and attempt.turn + 1 < turns:
            stuck = reply.finish_reason == "length" or missing == attempt.shown
            widened = attempt.widened + stuck
            reason = f"{len(missing)} of {len(attempt.shown)} images have no usable answer"
            again = PerImageAttempt(missing, attempt.turn + 1, widened, kept, refused)
            return AskAgain(reason, again)
        done = replace(attempt, kept=kept, refused=refused)
        if not self.wants_text or not kept:
            return self._accepted(done, None, 0)
        if attempt.turn == 0 and not missing:
            checked = self._checked(answers.get(WHOLE), done)
            if not checked.reason:
                return self._accepted(done, checked.value, 0)
        return AskAgain("the text about all images is asked for", replace(done, over_answers=FIRST))

    def _kept(
        self, attempt: PerImageAttempt, answers: Mapping[str, Any]
    ) -> tuple[dict[int, Any], int]:
        """All answers after a reply, in the order of the images; and how many citations were
        refused."""
        known = dict(attempt.kept)
        refused = attempt.refused
        shown = dict(enumerate(attempt.shown, start=1))
        positions = {n: self.positions[number] for n, number in shown.items()}
        for n, number in shown.items():
            value = self.spec.parts.known_value(answers.get(str(n)), positions, n)
            if value is not None:
                known[number] = value
                refused += _false_citations(answers[str(n)], positions)
        return dict(sorted(known.items())), refused

    def _also(self) -> str:
        if not self.spec.folds:
            return shaped.also_answer(self.spec.ask or "", self.context.prompts)
        names = set_summary.text_names(self.spec.whole_schema() or {})
        return shaped.also_words(names, self.context.prompts)

    def _checked(self, text: Any, attempt: PerImageAttempt) -> set_summary.CheckedTexts:
        """The text about all images in a first reply; its citations are numbers of the leaf."""
        numbers = None
        if self.spec.folds:
            records, lines = list(attempt.kept.values()), [self._lines(attempt)]
            numbers = set_summary.given_numbers(self.spec, records, lines)
        schema = self.spec.whole_schema() or TEXT
        return set_summary.check_texts(text, schema, set(attempt.kept), numbers, self.positions)

    def _body_over_answers(self, attempt: PerImageAttempt, inner: Attempt) -> Body:
        lines = [self._lines(attempt)]
        if self.spec.folds:
            records = list(attempt.kept.values())
            return set_summary.texts_body(self.context, self.spec, lines, records, inner)
        return notes_body(self.context, lines, len(attempt.kept), True, inner)

    def _review_over_answers(
        self, attempt: PerImageAttempt, inner: Attempt, reply: Reply
    ) -> Accepted | AskAgain[PerImageAttempt]:
        known = {self.positions[number] for number in attempt.kept}
        if self.spec.folds:
            lines, placed = [self._lines(attempt)], self._placed(attempt)
            result = set_summary.review_texts(self.spec, reply, inner, lines, placed, known)
        else:
            result = review(reply, inner, known, None)
        if isinstance(result, Rejected):
            if len(inner.nudges) + 1 < ATTEMPTS_MAX:
                again = replace(attempt, over_answers=inner.after(result.reason))
                return AskAgain(result.reason, again)
            result = Accepted(self._lines(attempt), 0)
        return replace(self._accepted(attempt, None, result.refused), text=result.text)

    def _accepted(self, attempt: PerImageAttempt, text: Any, refused: int) -> Accepted:
        answers = {self.positions[number]: value for number, value in attempt.kept.items()}
        missing = tuple(p for n, p in self.positions.items() if n not in attempt.kept)
        return Accepted(self._text(attempt, text), attempt.refused + refused, answers, missing)

    def _text(self, attempt: PerImageAttempt, text: Any) -> str:
        if not self.is_root or (text is None and not self.spec.folds) or not attempt.kept:
            return self._lines(attempt)
        if not self.spec.folds:
            return str(text)
        merged = whole_of(self.spec, list(attempt.kept.values()), text)
        return json.dumps(merged, ensure_ascii=False)

    def _placed(self, attempt: PerImageAttempt) -> list[tuple[int, Any]]:
        return [(self.positions[number], value) for number, value in attempt.kept.items()]

    def _lines(self, attempt: PerImageAttempt) -> str:
        return lines_of(self._placed(attempt))


def lines_of(answers: Sequence[tuple[int, Any]]) -> str:
    """``[17] answer``, one line for each image."""
    return "\n".join(f"[{position}] {line_of(value)}" for position, value in answers)


def _false_citations(value: Any, known: Mapping[int, int]) -> int:
    return sum(
        number not in known
        for text in set_summary.texts_of(value)
        for number in citations.cited_numbers(text)
    )
