"""Estimates a job before anything is sent: requests, tokens, money, time.

Prompt tokens are computed from real dimensions by the provider's formula. Output tokens can only be
estimated: from past calls of the model if there are any, else from the usual length of notes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.account.budget import NextCall, enough, most_cost
from core.account.habit import (
    BRANCH_TOKENS_PER_IMAGE,
    Habit,
    PastCall,
    enough_tokens,
    habit_of,
    margin,
)
from core.account.pace import NOTHING_TO_DO, Ready
from core.catalog.models import Price, cost
from core.catalog.tiers import AccountLimits
from core.requests.canary import SIDE
from core.requests.leaves import leaf_of
from core.requests.prompt_parts import parts_of
from core.requests.request import Body, RequestContext, notes_body, prompt_text
from core.states import NodeKind
from core.tree.plan import PlannedNode, plan_tree

BYTES_PER_TOKEN = 4
"""Expected for plain text; core.catalog.tokens.text_tokens_estimate is an upper bound instead."""
BOUND = 2
"""How much higher the upper bound on a text's tokens is than what is expected."""
ANSWER_TOKENS, ANSWER_TOKENS_PER_IMAGE = 60, BRANCH_TOKENS_PER_IMAGE
"""Usual output of an answer below the lines about each image, in the same reply."""
REQUEST_TOKENS = 250
"""Our instructions in a request, approximately."""
TYPICAL_LABEL_TOKENS = 3
"""The number before an image."""
TYPICAL_FACT_TOKENS = 12
"""A fact beside an image: its name and a short value."""
WINDOW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """``binds``: the limit that decides the time. ``cost_most``: the cost if every reply takes all
    of its max_tokens. ``calls``: in the order in which they are sent, with what a budget must have
    left for each; ``budget``: the smallest one that lets all of them be sent."""

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
    calls: tuple[NextCall, ...] = ()
    budget: float = 0.0


@dataclass(frozen=True, slots=True)
class OpenNode:
    """A node that is not called yet. ``image_tokens``: of a leaf's images. ``note_bytes``: of the
    existing notes below a branch; ``open_below``: images below it without notes yet. ``look``: 2
    for a leaf that looks at its images again."""

    kind: NodeKind
    images: int
    image_tokens: int
    note_bytes: int
    open_below: int
    look: int = 1


@dataclass(frozen=True, slots=True)
class Ahead:
    """What is left of a job: requests, images in them, and their tokens and money in total.
    ``cost_most``: if every reply takes all of its max_tokens."""

    requests: int
    images: int
    prompt_tokens: int
    completion_tokens: int
    cost: float
    cost_most: float
    currency: str

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def and_again(self, other: Ahead) -> Ahead:
        """These and ``other`` requests, which look again at some of the same images."""
        return replace(
            self,
            requests=self.requests + other.requests,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            cost=self.cost + other.cost,
            cost_most=self.cost_most + other.cost_most,
        )


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of one call over ``images``: prompt as expected and by its upper bound, expected
    output, and output at most."""

    kind: NodeKind
    images: int
    prompt: int
    prompt_most: int
    written: float
    written_most: int


def estimate(
    ask: RequestContext,
    leaves: Sequence[Sequence[int]],
    habit: Habit,
    price: Price,
    limits: AccountLimits,
    ready: Ready = NOTHING_TO_DO,
) -> Estimate:
    """Estimate a job. ``leaves``: per leaf that has images, the prompt tokens of each image.
    ``ready``: how long preparing and uploading these images takes."""
    plan = plan_tree(len(leaves), ask.fan_in(len(leaves))) if leaves else []
    asked = [node for node in plan if node.level == 0 or ask.asks_above_leaves]
    calls = [_call(ask, node, leaves, plan, habit) for node in asked]
    prompt = sum(call.prompt for call in calls)
    written = round(sum(call.written for call in calls))
    most = sum(call.written_most for call in calls)
    levels = max((node.level for node in plan), default=0)
    above = levels if ask.asks_above_leaves else 0  # composing in code takes almost no time
    each, last = _durations(asked, calls, above, habit)
    asking, binds = time_at(limits, len(leaves), len(calls), prompt + written, each, last)
    seconds, binds = _with_images(ready, len(leaves), asking, binds, each + last)
    next_calls = _next_calls(calls, habit, price)
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
        calls=next_calls,
        budget=enough(0.0, next_calls),
    )


def _durations(
    nodes: Sequence[PlannedNode], calls: Sequence[Tokens], above: int, habit: Habit
) -> tuple[float, float]:
    """Seconds of a leaf on average, and of the levels ``above``, each as long as its longest."""
    seconds = [habit.seconds(call.kind, call.written) for call in calls]
    levels = [
        [took for node, took in zip(nodes, seconds, strict=True) if node.level == level]
        for level in range(above + 1)
    ]
    leaf = sum(levels[0]) / max(len(levels[0]), 1)
    return leaf, sum(max(level, default=0.0) for level in levels[1:])


def _with_images(
    ready: Ready, leaves: int, asking: float, binds: str, last: float
) -> tuple[float, str]:
    """Seconds of a job whose calls take ``asking`` seconds, and what decides. A leaf is asked when
    its images are there, while others are still prepared; so either the calls decide, or the images
    and the ``last`` seconds: of one leaf and of the calls above."""
    by_calls = ready.start + ready.seconds(1 / max(leaves, 1)) + asking
    by_images = ready.start + ready.seconds() + last
    if by_images <= by_calls:
        return by_calls, binds
    return by_images, "prepare" if ready.prepare >= ready.upload else "upload"


def _next_calls(calls: Sequence[Tokens], habit: Habit, price: Price) -> tuple[NextCall, ...]:
    """What a budget must have left for each call: as much as is held back when its turn comes, by
    the replies that are known then (tasks.calls.budget)."""
    known = Counter[NodeKind]()
    if habit.predicts:
        known.update({NodeKind.LEAF: habit.leaf_calls, NodeKind.BRANCH: habit.branch_calls})
    result = []
    for call in calls:
        written = call.written_most
        if known.total():
            written = min(written, round(margin(known[call.kind]) * call.written))
        result.append(_next_call(call, written, price))
        known[call.kind] += 1
    return tuple(result)


def _next_call(call: Tokens, written_most: int, price: Price) -> NextCall:
    shown = call.images if call.kind == NodeKind.LEAF else 0
    likely = cost(price, call.prompt, 0, round(call.written))
    return NextCall(shown, likely, most_cost(price, call.prompt_most, written_most))


def ahead(nodes: Sequence[OpenNode], ask: RequestContext, habit: Habit, price: Price) -> Ahead:
    """What a planned job still takes: the requests of ``ask`` over its open ``nodes``."""
    asked = _asked(ask, nodes)
    calls = [_open_call(ask, node, habit) for node in asked]
    prompt = sum(call.prompt for call in calls)
    written = round(sum(call.written for call in calls))
    most = sum(call.written_most for call in calls)
    return Ahead(
        requests=len(calls),
        images=sum(node.images for node in asked if node.kind == NodeKind.LEAF),
        prompt_tokens=prompt,
        completion_tokens=written,
        cost=cost(price, prompt, 0, written),
        cost_most=cost(price, prompt, 0, most),
        currency=price.currency,
    )


def calls_ahead(
    nodes: Sequence[OpenNode], ask: RequestContext, replies: Sequence[PastCall], price: Price
) -> tuple[NextCall, ...]:
    """The calls that a job still has to make, with what a budget must have left for each.
    ``replies``: those that predict its next ones; none: nothing is known yet."""
    habit = habit_of(replies)
    calls = [_open_call(ask, node, habit) for node in _asked(ask, nodes)]
    if not replies:
        return _next_calls(calls, habit, price)
    return tuple(
        _next_call(
            call,
            enough_tokens(replies, call.kind, call.images, call.written_most, _values(ask)),
            price,
        )
        for call in calls
    )


def _asked(ask: RequestContext, nodes: Sequence[OpenNode]) -> list[OpenNode]:
    """The nodes for which a model is asked."""
    return [node for node in nodes if node.kind == NodeKind.LEAF or ask.asks_above_leaves]


def _open_call(ask: RequestContext, node: OpenNode, habit: Habit) -> Tokens:
    """The tokens of an open node's call."""
    written = habit.completion_tokens(node.kind, node.images, _values(ask))
    text = REQUEST_TOKENS + len(ask.repeated.encode()) // BYTES_PER_TOKEN
    if node.kind == NodeKind.LEAF:
        text += (TYPICAL_LABEL_TOKENS + TYPICAL_FACT_TOKENS * len(ask.facts)) * node.images
        most = ask.capacity.leaf_max_tokens(node.images)
    else:
        most = ask.capacity.branch_max_tokens()
    notes = node.note_bytes / BYTES_PER_TOKEN
    if node.open_below:
        notes += habit.completion_tokens(NodeKind.LEAF, node.open_below, _values(ask))
    text += round(notes)
    prompt_most = BOUND * text + round(ask.image_room * node.image_tokens)
    return Tokens(node.kind, node.images, text + node.image_tokens, prompt_most, written, most)


def time_at(
    limits: AccountLimits,
    leaves: int,
    requests: int,
    tokens: int,
    each: float,
    above: float = 0.0,
) -> tuple[float, str]:
    """Seconds that the calls take at the account's limits, and the limit that decides. ``each``:
    seconds of a leaf; ``above``: of the calls above all leaves, one after the other."""
    waits = {
        "concurrency": -(-leaves // limits.concurrency) * each,
        "rpm": max(requests - 1, 0) // limits.rpm * WINDOW_SECONDS,
        "tpm": max(tokens - 1, 0) // limits.tpm * WINDOW_SECONDS,
    }
    binds = max(waits, key=lambda name: waits[name])
    last = each if binds != "concurrency" else 0.0
    return waits[binds] + last + above, binds


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
        written = habit.completion_tokens(NodeKind.LEAF, images, _values(ask))
        body = _leaf_body(ask, images, is_root)
        if ask.answer_spec is None and is_root and images > 1 and not ask.bare:
            written += ANSWER_TOKENS + ANSWER_TOKENS_PER_IMAGE * images
        pictures = sum(below[0]) + ask.canaries * ask.image_tokens.of(SIDE, SIDE, ask.detail)
        text = _text_tokens(ask, body)
        return Tokens(
            NodeKind.LEAF,
            images,
            text + pictures,
            BOUND * text + round(ask.image_room * pictures),
            written,
            int(body["max_tokens"]),
        )
    notes = sum(
        habit.completion_tokens(
            NodeKind.LEAF if child.level == 0 else NodeKind.BRANCH,
            sum(map(len, leaves[child.first : child.last + 1])),
            _values(ask),
        )
        for child in _children(plan, node)
    )
    body = notes_body(ask, [], images, is_root)
    written = habit.completion_tokens(NodeKind.BRANCH, images)
    prompt = _text_tokens(ask, body) + round(notes)
    most = int(body["max_tokens"])
    return Tokens(NodeKind.BRANCH, images, prompt, BOUND * prompt, written, most)


def _values(ask: RequestContext) -> int:
    """Short values that are asked about each image; 0 for plain text."""
    return 0 if ask.answer_spec is None else ask.answer_spec.parts.values


def _leaf_body(ask: RequestContext, images: int, is_root: bool) -> Body:
    numbers = range(1, images + 1)
    leaf = leaf_of(ask, {n: n for n in numbers}, dict.fromkeys(numbers, ""), is_root)
    return leaf.body(leaf.first(), [""] * (images + ask.canaries))


def _children(plan: Sequence[PlannedNode], node: PlannedNode) -> list[PlannedNode]:
    return [child for child in plan if child.parent is not None and plan[child.parent] is node]


def _text_tokens(ask: RequestContext, body: Body) -> int:
    """Tokens of a body's text: as measured, or as usual."""
    parts = parts_of(prompt_text(body), (), ask.detail)
    measured = ask.image_tokens.text(parts.ascii, parts.other) if parts else None
    if measured is not None:
        return round(measured)
    total = 0
    for message in body["messages"]:
        content = message["content"]
        texts = [content] if isinstance(content, str) else [p.get("text", "") for p in content]
        total += sum(-(-len(text.encode()) // BYTES_PER_TOKEN) for text in texts)
    return total
