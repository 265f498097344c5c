"""Requests as values: the body of a node's call, and the key that makes it the same request.

The key is the hash of the body with each image named by its content. So it covers the model, the
prompt texts, the parameters and the children, and nothing that may differ between two runs of the
same request (file ids, the account's API key).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from core import prompts
from core.answers.spec import AnswerSpec, answer_spec_of
from core.catalog.formulas import STEPFUN_SIZES, SentSizes
from core.catalog.image_tokens import GUESS, ImageTokens, image_tokens_of, most_fetched
from core.catalog.tokens import Detail, text_tokens_estimate
from core.errors import RequestForm
from core.images.columns import sent_size
from core.images.sizing import MIN_SIDE, pad_plan
from core.job_options import JobOptions
from core.prompts import Nudge, Own
from core.prompts.own import words_of
from core.reply import Reply, Usage
from core.requests import canary
from core.requests.forms import structured_in
from core.settings import Settings
from core.text.hashing import content_key
from core.tree.capacity import (
    LABEL_TOKENS,
    NOTE_TOKENS_PER_IMAGE,
    LearnedLimits,
    RequestCapacity,
    capacity_of,
)
from core.tree.packing import Budget

Body = dict[str, Any]

LARGE_IMAGES = ((4_032, 3_024), (1_170, 2_532))
"""A photo, and what a phone shows."""

ANSWER_TOKENS = 48
ANSWER_TOKENS_PER_FIELD = 24
"""What one image's JSON takes: its key and braces, and a name and a short value for each field."""


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What is the same in all requests of a job."""

    question: str
    model: str
    endpoint: str
    detail: Detail
    capacity: RequestCapacity
    reasoning_effort: str | None = None
    answer_spec: AnswerSpec | None = None  # None: the answer is plain text
    history: tuple[tuple[str, str], ...] = ()  # earlier questions and their answers
    prompts: Own = field(default_factory=dict)  # the job's own prompt texts
    bare: bool = False  # replies are taken as they are
    canaries: int = 0  # in each request that shows images
    unprovable: bool = False  # canaries are wanted, and a request has no room for one
    forms: frozenset[RequestForm] = frozenset()  # how the endpoint takes a request
    marks: bool = False  # replies mark what they could not tell: it is looked at twice
    is_second: bool = False  # it shows images for the second time
    reply_tokens: int | None = None  # the most that the endpoint lets a reply have
    sizes: SentSizes = STEPFUN_SIZES  # in which images are sent
    image_tokens: ImageTokens = GUESS  # how images are counted
    facts: tuple[str, ...] = ()  # names of those that are shown beside each image

    def tokens_of(self, width: int, height: int) -> int:
        """Prompt tokens of an original of width x height, as it is sent."""
        sent = pad_plan(*sent_size(width, height, self.detail, self.sizes))
        return self.image_tokens.of(*sent, self.detail)

    @property
    def tokens_most(self) -> int:
        """The most prompt tokens that one image takes."""
        return self.image_tokens.most(self.detail)

    @property
    def image_room(self) -> float:
        """How many times its expected tokens a budget holds for an image: of usual shapes."""
        sent = [(*self.sizes.of(*size, self.detail), self.detail) for size in LARGE_IMAGES]
        tokens = self.image_tokens
        return max(tokens.bound(*image) / max(tokens.of(*image), 1) for image in sent)

    @property
    def is_flat(self) -> bool:
        """Whether every image takes the same tokens, so that its size need not be known."""
        return self.image_tokens.of(MIN_SIDE, MIN_SIDE, self.detail) == self.tokens_most

    @property
    def tokens_fetched(self) -> int:
        """The same for one that the provider fetches itself."""
        return most_fetched(self.image_tokens, self.detail)

    @property
    def asks_above_leaves(self) -> bool:
        """Whether a model is asked above the leaves; if not, code composes the answer."""
        return self.answer_spec is None or self.answer_spec.needs_words

    @property
    def repeated(self) -> str:
        """All text that every request of the job repeats."""
        earlier = [text for exchange in self.history for text in exchange]
        asked = self.question if self.answer_spec is None else _all_texts(self.answer_spec)
        return "\n".join([*earlier, asked])

    def fan_in(self, leaves: int) -> int:
        """The most children a branch has: all leaves where code composes the answer."""
        return self.capacity.fan_in if self.asks_above_leaves else max(leaves, 2)


@dataclass(frozen=True, slots=True)
class Inline:
    """An image that goes inside its request. It is read while the request is sent: a hundred
    requests in flight hold a hundred images in memory, not six thousand. ``read`` gives ``size``
    bytes."""

    mime: str
    size: int
    read: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Sendable:
    """A body as it is sent. The images in ``inline`` stand in it under these URLs and are sent in
    their places as data URLs."""

    body: Body
    inline: Mapping[str, Inline] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Attempt:
    """How a request differs from the first one, after replies that could not be used."""

    widened: int = 0  # how often max_tokens was doubled
    nudges: tuple[Nudge, ...] = ()

    def after(self, reason: str) -> Attempt:
        """The next attempt, by the reason why the last reply could not be used."""
        if reason in ("citation", "form", "figure"):
            return Attempt(self.widened, (*self.nudges, cast("Nudge", reason)))
        return Attempt(self.widened + 1, (*self.nudges, "length"))


FIRST = Attempt()


def request_context(
    settings: Settings,
    *,
    question: str,
    model: str,
    provider: str,
    endpoint: str,
    detail: Detail,
    options: JobOptions,
    learned: LearnedLimits,
) -> RequestContext:
    """The context of a job's requests, from its row, the settings and what was learned about the
    endpoint."""
    facts = settings.facts_of(model)
    wanted = settings.structured or facts.structured(provider)
    structured = structured_in(wanted, learned.forms)
    spec = answer_spec_of(question, options, structured)
    asked = question if spec is None else _all_texts(spec)
    image_tokens = image_tokens_of(facts, learned.image_tokens)
    capacity = capacity_of(
        facts,
        provider,
        words_of(repeated_text(asked, options), options.prompts),
        settings.images_per_request,
        settings.context_tokens,
        NOTE_TOKENS_PER_IMAGE if spec is None else tokens_an_image(spec),
        learned,
        settings.reasoning_tokens,
        options.pack,
    )
    canaries = canary.count(capacity.leaf.items) if options.canary else 0
    if canaries:
        tokens = image_tokens.of(canary.SIDE, canary.SIDE, detail)
        capacity = with_room_for(capacity, canaries, tokens)
    return RequestContext(
        question=question,
        model=model,
        endpoint=endpoint,
        detail=detail,
        capacity=capacity,
        reasoning_effort=settings.reasoning_effort,
        answer_spec=spec,
        history=tuple((exchange.ask, exchange.answer) for exchange in options.history or ()),
        prompts=options.prompts,
        bare=options.bare,
        canaries=canaries,
        unprovable=options.canary and not canaries,
        forms=learned.forms | facts.forms(detail, settings.reasoning_effort),
        reply_tokens=min(_known(learned.reply_tokens, facts.reply_tokens), default=None),
        sizes=facts.sizes,
        image_tokens=image_tokens,
        marks=options.second_look is not None and not options.is_follow_up,
        facts=options.facts,
    )


def _known(*limits: int | None) -> list[int]:
    return [limit for limit in limits if limit is not None]


def with_room_for(capacity: RequestCapacity, canaries: int, tokens: int) -> RequestCapacity:
    """``capacity`` with room for so many pictures of ours, each of ``tokens`` tokens, in each
    request that shows images."""
    leaf = capacity.leaf
    smaller = Budget(
        leaf.items - canaries,
        leaf.bytes - canaries * canary.BYTES,
        leaf.tokens - canaries * (tokens + LABEL_TOKENS),
    )
    return replace(capacity, leaf=smaller)


def tokens_an_image(spec: AnswerSpec) -> int:
    """Completion tokens that one image's answer should take."""
    wanted = ANSWER_TOKENS + ANSWER_TOKENS_PER_FIELD * spec.parts.fields
    if spec.by:  # a unit may have one image: a line and an answer
        return NOTE_TOKENS_PER_IMAGE + wanted
    return max(wanted, NOTE_TOKENS_PER_IMAGE)


def repeated_text(question: str, options: JobOptions) -> str:
    """All text that every request of a job repeats: the conversation so far and its question."""
    exchanges = options.history or ()
    earlier = [text for exchange in exchanges for text in (exchange.ask, exchange.answer)]
    return "\n".join([*earlier, question])


def images_body(
    context: RequestContext,
    urls: Sequence[str],
    is_root: bool,
    attempt: Attempt = FIRST,
    words: Sequence[int] = (),
) -> Body:
    """The body of a request that shows images. ``words``: the numbers of canaries among them.

    ``is_root``: it asks the person's own question; a further question then continues the
    conversation that the first one began.
    """
    own, history = context.prompts, context.history
    with_lines = is_root and not context.bare and len(urls) > 1
    if is_root and history:
        first = prompts.look(
            urls, context.detail, history[0][0], is_root, with_lines=with_lines, own=own
        )
        messages = prompts.converse(first, history, context.question, attempt.nudges, own)
    else:
        messages = prompts.look(
            urls,
            context.detail,
            prompts.in_context(context.question, history, answers=False),
            is_root,
            attempt.nudges,
            with_lines=with_lines,
            words=words,
            marks=context.marks,
            own=own,
        )
    return make_body(
        context, messages, context.capacity.leaf_max_tokens(len(urls), attempt.widened)
    )


def notes_body(
    context: RequestContext,
    notes: Sequence[str],
    images: int,
    is_root: bool,
    attempt: Attempt = FIRST,
) -> Body:
    """The body of a request over notes; ``images``: how many images they are about."""
    question = prompts.in_context(context.question, context.history, answers=True)
    messages = prompts.read(notes, images, question, is_root, attempt.nudges, context.prompts)
    return make_body(context, messages, context.capacity.branch_max_tokens(attempt.widened))


def make_body(context: RequestContext, messages: list[prompts.Message], max_tokens: int) -> Body:
    """A body with the fields that every call has."""
    body: Body = {
        "model": context.model,
        "messages": messages,
        "max_tokens": max_tokens,
        "temperature": 0,
    }
    if context.reasoning_effort is not None:
        body["reasoning_effort"] = context.reasoning_effort
    return body


def key_of(endpoint: str, body: Body) -> str:
    """The key of a body whose images are named by content (``sha256:...``), at ``endpoint``."""
    return content_key([endpoint, body])


def prompt_tokens(body: Body, image_tokens: int) -> int:
    """An upper bound on the prompt's tokens: its images and its text."""
    texts = (part["text"] for part in _parts(body) if part["type"] == "text")
    return image_tokens + sum(text_tokens_estimate(text) for text in texts)


def prompt_text(body: Body) -> str:
    """All text of a body's prompt."""
    return "\n".join(part["text"] for part in _parts(body) if part["type"] == "text")


def image_urls(body: Body) -> list[str]:
    """The URLs of the images in a body, in order."""
    return [part["image_url"]["url"] for part in _parts(body) if part["type"] == "image_url"]


def with_urls(body: Body, urls: Mapping[str, str]) -> Body:
    """``body`` with other URLs for its images, where ``urls`` has one for what stands there."""

    def replaced(part: dict[str, Any]) -> dict[str, Any]:
        if part["type"] != "image_url" or part["image_url"]["url"] not in urls:
            return part
        return {**part, "image_url": {**part["image_url"], "url": urls[part["image_url"]["url"]]}}

    messages = [
        message
        if isinstance(message["content"], str)
        else {**message, "content": [replaced(part) for part in message["content"]]}
        for message in body["messages"]
    ]
    return {**body, "messages": messages}


def with_usage(reply: Reply, bound: int, max_tokens: int) -> Reply:
    """``reply`` with an estimate of its usage where the server reports none, as some do. If that
    counted as nothing, a budget and the account's token limit could be passed.

    ``bound``: the request's ``prompt_tokens``. The completion is counted by its text, or as
    ``max_tokens`` where the reply was cut short.
    """
    if reply.usage.prompt_tokens:  # every request has a prompt, so 0 means not reported
        return reply
    text = text_tokens_estimate(reply.text) + text_tokens_estimate(reply.reasoning)
    written = max_tokens if reply.finish_reason == "length" else min(max_tokens, text)
    return replace(reply, usage=Usage(bound, 0, reply.usage.completion_tokens or written, True))


def _all_texts(spec: AnswerSpec) -> str:
    return "\n".join(text for text in (spec.ask, spec.each, spec.schema) if text)


def _parts(body: Body) -> Iterator[dict[str, Any]]:
    """The parts of all messages; plain text is a text part."""
    for message in body["messages"]:
        content = message["content"]
        if isinstance(content, str):
            yield {"type": "text", "text": content}
        else:
            yield from content
