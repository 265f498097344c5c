"""What a job will take, before anything is sent: requests, tokens, money, time.

Prompts are counted from real dimensions by the provider's formula. What a model will write can
only be guessed: from its past calls where there are some, else from what notes usually take.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.catalog.models import Price, cost
from core.catalog.tiers import AccountLimits
from core.catalog.tokens import Detail, image_tokens
from core.images.sizing import pad_plan, plan_resize
from core.requests.per_image import PerImageLeaf
from core.requests.request import Body, RequestContext, images_body, notes_body
from core.states import NodeKind
from core.tree.plan import PlannedNode, plan_tree

BYTES_PER_TOKEN = 4
"""Of plain text: an expectation, where core.catalog.tokens.text_tokens_estimate is a bound."""
LEAF_TOKENS, LEAF_TOKENS_PER_IMAGE = 80, 23
BRANCH_TOKENS, BRANCH_TOKENS_PER_IMAGE = 250, 1.6
"""What is written usually: a line an image; a few groups and a citation an image."""
REQUEST_TOKENS = 250
"""Our own instructions in a request, about."""
FIELD_TOKENS = 8
"""What a value takes more in JSON than in a line of notes: its name and its marks."""
CALL_SECONDS = 20.0
WINDOW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class PastCall:
    """A paid call: what was asked, on how many images, and what came of it."""

    kind: NodeKind
    images: int
    completion_tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Habit:
    """How a model's calls go: factors on what is usual, and the time one takes."""

    leaf: float = 1.0
    branch: float = 1.0
    call_seconds: float = CALL_SECONDS

    def completion_tokens(self, kind: NodeKind, images: int) -> float:
        """What one call will write."""
        return usual_tokens(kind, images) * (self.leaf if kind == NodeKind.LEAF else self.branch)


@dataclass(frozen=True, slots=True)
class Estimate:
    """``binds`` is the limit that decides the time; ``cost_most`` what it costs if every reply
    takes all of its max_tokens."""

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
    """A node that is still to be asked. ``image_tokens``: of a leaf's images; ``note_bytes``: of
    the texts below a branch that are there already, ``open_below``: images whose notes are not."""

    kind: NodeKind
    images: int
    image_tokens: int
    note_bytes: int
    open_below: int


@dataclass(frozen=True, slots=True)
class Ahead:
    """What is still to be asked: requests, images shown in them, tokens and money in all."""

    requests: int
    images: int
    tokens: int
    cost: float
    currency: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """Of one call: asked, usually written, and written at most."""

    prompt: int
    written: float
    written_most: int


def tokens_of_size(width: int, height: int, detail: Detail) -> int:
    """Prompt tokens of an image found at width x height: shrunk, padded and counted as sent."""
    return image_tokens(*pad_plan(*plan_resize(width, height, detail)), detail)


def usual_tokens(kind: NodeKind, images: int) -> float:
    """What a call usually writes."""
    if kind == NodeKind.LEAF:
        return LEAF_TOKENS + LEAF_TOKENS_PER_IMAGE * images
    return BRANCH_TOKENS + BRANCH_TOKENS_PER_IMAGE * images


def habit_of(past: Sequence[PastCall]) -> Habit:
    """What past calls say of the next ones; what they do not say stays usual."""
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
    """The whole job. ``leaves``: the prompt tokens of each image of each leaf that has images."""
    plan = plan_tree(len(leaves), ask.fan_in(len(leaves))) if leaves else []
    asked = [node for node in plan if node.level == 0 or ask.asks_above_leaves]
    calls = [_call(ask, node, leaves, plan, habit) for node in asked]
    prompt = sum(call.prompt for call in calls)
    written = round(sum(call.written for call in calls))
    most = sum(call.written_most for call in calls)
    levels = max((node.level for node in plan), default=0)
    above = levels if ask.asks_above_leaves else 0  # what code composes takes no time worth telling
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


def ahead(nodes: Sequence[OpenNode], words: str, habit: Habit, price: Price) -> Ahead:
    """What a planned job still takes. ``words``: what each of its requests repeats."""
    repeated = REQUEST_TOKENS + len(words.encode()) // BYTES_PER_TOKEN
    prompt = written = 0.0
    for node in nodes:
        unknown = habit.completion_tokens(NodeKind.LEAF, node.open_below) * (node.open_below > 0)
        prompt += repeated + node.image_tokens + node.note_bytes / BYTES_PER_TOKEN + unknown
        written += habit.completion_tokens(node.kind, node.images)
    money = cost(price, round(prompt), 0, round(written))
    images = sum(node.images for node in nodes if node.kind == NodeKind.LEAF)
    return Ahead(len(nodes), images, round(prompt + written), money, price.currency)


def time_at(
    limits: AccountLimits, leaves: int, requests: int, levels: int, tokens: int, habit: Habit
) -> tuple[float, str]:
    """Seconds the calls take at the account's limits, and which limit decides."""
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
    """What a node's call takes."""
    below = leaves[node.first : node.last + 1]
    images = sum(map(len, below))
    whole = node.parent is None
    if node.level == 0:
        written = habit.completion_tokens(NodeKind.LEAF, images)
        body = _leaf_body(ask, images, whole)
        if ask.answer_spec is not None:
            written += images * FIELD_TOKENS * ask.answer_spec.parts.fields
        return Tokens(_text_tokens(body) + sum(below[0]), written, int(body["max_tokens"]))
    notes = sum(
        habit.completion_tokens(
            NodeKind.LEAF if child.level == 0 else NodeKind.BRANCH,
            sum(map(len, leaves[child.first : child.last + 1])),
        )
        for child in _children(plan, node)
    )
    body = notes_body(ask, [], images, whole)
    written = habit.completion_tokens(NodeKind.BRANCH, images)
    return Tokens(_text_tokens(body) + round(notes), written, int(body["max_tokens"]))


def _leaf_body(ask: RequestContext, images: int, whole: bool) -> Body:
    if ask.answer_spec is None:
        return images_body(ask, [""] * images, whole)
    leaf = PerImageLeaf(ask, ask.answer_spec, {n: n for n in range(1, images + 1)}, whole)
    return leaf.body(leaf.first(), [""] * images)


def _children(plan: Sequence[PlannedNode], node: PlannedNode) -> list[PlannedNode]:
    return [child for child in plan if child.parent is not None and plan[child.parent] is node]


def _text_tokens(body: dict[str, object]) -> int:
    total = 0
    messages = body["messages"]
    assert isinstance(messages, list), "a body has messages"
    for message in messages:
        content = message["content"]
        texts = [content] if isinstance(content, str) else [p.get("text", "") for p in content]
        total += sum(-(-len(text.encode()) // BYTES_PER_TOKEN) for text in texts)
    return total


def _factor(calls: Sequence[PastCall]) -> float:
    usual = sum(usual_tokens(call.kind, call.images) for call in calls)
    return sum(call.completion_tokens for call in calls) / usual if usual else 1.0
