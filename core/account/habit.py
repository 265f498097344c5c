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
ANSWER_TOKENS_PER_IMAGE, VALUE_TOKENS = 5, 8
"""What a leaf writes in JSON instead of a line about each image: its number and braces; and for
each value its name, punctuation and a word or number."""
FIRST_SECONDS, TOKEN_SECONDS = 4.0, 0.011
"""Usual duration of a call: until the first token, and for each. Notes on 60 images take 20 s."""
APART = 1.5
"""Calls that write this much more than others show how the duration depends on the length."""
MARGIN = 1.5
"""Room above the longest reply so far; with few replies it is up to twice as much."""
ENOUGH = 8
"""Replies of other jobs needed before their length predicts a job's first one."""


@dataclass(frozen=True, slots=True)
class PastCall:
    """A paid call: its kind, its number of images, its output and its duration. ``values``: short
    values that were asked about each image. ``again``: its node had another call before."""

    kind: NodeKind
    images: int
    completion_tokens: int
    seconds: float
    values: int = 0
    again: bool = False


@dataclass(frozen=True, slots=True)
class Habit:
    """How a model behaves: factors on the usual output tokens; how long a call takes until its
    first token and for each; how long a leaf takes for calls after its first one, on average; and
    how many calls of each kind show it."""

    leaf: float = 1.0
    branch: float = 1.0
    first_seconds: float = FIRST_SECONDS
    token_seconds: float = TOKEN_SECONDS
    again_seconds: float = 0.0
    leaf_calls: int = 0
    branch_calls: int = 0

    @property
    def predicts(self) -> bool:
        """Whether its calls predict a job's first one."""
        return self.leaf_calls + self.branch_calls >= ENOUGH

    def completion_tokens(self, kind: NodeKind, images: int, values: int = 0) -> float:
        """Expected output of one call."""
        factor = self.leaf if kind == NodeKind.LEAF else self.branch
        return usual_tokens(kind, images, values) * factor

    def seconds(self, kind: NodeKind, written: float) -> float:
        """Expected duration of a node whose first call writes ``written`` tokens."""
        again = self.again_seconds if kind == NodeKind.LEAF else 0.0
        return self.first_seconds + self.token_seconds * written + again


def usual_tokens(kind: NodeKind, images: int, values: int = 0) -> float:
    """Usual output tokens of a call. ``values``: short values that a leaf writes about each image;
    0: a line."""
    if kind == NodeKind.LEAF:
        answer = ANSWER_TOKENS_PER_IMAGE + VALUE_TOKENS * values
        return LEAF_TOKENS + (answer if values else LEAF_TOKENS_PER_IMAGE) * images
    return BRANCH_TOKENS + BRANCH_TOKENS_PER_IMAGE * images


def habit_of(past: Sequence[PastCall]) -> Habit:
    """A model's habit by its past calls, with usual values where there are none."""
    leaves = [call for call in past if call.kind == NodeKind.LEAF]
    branches = [call for call in past if call.kind == NodeKind.BRANCH]
    first_seconds, token_seconds = _durations(past)
    again = sum(call.seconds for call in leaves if call.again)
    return Habit(
        leaf=_factor(leaves),
        branch=_factor(branches),
        first_seconds=first_seconds,
        token_seconds=token_seconds,
        again_seconds=again / max(sum(not call.again for call in leaves), 1),
        leaf_calls=len(leaves),
        branch_calls=len(branches),
    )


def _factor(calls: Sequence[PastCall]) -> float:
    usual = sum(_usual(call) for call in calls)
    return sum(call.completion_tokens for call in calls) / usual if usual else 1.0


def _usual(call: PastCall) -> float:
    return usual_tokens(call.kind, call.images, call.values)


def _durations(past: Sequence[PastCall]) -> tuple[float, float]:
    """Seconds until the first token, and for each token: the line through the durations of past
    calls with the least squares, neither part below 0. Calls of about the same length show no
    line: then both parts are longer or shorter than usual by one factor."""
    if not past:
        return FIRST_SECONDS, TOKEN_SECONDS
    tokens = [call.completion_tokens for call in past]
    seconds = [call.seconds for call in past]
    mean, mean_seconds = sum(tokens) / len(past), sum(seconds) / len(past)
    if max(tokens) < APART * max(min(tokens), 1):
        factor = mean_seconds / (FIRST_SECONDS + TOKEN_SECONDS * mean)
        return factor * FIRST_SECONDS, factor * TOKEN_SECONDS
    spread = sum((count - mean) ** 2 for count in tokens)
    both = sum((n - mean) * (s - mean_seconds) for n, s in zip(tokens, seconds, strict=True))
    each = min(max(both / spread, 0.0), mean_seconds / mean)
    return mean_seconds - each * mean, each


def margin(replies: int) -> float:
    """Room for one more reply, in lengths of the longest of ``replies`` earlier ones of its kind:
    3 after one reply or none, 1.5 after many."""
    return MARGIN * (1 + 1 / max(replies, 1))


def enough_tokens(
    replies: Sequence[PastCall], kind: NodeKind, images: int, most: int, values: int = 0
) -> int:
    """Completion tokens, at most ``most``, that are probably enough for a call that asks for
    ``values`` about each image.

    ``replies``: those that predict it; none: nothing is known. A reply of the same kind over more
    images is not scaled down, because reasoning does not shrink with the images. Without a reply of
    the kind, those of the other kind show how far the model is from the usual lengths.
    """
    usual = usual_tokens(kind, images, values)
    alike = [
        call.completion_tokens * max(1.0, usual / _usual(call))
        for call in replies
        if call.kind == kind
    ]
    others = [usual * max(1.0, call.completion_tokens / _usual(call)) for call in replies]
    if not others:
        return most
    return min(most, int(margin(len(alike)) * max(alike or others)) + 1)
