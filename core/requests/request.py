"""Requests as values: the body of a node's call, and the key that makes it the same request.

The key is the hash of the body with each image named by its content, so it covers the model, the
prompt texts, the parameters and the children, and nothing that may differ between two runs of the
same thing (file ids, the account's key).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from core import prompts
from core.answers.spec import AnswerSpec, answer_spec_of
from core.catalog.models import PROVIDERS, structured_of
from core.catalog.tokens import Detail, text_tokens_estimate
from core.prompts import Nudge, Own
from core.prompts.own import words_of
from core.reply import Reply, Usage
from core.settings import Settings
from core.text.hashing import content_key
from core.tree.capacity import NOTE_TOKENS_PER_IMAGE, RequestCapacity, capacity_of

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What stays the same over a job's requests."""

    question: str
    model: str
    endpoint: str
    detail: Detail
    shape: RequestCapacity
    reasoning_effort: str | None = None
    shaping: AnswerSpec | None = None  # None: words alone are asked for
    history: tuple[tuple[str, str], ...] = ()  # questions asked before, and their answers
    prompts: Own = field(default_factory=dict)  # texts of the job's own


@dataclass(frozen=True, slots=True)
class Inline:
    """An image that goes inside its request, read while that is sent: a hundred requests on their
    way hold a hundred pictures in memory, not six thousand. ``read`` gives ``size`` bytes."""

    mime: str
    size: int
    read: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Sendable:
    """A body as it goes over the wire, but for the images ``inline`` in it: they stand there under
    these URLs, and are sent as data URLs in their places."""

    body: Body
    inline: Mapping[str, Inline] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Variant:
    """How a request was changed after a reply that could not be used."""

    widened: int = 0  # times max_tokens was doubled
    nudges: tuple[Nudge, ...] = ()

    def after(self, reason: str) -> Variant:
        """The next variant to try, by why the last reply could not be used."""
        if reason in ("citation", "form", "figure"):
            return Variant(self.widened, (*self.nudges, cast("Nudge", reason)))
        return Variant(self.widened + 1, (*self.nudges, "length"))


FIRST = Variant()


def history_of(options: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The conversation before a job's question, from its options."""
    return tuple((each["ask"], each["answer"]) for each in options.get("history") or ())


def spoken(question: str, options: Mapping[str, Any]) -> str:
    """All words that a job's requests repeat: what its question takes of the context."""
    return "\n".join([*(words for each in history_of(options) for words in each), question])


def look_body(
    ask: RequestContext, urls: Sequence[str], whole: bool, variant: Variant = FIRST
) -> Body:
    """The body of a request that shows images. ``whole``: the person's own question is asked, and
    a further question continues the conversation that the first one began."""
    if whole and ask.history:
        first = prompts.look(urls, ask.detail, ask.history[0][0], whole, own=ask.prompts)
        messages = prompts.converse(first, ask.history, ask.question, variant.nudges, ask.prompts)
    else:
        question = prompts.in_context(ask.question, ask.history, answers=False)
        messages = prompts.look(urls, ask.detail, question, whole, variant.nudges, ask.prompts)
    return make_body(ask, messages, ask.shape.leaf_max_tokens(len(urls), variant.widened))


def read_body(
    ask: RequestContext, notes: Sequence[str], images: int, whole: bool, variant: Variant = FIRST
) -> Body:
    """The body of a request over notes."""
    question = prompts.in_context(ask.question, ask.history, answers=True)
    messages = prompts.read(notes, images, question, whole, variant.nudges, ask.prompts)
    return make_body(ask, messages, ask.shape.branch_max_tokens(variant.widened))


def key_of(endpoint: str, body: Body) -> str:
    """The key of a body whose images are named by content (``sha256:...``), at ``endpoint``."""
    return content_key([endpoint, body])


def reserve(body: Body, image_tokens: int) -> int:
    """Tokens to reserve for a body: its images, its text, and all it may answer."""
    text = sum(text_tokens_estimate(words) for words in _texts(body))
    return image_tokens + text + int(body["max_tokens"])


def with_usage(reply: Reply, body: Body, image_tokens: int) -> Reply:
    """``reply`` to ``body``, with about as much used as it can have where it tells no usage, as
    some servers of this protocol do: were that nothing, a budget and the account's tokens would be
    passed. The prompt is counted as ``reserve`` does; the reply by its words, or, where it was cut
    short, as all it was allowed.
    """
    if reply.usage.prompt_tokens:  # no request is without a prompt
        return reply
    most = int(body["max_tokens"])
    prompt = reserve(body, image_tokens) - most
    words = text_tokens_estimate(reply.text) + text_tokens_estimate(reply.reasoning)
    written = most if reply.finish_reason == "length" else min(most, words)
    return replace(reply, usage=Usage(prompt, 0, reply.usage.completion_tokens or written))


def make_body(ask: RequestContext, messages: list[prompts.Message], max_tokens: int) -> Body:
    """A body as every call has it."""
    body: Body = {
        "model": ask.model,
        "messages": messages,
        "max_tokens": max_tokens,
        "temperature": 0,
    }
    if ask.reasoning_effort is not None:
        body["reasoning_effort"] = ask.reasoning_effort
    return body


def _texts(body: Body) -> list[str]:
    texts: list[str] = []
    for message in body["messages"]:
        content = message["content"]
        if isinstance(content, str):
            texts.append(content)
        else:
            texts.extend(part["text"] for part in content if part["type"] == "text")
    return texts


ANSWER_TOKENS = 48
ANSWER_TOKENS_PER_FIELD = 24
"""What one image's JSON takes: its key and braces, and a name and a short value each."""


def request_context(
    settings: Settings,
    *,
    question: str,
    model: str,
    provider: str,
    endpoint: str,
    detail: Detail,
    options: Mapping[str, Any],
) -> RequestContext:
    """``options`` are those of the job's row."""
    structured = settings.structured or structured_of(model, provider)
    shaping = answer_spec_of(question, options, structured)
    own = options.get("prompts") or {}
    words = question if shaping is None else _all_texts(shaping)
    shape = capacity_of(
        model,
        provider,
        words_of(spoken(words, options), own),
        settings.images_per_request,
        settings.context_tokens,
        NOTE_TOKENS_PER_IMAGE if shaping is None else tokens_an_image(shaping),
    )
    effort = settings.reasoning_effort if PROVIDERS[provider].reasoning else None
    return RequestContext(
        question=question,
        model=model,
        endpoint=endpoint,
        detail=detail,
        shape=shape,
        reasoning_effort=effort,
        shaping=shaping,
        history=history_of(options),
        prompts=own,
    )


def asks_above(ask: RequestContext) -> bool:
    """Whether a model is asked above the leaves; else code composes the answer."""
    return ask.shaping is None or ask.shaping.needs_words


def fan_in_of(ask: RequestContext, leaves: int) -> int:
    """How many children a branch has: all there are, where code composes the answer."""
    return ask.shape.fan_in if asks_above(ask) else max(leaves, 2)


def tokens_an_image(shaping: AnswerSpec) -> int:
    """What one image's answer should take."""
    wanted = ANSWER_TOKENS + ANSWER_TOKENS_PER_FIELD * shaping.parts.fields
    return max(wanted, NOTE_TOKENS_PER_IMAGE)


def _all_texts(shaping: AnswerSpec) -> str:
    return "\n".join(text for text in (shaping.ask, shaping.each, shaping.schema) if text)
