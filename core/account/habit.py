"""How long a model's replies are and how long its calls take, by its past calls.

Without past calls, the usual length of notes counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.states import NodeKind

LEAF_TOKENS, LEAF_TOKENS_PER_IMAGE = 80, 23
BRANCH_TOKENS, BRANCH_TOKENS_PER_IMAGE = 250, 1.6
"""Usual output: of a leaf a line per image; of a branch a few groups and a citation per image."""
CALL_SECONDS = 20.0
MARGIN = 1.5
"""Room above the longest reply so far; with few replies it is up to twice as much."""
ENOUGH = 8
"""Replies of other jobs needed before their length predicts a job's first one."""


@dataclass(frozen=True, slots=True)
class PastCall:
    """A paid call: its kind, its number of images, its output and its duration."""

    kind: NodeKind
    images: int
    completion_tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Habit:
    """How a model behaves: factors on the usual output tokens, the duration of a call, and how many
    calls of each kind show it."""

    leaf: float = 1.0
    branch: float = 1.0
    call_seconds: float = CALL_SECONDS
    leaf_calls: int = 0
    branch_calls: int = 0

    @property
    def predicts(self) -> bool:
        """Whether its calls predict a job's first one."""
        return self.leaf_calls + self.branch_calls >= ENOUGH

    def completion_tokens(self, kind: NodeKind, images: int) -> float:
        """Expected output of one call."""
        return usual_tokens(kind, images) * (self.leaf if kind == NodeKind.LEAF else self.branch)


def usual_tokens(kind: NodeKind, images: int) -> float:
    """Usual output tokens of a call."""
    if kind == NodeKind.LEAF:
        return LEAF_TOKENS + LEAF_TOKENS_PER_IMAGE * images
    return BRANCH_TOKENS + BRANCH_TOKENS_PER_IMAGE * images


def habit_of(past: Sequence[PastCall]) -> Habit:
    """A model's habit by its past calls, with usual values where there are none."""
    seconds = [call.seconds for call in past]
    leaves = [call for call in past if call.kind == NodeKind.LEAF]
    branches = [call for call in past if call.kind == NodeKind.BRANCH]
    return Habit(
        leaf=_factor(leaves),
        branch=_factor(branches),
        call_seconds=sum(seconds) / len(seconds) if seconds else CALL_SECONDS,
        leaf_calls=len(leaves),
        branch_calls=len(branches),
    )


def _factor(calls: Sequence[PastCall]) -> float:
    usual = sum(usual_tokens(call.kind, call.images) for call in calls)
    return sum(call.completion_tokens for call in calls) / usual if usual else 1.0


def margin(replies: int) -> float:
    """Room for one more reply, in lengths of the longest of ``replies`` earlier ones of its kind:
    3 after one reply or none, 1.5 after many."""
    return MARGIN * (1 + 1 / max(replies, 1))


def enough_tokens(replies: Sequence[PastCall], kind: NodeKind, images: int, most: int) -> int:
    """Completion tokens, at most ``most``, that are probably enough for a call.

    ``replies``: those that predict it; none: nothing is known. A reply of the same kind over more
    images is not scaled down, because reasoning does not shrink with the images. Without a reply of
    the kind, those of the other kind show how far the model is from the usual lengths.
    """
    usual = usual_tokens(kind, images)
    alike = [
        call.completion_tokens * max(1.0, usual / usual_tokens(call.kind, call.images))
        for call in replies
        if call.kind == kind
    ]
    others = [
        usual * max(1.0, call.completion_tokens / usual_tokens(call.kind, call.images))
        for call in replies
    ]
    if not others:
        return most
    return min(most, int(margin(len(alike)) * max(alike or others)) + 1)
