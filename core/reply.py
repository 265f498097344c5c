"""Reading a chat reply: the provider's JSON object in, one value of our own out.

Tolerant where providers differ (where cached tokens stand, which field holds the reasoning, an
empty finish reason), strict where guessing would cost money or truth (no choices). Nothing here
does I/O. Shapes: StepFun's API fact sheet, 2.2; OpenAI's chat completion object.
"""

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
