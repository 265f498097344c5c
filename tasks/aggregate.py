"""aggregate: a branch reads the notes of its children; the root answers the question.

Reads: the branch, the texts of its children that are done. Does: one paid request over text.
Writes: the call, the branch's summary; the root's text is the job's answer and ends it. May raise
ServiceAway (the branch is asked later).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from celery import shared_task

from core.packing import Budget, Weight, balanced, fits, pack
from core.request import Ask, Body, Variant, read_body
from core.states import NodeKind
from core.tokens import text_tokens_estimate
from models import queries, state
from models.claims import NodeWork
from models.engine import Connection
from models.queries import Note
from models.state import Moved
from tasks import asking
from tasks.base import StageTask
from tasks.question import Remedy, ask_of
from tasks.services import Services

NOTES_MAX = 1_000
"""Notes one branch may read, far above any context: the budget's tokens bind first."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The request of one branch. Notes cite positions of the job, and so does the reply."""

    ask: Ask
    notes: Sequence[Note]
    known: frozenset[int]
    whole: bool
    remedy: Remedy

    @property
    def images(self) -> int:
        return sum(note.images for note in self.notes)

    @property
    def image_tokens(self) -> int:
        return 0

    @property
    def positions(self) -> None:
        return None

    def body(self, variant: Variant) -> Body:
        return read_body(
            self.ask, [note.text for note in self.notes], self.images, self.whole, variant
        )

    def sendable(self, services: Services, variant: Variant) -> Body:
        return self.body(variant)


class Aggregate:
    """The stage."""

    name = "aggregate"
    kind = NodeKind.BRANCH

    def question(self, services: Services, connection: Connection, node: NodeWork) -> Reading:
        ask = ask_of(services, node)
        notes = queries.notes(connection, node.id)
        known = queries.included_positions(
            connection, node.job_id, node.first_position, node.last_position
        )
        over = len(notes) > 1 and not fits(weights(notes), budget(ask))
        remedy = Remedy.SPLIT if over else Remedy.ASK
        return Reading(ask, notes, known, node.parent_id is None, remedy)

    def split(
        self,
        services: Services,
        connection: Connection,
        node: NodeWork,
        token: str,
        halve: bool,
        moved: Moved,
    ) -> bool:
        notes = queries.notes(connection, node.id)
        if len(notes) < 2:
            return False
        if halve:
            sizes = balanced(len(notes), 2)
        else:
            sizes = pack(weights(notes), budget(ask_of(services, node)))
        groups, start = [], 0
        for size in sizes:
            groups.append([note.node_id for note in notes[start : start + size]])
            start += size
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


def weights(notes: Sequence[Note]) -> list[Weight]:
    return [Weight(0, text_tokens_estimate(note.text)) for note in notes]


def budget(ask: Ask) -> Budget:
    return Budget(NOTES_MAX, 1, ask.shape.branch_tokens)


STAGE = Aggregate()


@shared_task(name="overstory.aggregate", base=StageTask, bind=True)  # type: ignore[untyped-decorator]
def aggregate(self: StageTask, **shown: object) -> str:
    """A message says only that a branch may be due; which one is decided at admission."""
    return asking.run(self.services, STAGE, self.show)
