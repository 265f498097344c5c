"""What a model answered and what the provider billed, as values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """Billed tokens of one call. ``prompt_tokens`` includes ``cached_tokens``. ``estimated``: the
    server reported none."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of the model.

    ``finish_reason``: stop, length, tool_calls, content_filter, or any other value as sent; empty
    only if the provider sent neither a reason nor text. ``trace``: the id to give to its support.
    ``instead``: what the reply has in place of a text, for people; ``reasoning_tokens``: those of
    the completion that its usage names as reasoning. ``limits``: its headers that tell limits of
    the account, a line each.
    """

    text: str
    reasoning: str
    finish_reason: str
    usage: Usage
    trace: str | None
    model: str
    instead: str = ""
    reasoning_tokens: int = 0
    limits: str = ""

    @property
    def is_empty(self) -> bool:
        return not self.text.strip()
