"""aggregate: a branch reads the notes of its children; the root answers the question.

Reads: the branch, the texts of its children that are done, the records below where they are
folded. Does: one paid request over text, or none where code composes the answer. Writes: the call,
the branch's summary; the root's text is the job's answer and ends it. May raise ServiceAway (the
branch is asked later).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from celery import shared_task

from core.account.reservations import note_tokens
from core.answers.spec import AnswerSpec, whole_of
from core.catalog.tokens import text_tokens_estimate
from core.reply import Reply
from core.requests.request import (
    FIRST,
    Body,
    RequestContext,
    Sendable,
    Variant,
    asks_above,
    read_body,
)
from core.requests.review import ATTEMPTS_ALONE, ATTEMPTS_MAX, Accepted, AskAgain, Rejected, salvage
from core.requests.set_summary import judge_words, summary_body, words_body
from core.states import NodeKind
from core.tree.packing import Budget, Weight, cut, fits, halves
from models import state
from models.claims import NodeWork
from models.engine import Connection
from models.reads import pipeline
from models.reads.pipeline import Note
from models.state import Moved
from tasks.calls.node_request import NextStep, ask_of, judged
from tasks.calls.run import run
from tasks.runtime.base import StageTask
from tasks.runtime.services import Services

LEVELS_MAX = 16
"""A tree over a million images has 4 levels; a root that is refused however it is divided grows one
more each time."""
NOTES_MAX = 1_000
"""Notes one branch may read, far above any context: the budget's tokens bind first."""
PAIR = 2
"""So few notes are not halved for want of a reply: each by itself would say no more."""
AS_THEY_ARE = "No reply put these notes together; they are given as they are."


@dataclass(frozen=True)
class Reading:
    """The request of one branch. Notes cite positions of the job, and so does the reply."""

    ask: RequestContext
    notes: Sequence[Note]
    known: frozenset[int]
    whole: bool
    remedy: NextStep

    @property
    def forms_max(self) -> int:
        return ATTEMPTS_MAX if len(self.notes) > PAIR else ATTEMPTS_ALONE

    def first(self) -> Variant:
        return FIRST

    def images(self, form: Variant) -> int:
        return 0

    def image_tokens(self, form: Variant) -> int:
        return 0

    def overestimated(self) -> int:
        bounds = [text_tokens_estimate(text) for text in self.texts]
        known = zip(bounds, self.notes, strict=True)
        return sum(bound - note_tokens(bound, note.written) for bound, note in known)

    def judge(self, reply: Reply, form: Variant) -> Accepted | AskAgain:
        return judged(reply, form, self.known, None)

    def salvaged(self, replies: Sequence[Reply]) -> Accepted | None:
        """A pair of notes stands for itself where no reply says anything of it: what is known of
        their images is not lost for a summary's sake. More of them are halved first."""
        found = salvage(replies, self.known, None)
        if found is not None or len(self.notes) > PAIR or len(replies) < self.forms_max:
            return found
        before = [AS_THEY_ARE] if self.whole else []
        return Accepted("\n\n".join([*before, *self.texts]), 0)

    @property
    def texts(self) -> list[str]:
        return [note.text for note in self.notes]

    def body(self, form: Variant) -> Body:
        below = sum(note.images for note in self.notes)
        return read_body(self.ask, self.texts, below, self.whole, form)

    def sendable(self, services: Services, form: Variant) -> Sendable:
        return Sendable(self.body(form))

    def composed(self) -> str:
        """The answers of all images, as they stand in the leaves' texts."""
        return "\n".join(self.texts)


@dataclass(frozen=True)
class Folding(Reading):
    """A branch of a job whose records are folded: code computes, a model adds words at most."""

    records: Sequence[tuple[int, Any]]  # (position, record) of every included image below

    @cached_property
    def shaping(self) -> AnswerSpec:
        assert self.ask.shaping is not None, "only a shaped job folds"
        return self.ask.shaping

    def body(self, form: Variant) -> Body:
        build = words_body if self.whole else summary_body
        return build(self.ask, self.shaping, self.texts, self._values, form)

    def judge(self, reply: Reply, form: Variant) -> Accepted | AskAgain:
        if not self.whole:
            return super().judge(reply, form)
        found = judge_words(self.shaping, reply, form, self.texts, self.records, self.known)
        if isinstance(found, Rejected):
            return AskAgain(found.reason, form.after(found.reason))
        return found

    def salvaged(self, replies: Sequence[Reply]) -> Accepted | None:
        return None if self.whole else super().salvaged(replies)

    def composed(self) -> str:
        if not self.whole:
            return super().composed()
        return json.dumps(whole_of(self.shaping, self._values, None), ensure_ascii=False)

    @property
    def _values(self) -> list[Any]:
        return [value for _, value in self.records]


class Aggregate:
    """The stage."""

    name = "aggregate"
    kind = NodeKind.BRANCH

    def question(self, services: Services, connection: Connection, node: NodeWork) -> Reading:
        ask = ask_of(services, node)
        notes = pipeline.notes(connection, node.id)
        known = pipeline.included_positions(
            connection, node.job_id, node.first_position, node.last_position
        )
        shaping, root = ask.shaping, node.parent_id is None
        remedy = NextStep.SPLIT if smaller_groups(notes, budget(ask)) else NextStep.ASK
        if not asks_above(ask):
            remedy = NextStep.COMPOSE
        if shaping is None or not shaping.folds:
            return Reading(ask, notes, known, root, remedy)
        records = pipeline.answers(connection, node.job_id, node.first_position, node.last_position)
        return Folding(ask, notes, known, root, remedy, records)

    def split(
        self,
        services: Services,
        connection: Connection,
        node: NodeWork,
        token: str,
        halve: bool,
        moved: Moved,
    ) -> bool:
        notes = pipeline.notes(connection, node.id)
        if len(notes) < 2:
            return False
        if halve:
            groups = [[note.node_id for note in half] for half in halves(notes)]
            if node.level >= LEVELS_MAX:  # refused however small: it must end some day
                return False
        else:
            groups = smaller_groups(notes, budget(ask_of(services, node)))
        return state.split_branch(connection, node.id, token, groups, moved)

    def upload_again(
        self,
        services: Services,
        connection: Connection,
        node: NodeWork,
        token: str,
        gone: set[str],
        moved: Moved,
    ) -> None:
        raise AssertionError("a branch refers to no files")


def smaller_groups(notes: Sequence[Note], most: Budget) -> list[list[int]]:
    """Node ids of notes that go below branches of their own, so that the rest fits; empty where all
    fit, or no two do: then they are asked as they are, for sizes are bounds and the provider has
    the last word. A note that is alone in its group stays where it is, so each division leaves
    fewer notes and there is an end to it."""
    if len(notes) < 2 or fits(weights(notes), most):
        return []
    groups = cut([note.node_id for note in notes], weights(notes), most)
    return [group for group in groups if len(group) > 1]


def weights(notes: Sequence[Note]) -> list[Weight]:
    return [Weight(0, text_tokens_estimate(note.text)) for note in notes]


def budget(ask: RequestContext) -> Budget:
    return Budget(NOTES_MAX, 1, ask.shape.branch_tokens)


STAGE = Aggregate()


@shared_task(name="overstory.aggregate", base=StageTask, bind=True)  # type: ignore[untyped-decorator]
def aggregate(self: StageTask, **shown: object) -> str:
    """A message says only that a branch may be due; which one is decided at admission."""
    return run(self.services, STAGE, self.show)
