"""What a model answered and what it was billed for, as values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """What a call was billed for, in tokens. ``prompt_tokens`` includes ``cached_tokens``."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of the model.

    ``finish_reason``: stop, length, tool_calls, content_filter, or whatever else was sent; empty
    only if the provider named none and sent no text. ``trace`` is the id its support asks for.
    """

    text: str
    reasoning: str
    finish_reason: str
    usage: Usage
    trace: str | None
    model: str
