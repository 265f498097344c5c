"""The capacity of one request: budgets of leaves and branches for a model and a provider."""

from __future__ import annotations

from dataclasses import dataclass

from core.catalog.facts import USUAL_IMAGES, ModelFacts
from core.catalog.image_tokens import Measured
from core.catalog.models import PROVIDERS
from core.catalog.tokens import Detail, text_tokens_estimate
from core.errors import RequestForm, WrongUsage
from core.tree.packing import Budget

NOTE_TOKENS_BASE = 256
NOTE_TOKENS_PER_IMAGE = 64
"""About 45 English words per image: enough to answer one question."""
LABEL_TOKENS = 6
"""At most, of the text before an image that has its number (core/prompts/label.txt)."""
REASONING_ALLOWANCE = 8_192
"""Reasoning uses max_tokens first; a small max_tokens gives an empty reply (fact sheet 2.2)."""
PROMPT_TOKENS = 2_048
"""Room for our instructions, far above what core/prompts needs."""
PREPARED_BYTES = {"low": 110_000, "high": 1_500_000}
"""Typical size of a prepared image. Plans use it until the exact size is known."""
REQUEST_BYTES_MOST = 64_000_000
"""Of images, in base64, also where an endpoint takes more: a request that fails is sent again."""
IMAGE_SHARE = 0.9
"""Of the bytes that an endpoint takes in a request; the rest is for the text."""


@dataclass(frozen=True, slots=True)
class LearnedLimits:
    """What an endpoint takes in one request for a model, as its refusals have shown; None: not
    known. ``probing``: the limit on images was halved, and no request of that size was accepted
    yet. ``forms``: how a request is written for it; ``reply_tokens``: the most of a reply;
    ``image_tokens``: how it counts images, as measured."""

    images: int | None = None
    tokens: int | None = None
    bytes: int | None = None
    probing: bool = False
    forms: frozenset[RequestForm] = frozenset()
    reply_tokens: int | None = None
    image_tokens: Measured | None = None


NOTHING_LEARNED = LearnedLimits()


@dataclass(frozen=True, slots=True)
class RequestCapacity:
    """The budgets of one job's requests."""

    leaf: Budget
    fan_in: int
    branch_tokens: int  # for all notes below one branch together
    context_tokens: int
    tokens_an_image: int = NOTE_TOKENS_PER_IMAGE  # output tokens per image
    probing: bool = False  # see LearnedLimits
    reasoning_tokens: int = REASONING_ALLOWANCE  # room for reasoning in each reply

    def leaf_max_tokens(self, images: int, widened: int = 0) -> int:
        """max_tokens of a request with ``images`` images, doubled ``widened`` times."""
        wanted = note_tokens(images, self.tokens_an_image) + self.reasoning_tokens
        wanted *= 2**widened
        most = _output(self.context_tokens, self.reasoning_tokens)
        return min(int(wanted), most if widened == 0 else self.context_tokens // 2)

    def branch_max_tokens(self, widened: int = 0) -> int:
        """max_tokens of a request over notes."""
        return self.leaf_max_tokens(self.leaf.items, widened)


def _output(context: int, reasoning_tokens: int) -> int:
    """The most tokens of a first reply. Half of the context only where more reasoning is wanted:
    the prompt then has less room."""
    return context // (4 if reasoning_tokens <= REASONING_ALLOWANCE else 2)


def _answers_max(context: int, tokens_an_image: int, reasoning_tokens: int) -> int:
    """How many images' answers fit into one reply, after its reasoning."""
    output = _output(context, reasoning_tokens)
    room = output - min(reasoning_tokens, output // 2) - NOTE_TOKENS_BASE
    return max(1, room // tokens_an_image)


def note_tokens(images: int, each: int = NOTE_TOKENS_PER_IMAGE) -> int:
    """Tokens to expect for the notes on ``images`` images."""
    return NOTE_TOKENS_BASE + each * images


def capacity_of(
    facts: ModelFacts,
    provider: str,
    question: str,
    images_per_request: int | None = None,
    context_tokens: int | None = None,
    tokens_an_image: int = NOTE_TOKENS_PER_IMAGE,
    learned: LearnedLimits = NOTHING_LEARNED,
    reasoning_tokens: int | None = None,
    pack: int | None = None,
) -> RequestCapacity:
    """Budgets by the limits of a model: images, bytes, context and output. ``reasoning_tokens``:
    room for reasoning in each reply, None: REASONING_ALLOWANCE. ``pack``: images a request at most
    that the job wants, None: as many as fit."""
    reasoning = REASONING_ALLOWANCE if reasoning_tokens is None else reasoning_tokens
    context = _least(context_tokens or facts.context_tokens, learned.tokens)
    items = images_most(facts, images_per_request)
    if images_per_request is None and pack is None:
        items = min(items, USUAL_IMAGES)
    items = _least(_least(items, learned.images), pack)
    # an image that is missing from the JSON costs another call
    if tokens_an_image != NOTE_TOKENS_PER_IMAGE:
        items = min(items, _answers_max(context, tokens_an_image, reasoning))
    notes = note_tokens(items, tokens_an_image)
    output = min(notes + reasoning, _output(context, reasoning))
    room = max(context - output - PROMPT_TOKENS - text_tokens_estimate(question), 1_024)
    image_bytes = _least(_image_bytes(facts, provider), learned.bytes)
    leaf = Budget(items, image_bytes, room)
    fan_in = max(2, room // notes)
    return RequestCapacity(leaf, fan_in, room, context, tokens_an_image, learned.probing, reasoning)


def _image_bytes(facts: ModelFacts, provider: str) -> int:
    """Bytes of the images of one request, in base64."""
    if facts.request_bytes is None:
        return PROVIDERS[provider].request_image_bytes
    return min(round(facts.request_bytes * IMAGE_SHARE), REQUEST_BYTES_MOST)


def images_most(facts: ModelFacts, images_per_request: int | None) -> int:
    """The most images that a request to a model may show: as set, else by its facts."""
    return images_per_request or facts.images


def check_pack(facts: ModelFacts, images_per_request: int | None, pack: int | None) -> None:
    """Raises WrongUsage for a job that wants more images a request than the model takes."""
    most = images_most(facts, images_per_request)
    if pack is not None and pack > most:
        raise WrongUsage(
            f"pack: {pack:,} images a request, and {facts.model} takes {most:,} at most: give a"
            f" pack from 1 to {most:,}, or set OVERSTORY_IMAGES_PER_REQUEST if the endpoint takes"
            " more"
        )


def _least(limit: int, other: int | None) -> int:
    return limit if other is None else min(limit, other)


def expected_bytes(source_bytes: int | None, detail: Detail) -> int:
    """Estimated base64 size of an image that is not prepared yet."""
    typical = PREPARED_BYTES[detail]
    return base64_bytes(min(source_bytes or typical, typical))


def base64_bytes(raw: int) -> int:
    """Size of ``raw`` bytes in base64, as the 20 MB limit of a request counts (fact sheet 3.1)."""
    return -(-raw // 3) * 4
