"""What stays the same over a job's requests, from what the job says and how it is set up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.profiles import PROVIDERS, structured_of
from core.prompts.own import words_of
from core.request import Ask, history_of, spoken
from core.settings import Settings
from core.shape import NOTE_TOKENS_PER_IMAGE, shape_of
from core.shaping import Shaping, shaping_of
from core.tokens import Detail

ANSWER_TOKENS = 48
ANSWER_TOKENS_PER_FIELD = 24
"""What one image's JSON takes: its key and braces, and a name and a short value each."""


def make_ask(
    settings: Settings,
    *,
    question: str,
    model: str,
    provider: str,
    endpoint: str,
    detail: Detail,
    options: Mapping[str, Any],
) -> Ask:
    """``options`` are those of the job's row."""
    structured = settings.structured or structured_of(model, provider)
    shaping = shaping_of(question, options, structured)
    own = options.get("prompts") or {}
    words = question if shaping is None else _all_texts(shaping)
    shape = shape_of(
        model,
        provider,
        words_of(spoken(words, options), own),
        settings.images_per_request,
        settings.context_tokens,
        NOTE_TOKENS_PER_IMAGE if shaping is None else tokens_an_image(shaping),
    )
    effort = settings.reasoning_effort if PROVIDERS[provider].reasoning else None
    return Ask(
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


def asks_above(ask: Ask) -> bool:
    """Whether a model is asked above the leaves; else code composes the answer."""
    return ask.shaping is None or ask.shaping.needs_words


def fan_in_of(ask: Ask, leaves: int) -> int:
    """How many children a branch has: all there are, where code composes the answer."""
    return ask.shape.fan_in if asks_above(ask) else max(leaves, 2)


def tokens_an_image(shaping: Shaping) -> int:
    """What one image's answer should take."""
    wanted = ANSWER_TOKENS + ANSWER_TOKENS_PER_FIELD * shaping.parts.fields
    return max(wanted, NOTE_TOKENS_PER_IMAGE)


def _all_texts(shaping: Shaping) -> str:
    return "\n".join(text for text in (shaping.ask, shaping.each, shaping.schema) if text)
