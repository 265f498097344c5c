"""The reply to a chat request: text, tokens and JSON format (fact sheet 2.2, 2.3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from overstory.sandbox.account.prompt_cache import BYTES_PER_TOKEN, text_tokens
from overstory.sandbox.config import FaultKind

_THOUGHT = "Looking at each image in turn, at its size, its colours and its light. "


TOOL_CALL = {
    "id": "call-1",
    "type": "function",
    "function": {"name": "describe_images", "arguments": "{}"},
}
CHOICE_ERROR = {"code": 502, "message": "Provider returned error"}
"""As OpenRouter sends it (openrouter.ai/docs/api-reference/errors)."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call; completion includes reasoning."""

    prompt: int
    cached: int
    completion: int

    def card(self) -> dict[str, Any]:
        """The usage object: the cached count in both places, and reasoning_tokens 0."""
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "cached_tokens": self.cached,
            "prompt_tokens_details": {"cached_tokens": self.cached},
            "completion_tokens_details": {"reasoning_tokens": 0},
        }


@dataclass(frozen=True, slots=True)
class Reply:
    """One finished generation."""

    id: str
    model: str
    created: int
    content: str
    reasoning: str
    finish: str
    usage: Usage
    choices: int = 1
    reports_usage: bool = True

    def completion(self) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": self.content}
        message |= _reasoning_fields(self.reasoning)
        if self.finish == "tool_calls":
            message |= {"content": None, "tool_calls": [TOOL_CALL]}
        choice: dict[str, Any] = {"message": message, "finish_reason": self.finish}
        if self.finish == "error":
            choice["error"] = CHOICE_ERROR
        choices = [{"index": index} | choice for index in range(self.choices)]
        return self._head("chat.completion") | {"choices": choices} | self._usage(self.usage)

    def chunks(self, tokens_per_chunk: int, dialect: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """(tokens, chunk) for each chunk of the stream; reasoning precedes content."""
        open_end: str | None = "" if dialect == "a" else None
        yield 0, self._chunk({"role": "assistant", "content": ""}, open_end, 0)
        spent = 0
        for delta, tokens in self._deltas(tokens_per_chunk):
            spent = min(spent + tokens, self.usage.completion)
            yield tokens, self._chunk(_with_role(delta, dialect), open_end, spent)
        yield (
            0,
            self._chunk(_with_role({"content": ""}, dialect), self.finish, self.usage.completion),
        )

    def _deltas(self, tokens_per_chunk: int) -> Iterator[tuple[dict[str, str], int]]:
        size = tokens_per_chunk * BYTES_PER_TOKEN
        for piece in _pieces(self.reasoning, size):
            yield _reasoning_fields(piece), text_tokens(len(piece.encode()))
        for piece in _pieces(self.content, size):
            yield {"content": piece}, text_tokens(len(piece.encode()))

    def _chunk(self, delta: dict[str, str], finish: str | None, spent: int) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        usage = self._usage(replace(self.usage, completion=spent))
        return self._head("chat.completion.chunk") | {"choices": [choice]} | usage

    def _usage(self, usage: Usage) -> dict[str, Any]:
        return {"usage": usage.card()} if self.reports_usage else {}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def _reasoning_fields(text: str) -> dict[str, str]:
    """Both names are sent with the same text, for every reasoning_format."""
    return {"reasoning": text, "reasoning_content": text} if text else {}


def _with_role(delta: dict[str, str], dialect: str) -> dict[str, str]:
    return {"role": ""} | delta if dialect == "a" else delta


def _pieces(text: str, size: int) -> Iterator[str]:
    for start in range(0, len(text), size):
        yield text[start : start + size]


@dataclass(frozen=True, slots=True)
class Spent:
    """How max_tokens was spent: reasoning first, then content (fact sheet 2.2)."""

    content: str
    reasoning: str
    finish: str
    tokens: int


def spend(text: str, reasoning_tokens: int, budget: int, stops: tuple[str, ...] = ()) -> Spent:
    """Cut ``text`` at a stop word and at ``budget`` tokens, reasoning included."""
    reasoning = _reasoning_text(min(reasoning_tokens, budget))
    used = text_tokens(len(reasoning))
    for stop in stops:
        text = text.split(stop, 1)[0]
    data = text.encode()
    room = (budget - used) * BYTES_PER_TOKEN
    if len(data) <= room:
        return Spent(text, reasoning, "stop", used + text_tokens(len(data)))
    return Spent(data[:room].decode(errors="ignore"), reasoning, "length", budget)


def _reasoning_text(tokens: int) -> str:
    size = tokens * BYTES_PER_TOKEN
    return (_THOUGHT * (size // len(_THOUGHT) + 1))[:size]


def spoiled(spent: Spent, fault: FaultKind | None, budget: int) -> Spent:
    """The generation as a fault leaves it."""
    match fault:
        case FaultKind.LENGTH:
            return Spent("", _reasoning_text(min(budget, 64)), "length", min(budget, 64))
        case FaultKind.EMPTY:
            return replace(spent, content="", reasoning="", finish="stop")
        case FaultKind.REASONED:
            return replace(spent, content="", reasoning=spent.content)
        case FaultKind.TOOL_CALL:
            return replace(spent, content="", reasoning="", finish="tool_calls")
        case FaultKind.CHOICE_ERROR:
            return replace(spent, content="", reasoning="", finish="error")
        case FaultKind.CONTENT_FILTER:
            return replace(spent, content="", finish="content_filter")
        case _:
            return spent
