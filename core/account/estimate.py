"""Estimates a job before anything is sent: requests, tokens, money, time.

Prompt tokens are computed from real dimensions by the provider's formula. Output tokens can only be
estimated: from past calls of the model if there are any, else from the usual length of notes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.catalog.models import Price, cost
from core.catalog.tiers import AccountLimits
from core.catalog.tokens import LOW_TOKENS, Detail, image_tokens
from core.images.sizing import pad_plan, plan_resize
from core.requests.leaves import leaf_of
from core.requests.request import Body, RequestContext, notes_body
from core.states import NodeKind
from core.tree.plan import PlannedNode, plan_tree

BYTES_PER_TOKEN = 4
"""Expected for plain text; core.catalog.tokens.text_tokens_estimate is an upper bound instead."""
LEAF_TOKENS, LEAF_TOKENS_PER_IMAGE = 80, 23
BRANCH_TOKENS, BRANCH_TOKENS_PER_IMAGE = 250, 1.6
"""Usual output: of a leaf a line per image; of a branch a few groups and a citation per image."""
ANSWER_TOKENS, ANSWER_TOKENS_PER_IMAGE = 60, BRANCH_TOKENS_PER_IMAGE
"""Usual output of an answer below the lines about each image, in the same reply."""
REQUEST_TOKENS = 250
"""Our instructions in a request, approximately."""
TYPICAL_LABEL_TOKENS = 3
"""The number before an image."""
FIELD_TOKENS = 8
"""What a value takes in JSON beyond its tokens in a note: its name and punctuation."""
CALL_SECONDS = 20.0
WINDOW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class PastCall:
    """A paid call: its kind, its number of images, its output and its duration."""

    kind: NodeKind
    images: int
    completion_tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Habit:
    """How a model behaves: factors on the usual output tokens, and the duration of a call."""

    leaf: float = 1.0
    branch: float = 1.0
    call_seconds: float = CALL_SECONDS

    def completion_tokens(self, kind: NodeKind, images: int) -> float:
        """Expected output of one call."""
        return usual_tokens(kind, images) * (self.leaf if kind == NodeKind.LEAF else self.branch)


@dataclass(frozen=True, slots=True)
class Estimate:
    """``binds``: the limit that decides the time. ``cost_most``: the cost if every reply takes all
    of its max_tokens."""

    requests: int
    leaves: int
    nodes: int
    depth: int
    prompt_tokens: int
    completion_tokens: int
    cost: float
    cost_most: float
    currency: str
    seconds: float
    binds: str


@dataclass(frozen=True, slots=True)
class OpenNode:
    """A node that is not called yet. ``image_tokens``: of a leaf's images. ``note_bytes``: of the
    existing notes below a branch; ``open_below``: images below it without notes yet."""

    kind: NodeKind
    images: int
    image_tokens: int
    note_bytes: int
    open_below: int


@dataclass(frozen=True, slots=True)
class Ahead:
    """What is left of a job: requests, images in them, and their tokens and money in total."""

    requests: int
    images: int
    tokens: int
    cost: float
    currency: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of one call: prompt, expected output, and output at most."""

    prompt: int
    written: float
    written_most: int


def tokens_of_size(width: int, height: int, detail: Detail) -> int:
    """Prompt tokens of an original of width x height, after resizing and padding."""
    return image_tokens(*pad_plan(*plan_resize(width, height, detail)), detail)


def usual_tokens(kind: NodeKind, images: int) -> float:
    """Usual output tokens of a call."""
    if kind == NodeKind.LEAF:
        return LEAF_TOKENS + LEAF_TOKENS_PER_IMAGE * images
    return BRANCH_TOKENS + BRANCH_TOKENS_PER_IMAGE * images


def habit_of(past: Sequence[PastCall]) -> Habit:
    """A model's habit by its past calls, with usual values where there are none."""
    seconds = [call.seconds for call in past]
    return Habit(
        leaf=_factor([call for call in past if call.kind == NodeKind.LEAF]),
        branch=_factor([call for call in past if call.kind == NodeKind.BRANCH]),
        call_seconds=sum(seconds) / len(seconds) if seconds else CALL_SECONDS,
    )


def estimate(
    ask: RequestContext,
    leaves: Sequence[Sequence[int]],
    habit: Habit,
    price: Price,
    limits: AccountLimits,
) -> Estimate:
    """Estimate a job. ``leaves``: per leaf that has images, the prompt tokens of each image."""
    plan = plan_tree(len(leaves), ask.fan_in(len(leaves))) if leaves else []
    asked = [node for node in plan if node.level == 0 or ask.asks_above_leaves]
    calls = [_call(ask, node, leaves, plan, habit) for node in asked]
    prompt = sum(call.prompt for call in calls)
    written = round(sum(call.written for call in calls))
    most = sum(call.written_most for call in calls)
    levels = max((node.level for node in plan), default=0)
    above = levels if ask.asks_above_leaves else 0  # composing in code takes almost no time
    seconds, binds = time_at(limits, len(leaves), len(calls), above, prompt + written, habit)
    return Estimate(
        requests=len(calls),
        leaves=len(leaves),
        nodes=len(plan),
        depth=levels + 1 if plan else 0,
        prompt_tokens=prompt,
        completion_tokens=written,
        cost=cost(price, prompt, 0, written),
        cost_most=cost(price, prompt, 0, most),
        currency=price.currency,
        seconds=seconds,
        binds=binds,
    )


def ahead(nodes: Sequence[OpenNode], repeated: str, habit: Habit, price: Price) -> Ahead:
    """What a planned job still takes. ``repeated``: the text that each of its requests repeats."""
    instructions = REQUEST_TOKENS + len(repeated.encode()) // BYTES_PER_TOKEN
    prompt = written = 0.0
    for node in nodes:
        notes = node.note_bytes / BYTES_PER_TOKEN
        if node.open_below:
            notes += habit.completion_tokens(NodeKind.LEAF, node.open_below)
        labels = TYPICAL_LABEL_TOKENS * node.images if node.kind == NodeKind.LEAF else 0
        prompt += instructions + node.image_tokens + labels + notes
        written += habit.completion_tokens(node.kind, node.images)
    money = cost(price, round(prompt), 0, round(written))
    images = sum(node.images for node in nodes if node.kind == NodeKind.LEAF)
    return Ahead(len(nodes), images, round(prompt + written), money, price.currency)


def time_at(
    limits: AccountLimits, leaves: int, requests: int, levels: int, tokens: int, habit: Habit
) -> tuple[float, str]:
    """Seconds that the calls take at the account's limits, and the limit that decides."""
    waits = {
        "concurrency": -(-leaves // limits.concurrency) * habit.call_seconds,
        "rpm": max(requests - 1, 0) // limits.rpm * WINDOW_SECONDS,
        "tpm": max(tokens - 1, 0) // limits.tpm * WINDOW_SECONDS,
    }
    binds = max(waits, key=lambda name: waits[name])
    last = habit.call_seconds if binds != "concurrency" else 0.0
    return waits[binds] + last + levels * habit.call_seconds, binds


def _call(
    ask: RequestContext,
    node: PlannedNode,
    leaves: Sequence[Sequence[int]],
    plan: Sequence[PlannedNode],
    habit: Habit,
) -> Tokens:
    """The tokens of a node's call."""
    below = leaves[node.first : node.last + 1]
    images = sum(map(len, below))
    is_root = node.parent is None
    if node.level == 0:
        written = habit.completion_tokens(NodeKind.LEAF, images)
        body = _leaf_body(ask, images, is_root)
        if ask.answer_spec is not None:
            written += images * FIELD_TOKENS * ask.answer_spec.parts.fields
        elif is_root and images > 1 and not ask.bare:
            written += ANSWER_TOKENS + ANSWER_TOKENS_PER_IMAGE * images
        pictures = sum(below[0]) + ask.canaries * LOW_TOKENS
        return Tokens(_text_tokens(body) + pictures, written, int(body["max_tokens"]))
    notes = sum(
        habit.completion_tokens(
            NodeKind.LEAF if child.level == 0 else NodeKind.BRANCH,
            sum(map(len, leaves[child.first : child.last + 1])),
        )
        for child in _children(plan, node)
    )
    body = notes_body(ask, [], images, is_root)
    written = habit.completion_tokens(NodeKind.BRANCH, images)
    return Tokens(_text_tokens(body) + round(notes), written, int(body["max_tokens"]))


def _leaf_body(ask: RequestContext, images: int, is_root: bool) -> Body:
    numbers = range(1, images + 1)
    leaf = leaf_of(ask, {n: n for n in numbers}, dict.fromkeys(numbers, ""), is_root)
    return leaf.body(leaf.first(), [""] * (images + ask.canaries))


def _children(plan: Sequence[PlannedNode], node: PlannedNode) -> list[PlannedNode]:
    return [child for child in plan if child.parent is not None and plan[child.parent] is node]


def _text_tokens(body: Body) -> int:
    total = 0
    for message in body["messages"]:
        content = message["content"]
        texts = [content] if isinstance(content, str) else [p.get("text", "") for p in content]
        total += sum(-(-len(text.encode()) // BYTES_PER_TOKEN) for text in texts)
    return total


def _factor(calls: Sequence[PastCall]) -> float:
    usual = sum(usual_tokens(call.kind, call.images) for call in calls)
    return sum(call.completion_tokens for call in calls) / usual if usual else 1.0
