"""A leaf that is asked for a value an image: the forms of its request, and what replies are worth.

The first form shows every image. What its reply does not answer is shown again, alone and numbered
anew from 1, with a nudge; what was answered is kept. Where a text about all the images is wanted
too, the first reply may carry it; if an image was missing there, it is asked for over the answers.
Every form follows from the replies before it, so replaying the ledger finds the one that is due.
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
from core.requests.request import FIRST, Body, RequestContext, Variant, make_body, read_body
from core.requests.review import ATTEMPTS_ALONE, ATTEMPTS_MAX, Accepted, AskAgain, Rejected, judge
from core.text import citations
from core.text.json_replies import entries, line_of

ATTEMPTS_MAX_EACH = ATTEMPTS_ALONE + ATTEMPTS_MAX
"""Forms that show images, and then forms over the answers."""


@dataclass(frozen=True, slots=True)
class Form:
    """``shown`` are numbers of the leaf's images; ``kept`` is what earlier replies said of the
    others, by number. ``reading``: nothing is shown, words are asked for over the answers."""

    shown: tuple[int, ...]
    turn: int = 0
    widened: int = 0
    kept: Mapping[int, Any] = field(default_factory=dict)
    refused: int = 0
    reading: Variant | None = None


@dataclass(frozen=True, slots=True)
class Leaf:
    """What the requests of one leaf share. ``positions``: of its images, by number from 1;
    ``root``: its reply is the job's answer."""

    ask: RequestContext
    shaping: AnswerSpec
    positions: Mapping[int, int]
    root: bool

    @property
    def wants_words(self) -> bool:
        return self.root and self.shaping.needs_words

    def first(self) -> Form:
        return Form(tuple(self.positions))

    def body(self, form: Form, urls: Sequence[str]) -> Body:
        """The request; ``urls`` are those of ``form.shown``."""
        if form.reading is not None:
            return self._reading_body(form, form.reading)
        ask, shaping = self.ask, self.shaping
        with_words = self.wants_words and form.turn == 0
        schema = reply_schema(shaping, len(urls), with_words)
        instruction = shaped.each_instruction(
            len(urls),
            shaping.question,
            records=shaping.folds,
            objects=shaping.schema is not None,
            also=self._also() if with_words else "",
            schema=None if shaping.structured == "json_schema" else schema,
            own=ask.prompts,
        )
        nudges: tuple[Nudge, ...] = ("missing",) if form.turn else ()
        messages = shaped.each(urls, ask.detail, instruction, nudges, ask.prompts)
        room = ask.shape.leaf_max_tokens(len(urls), form.widened)
        return make_body(ask, messages, room) | set_summary.response_format(shaping, schema)

    def judge(self, form: Form, reply: Reply) -> Accepted | AskAgain:
        """What ``reply`` to ``form`` is worth."""
        if form.reading is not None:
            return self._judge_reading(form, form.reading, reply)
        said = entries(reply.text)
        kept, refused = self._kept(form, said)
        missing = tuple(number for number in form.shown if number not in kept)
        turns = (
            ATTEMPTS_MAX if reply.text.strip() else ATTEMPTS_ALONE
        )  # silence is no image's fault
        if missing and form.turn + 1 < turns:
            stuck = reply.finish_reason == "length" or missing == form.shown
            widened = form.widened + stuck
            reason = f"{len(missing)} of {len(form.shown)} images have no usable answer"
            return AskAgain(reason, Form(missing, form.turn + 1, widened, kept, refused))
        done = replace(form, kept=kept, refused=refused)
        if not self.wants_words or not kept:
            return self._usable(done, None, 0)
        if form.turn == 0 and not missing:
            checked = self._checked(said.get(WHOLE), done)
            if not checked.reason:
                return self._usable(done, checked.value, 0)
        return AskAgain("the words about all images are asked for", replace(done, reading=FIRST))

    def _kept(self, form: Form, said: Mapping[str, Any]) -> tuple[dict[int, Any], int]:
        """What is known after a reply, in the order of the images; and citations refused."""
        known = dict(form.kept)
        refused = form.refused
        positions = {n: self.positions[number] for n, number in enumerate(form.shown, start=1)}
        for n, number in enumerate(form.shown, start=1):
            value = self.shaping.parts.known_value(said.get(str(n)), positions, n)
            if value is not None:
                known[number] = value
                refused += _false_citations(said[str(n)], positions)
        return dict(sorted(known.items())), refused

    def _also(self) -> str:
        if not self.shaping.folds:
            return shaped.also_answer(self.shaping.ask or "", self.ask.prompts)
        names = set_summary.text_names(self.shaping.whole_schema() or {})
        return shaped.also_words(names, self.ask.prompts)

    def _checked(self, said: Any, form: Form) -> set_summary.CheckedTexts:
        """The words a first reply carried; its numbers are those of the leaf."""
        numbers = None
        if self.shaping.folds:
            numbers = set_summary.given(self.shaping, self._records(form), [self._lines(form)])
        return set_summary.check_texts(
            said, self.shaping.whole_schema() or TEXT, set(form.kept), numbers, self.positions
        )

    def _reading_body(self, form: Form, variant: Variant) -> Body:
        lines = [self._lines(form)]
        if self.shaping.folds:
            return set_summary.words_body(
                self.ask, self.shaping, lines, self._records(form), variant
            )
        return read_body(self.ask, lines, len(form.kept), True, variant)

    def _judge_reading(self, form: Form, variant: Variant, reply: Reply) -> Accepted | AskAgain:
        known = {self.positions[number] for number in form.kept}
        if self.shaping.folds:
            found = set_summary.judge_words(
                self.shaping, reply, variant, [self._lines(form)], self._placed(form), known
            )
        else:
            found = judge(reply, variant, known, None)
        if isinstance(found, Rejected):
            if len(variant.nudges) + 1 < ATTEMPTS_MAX:
                return AskAgain(found.reason, replace(form, reading=variant.after(found.reason)))
            found = Accepted(self._lines(form), 0)
        return replace(self._usable(form, None, found.refused), text=found.text)

    def _usable(self, form: Form, said: Any, refused: int) -> Accepted:
        answers = {self.positions[number]: value for number, value in form.kept.items()}
        missing = tuple(p for n, p in self.positions.items() if n not in form.kept)
        return Accepted(self._text(form, said), form.refused + refused, answers, missing)

    def _text(self, form: Form, said: Any) -> str:
        if not self.root or (said is None and not self.shaping.folds) or not form.kept:
            return self._lines(form)
        if not self.shaping.folds:
            return str(said)
        return json.dumps(whole_of(self.shaping, self._records(form), said), ensure_ascii=False)

    def _records(self, form: Form) -> list[Any]:
        return list(form.kept.values())

    def _placed(self, form: Form) -> list[tuple[int, Any]]:
        return [(self.positions[number], value) for number, value in form.kept.items()]

    def _lines(self, form: Form) -> str:
        return lines_of(self._placed(form))


def lines_of(answers: Sequence[tuple[int, Any]]) -> str:
    """``[17] answer``, a line an image."""
    return "\n".join(f"[{position}] {line_of(value)}" for position, value in answers)


def _false_citations(value: Any, known: Mapping[int, int]) -> int:
    return sum(
        number not in known
        for text in set_summary.texts_of(value)
        for number in citations.cited_numbers(text)
    )
