"""aggregate: a branch reads the notes of its children; the root answers the question.

Reads: the children's texts. Does: one paid request over notes, or none where code composes the
text. Writes: the call, the branch's text. May raise ServiceAway (the branch is asked later).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from celery import shared_task

from core import stages
from core.account.reservations import note_tokens
from core.answers.spec import AnswerSpec, whole_of
from core.answers.units import answer_block
from core.catalog.tokens import text_tokens_estimate
from core.reply import Reply
from core.requests.leaf import in_order
from core.requests.request import FIRST, Attempt, Body, RequestContext, notes_body
from core.requests.review import (
    ATTEMPTS_ALONE,
    ATTEMPTS_MAX,
    Accepted,
    AskAgain,
    Rejected,
    review_text,
    salvage,
)
from core.requests.set_summary import review_texts, summary_body, texts_body
from core.requests.unit_leaf import of_part, over_units
from core.states import NodeKind
from core.text.runs import Runs
from core.tree.packing import Budget, Weight, cut, fits, halves
from models import state
from models.claims import NodeWork
from models.engine import Connection
from models.reads import pipeline, units
from models.reads.pipeline import Note
from models.state import Moved
from tasks.calls.node_request import Ask, Compose, NextStep, NodeRequest, Rearrange, context_of
from tasks.calls.run import run
from tasks.runtime.base import StageTask
from tasks.runtime.services import Services

LEVELS_MAX = 16
"""A tree over a million images has 4 levels; a root that is refused however it is divided grows by
one level each time."""
NOTES_MAX = 1_000
"""Notes that one branch may read, far above any context: the budget's tokens bind first."""
PAIR = 2
"""Two notes are not halved because no reply came: each by itself would say no more."""
AS_THEY_ARE = "No reply put these notes together; they are given as they are."


@dataclass(frozen=True)
class BranchRequest(NodeRequest[Attempt]):
    """The request of one branch. Notes cite positions of the job, and so does the reply."""

    context: RequestContext
    notes: Sequence[Note]
    known: Runs  # positions that it may cite
    is_root: bool

    def shared(self) -> RequestContext:
        return self.context

    @property
    def attempts_max(self) -> int:
        return ATTEMPTS_MAX if len(self.notes) > PAIR else ATTEMPTS_ALONE

    @property
    def texts(self) -> list[str]:
        return [note.text for note in self.notes]

    def first(self) -> Attempt:
        return FIRST

    def body(self, attempt: Attempt) -> Body:
        below = sum(note.images for note in self.notes)
        return notes_body(self.context, self.texts, below, self.is_root, attempt)

    def review(self, reply: Reply, attempt: Attempt) -> Accepted | AskAgain[Attempt]:
        return review_text(reply, attempt, self.known, None)

    def salvage(self, replies: Sequence[Reply]) -> Accepted | None:
        """A pair of notes stands for itself if no reply put it together, so that what is known of
        their images is not lost. More notes are halved first."""
        best = salvage(replies, self.known, None)
        if best is not None or len(self.notes) > PAIR or len(replies) < self.attempts_max:
            return best
        return self._as_they_are(AS_THEY_ARE)

    def without_reply(self, why: str) -> Accepted | None:
        return self._as_they_are(f"{AS_THEY_ARE} No reply had a text: {why}.")

    def _as_they_are(self, first: str) -> Accepted:
        before = [first] if self.is_root else []
        return Accepted("\n\n".join([*before, *self.texts]), 0)

    def overestimated(self) -> int:
        bounds = [text_tokens_estimate(text) for text in self.texts]
        return sum(
            bound - note_tokens(bound, note.written)
            for bound, note in zip(bounds, self.notes, strict=True)
        )


@dataclass(frozen=True)
class MergeRequest(BranchRequest):
    """A branch of a job whose records are merged: code computes, a model adds texts at most."""

    records: Sequence[tuple[int, Any]]  # (position, record) of every included image below

    @cached_property
    def spec(self) -> AnswerSpec:
        assert self.context.answer_spec is not None, "only a job with an answer spec merges records"
        return self.context.answer_spec

    @property
    def values(self) -> list[Any]:
        return [value for _, value in self.records]

    def body(self, attempt: Attempt) -> Body:
        build = texts_body if self.is_root else summary_body
        return build(self.context, self.spec, self.texts, self.values, attempt)

    def review(self, reply: Reply, attempt: Attempt) -> Accepted | AskAgain[Attempt]:
        if not self.is_root:
            return super().review(reply, attempt)
        result = review_texts(self.spec, reply, attempt, self.texts, self.records, self.known)
        if isinstance(result, Rejected):
            return AskAgain(result.reason, attempt.after(result.reason))
        return result

    def salvage(self, replies: Sequence[Reply]) -> Accepted | None:
        return None if self.is_root else super().salvage(replies)

    def without_reply(self, why: str) -> Accepted | None:
        return None if self.is_root else super().without_reply(why)


class Aggregate:
    """The stage."""

    stage = stages.AGGREGATE
    kind = NodeKind.BRANCH

    def next_step(self, services: Services, connection: Connection, node: NodeWork) -> NextStep:
        context = context_of(services, connection, node)
        notes = pipeline.notes(connection, node.id)
        is_root = node.parent_id is None
        if node.unit is not None:  # it answers for its unit as a root does for its set
            context = of_part(context)
            is_root = not units.is_of_unit(connection, node.parent_id)
        elif node.options.by:
            if not context.asks_above_leaves:
                return Compose(_of_units(connection, node, notes, is_root))
            context = over_units(context)
        if not context.asks_above_leaves:
            return Compose(_composed(connection, context.answer_spec, node, notes, is_root))
        if smaller_groups(notes, budget(context)):
            return Rearrange(partial(self._divide, node, budget(context)))
        known = pipeline.included_positions(connection, node.id)
        if context.answer_spec is None or not context.answer_spec.folds:
            return Ask(BranchRequest(context, notes, known, is_root))
        records = pipeline.answers(connection, node.id)
        return Ask(MergeRequest(context, notes, known, is_root, records))

    def halve(
        self,
        services: Services,
        connection: Connection,
        node: NodeWork,
        token: str,
        moved: Moved,
    ) -> bool:
        notes = pipeline.notes(connection, node.id)
        if len(notes) < 2 or node.level >= LEVELS_MAX:  # refused however small: it must end
            return False
        groups = [[note.node_id for note in half] for half in halves(notes)]
        return state.split_branch(connection, node.id, token, groups, moved)

    def _divide(
        self, node: NodeWork, most: Budget, connection: Connection, token: str, moved: Moved
    ) -> None:
        """Put notes that do not fit one request below branches of their own."""
        groups = smaller_groups(pipeline.notes(connection, node.id), most)
        state.split_branch(connection, node.id, token, groups, moved)


def _composed(
    connection: Connection,
    spec: AnswerSpec | None,
    node: NodeWork,
    notes: Sequence[Note],
    is_root: bool,
) -> str:
    """The text of a branch that needs no model: the leaves' answers, or the merged object."""
    if spec is None or not spec.folds or not is_root:
        return in_order([note.text for note in notes])
    records = pipeline.answers(connection, node.id)
    return json.dumps(whole_of(spec, [value for _, value in records], None), ensure_ascii=False)


def _of_units(connection: Connection, node: NodeWork, notes: Sequence[Note], is_root: bool) -> str:
    """The answers about units; the root's text has those of units that were not asked about too,
    because their images are the same as those of others."""
    if not is_root:
        return "\n\n".join(note.text for note in notes)
    answered = units.answered_units(connection, node.job_id)
    return "\n\n".join(answer_block((u.name,), (u.first, u.last), u.answer) for u in answered)


def smaller_groups(notes: Sequence[Note], most: Budget) -> list[list[int]]:
    """Node ids of notes that go below branches of their own, so that the rest fits.

    Empty if all fit, or if no two do: then they are asked as they are, because sizes are bounds and
    the provider has the last word. A note that is alone in its group stays where it is, so each
    division leaves fewer notes and the dividing ends.
    """
    if len(notes) < 2 or fits(weights(notes), most):
        return []
    groups = cut([note.node_id for note in notes], weights(notes), most)
    return [group for group in groups if len(group) > 1]


def weights(notes: Sequence[Note]) -> list[Weight]:
    return [Weight(0, text_tokens_estimate(note.text)) for note in notes]


def budget(context: RequestContext) -> Budget:
    """What one branch may read: notes and their tokens."""
    return Budget(NOTES_MAX, 1, context.capacity.branch_tokens)


STAGE = Aggregate()


@shared_task(name=stages.AGGREGATE.task, base=StageTask, bind=True)  # type: ignore[untyped-decorator]
def aggregate(self: StageTask, **shown: object) -> str:
    """A message only says that a branch may be due; which one is decided at admission."""
    return run(self.services, STAGE, self.show)
