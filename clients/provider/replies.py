"""Parses replies: the provider's JSON object in, our own value out.

Tolerant where providers differ (the fields of cached tokens and reasoning, an empty finish reason,
an answer in the field of the reasoning). Strict where a guess would cost money or correctness (no
choices, an error beside a text). Formats: StepFun's API fact sheet, 2.2; OpenAI's chat completion
object.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import ReplyUnusable
from core.reply import Reply, Usage
from core.text.sanitize import storable
from core.text.thoughts import split_thoughts

TOKENS_MAX = 100_000_000
"""Tokens of one call; a larger number is a mistake, and counts as not reported."""
REFUSAL = "refusal"
"""Our finish reason of a reply whose message has a refusal instead of a text (OpenAI)."""
TEXT_MAX = 2_000_000
"""Characters of one reply; a longer one is cut, as if it had no tokens left. A model writes about
four characters a token. To judge a text of 32 MB would stop a worker's threads for a minute."""
BYTES_MAX, SECONDS_MAX = 10**12, 10**11
"""Of a file in the provider's store: its size, and when it was stored."""


def read_reply(body: Mapping[str, Any], trace: str | None) -> Reply:
    """The reply in ``body``, a chat.completion object; ``trace``: the X-Trace-Id header, if sent.

    Raises ReplyUnusable("error_in_reply" | "no_choices") with ``.reply`` set, so that its usage,
    which was paid for, is still recorded.
    """
    choice = _choice(body)
    reply = _reply(body, choice, trace)
    if error := error_in(body):
        raise ReplyUnusable("error_in_reply", f"200 with an error: {_error_text(error)}", reply)
    if choice:
        return reply
    raise ReplyUnusable("no_choices", "the provider's reply has no choices", reply)


def error_in(body: Mapping[str, Any]) -> object:
    """The error that a 200 has in place of an answer; None without one. OpenRouter puts it into the
    choice, also below a text that it has cut short; others put it beside empty choices."""
    choice = _choice(body)
    if error := choice.get("error"):
        return error
    return (
        body.get("error") or None
        if not _text(_object(choice.get("message")).get("content"))
        else None
    )


def read_usage(usage: object) -> Usage:
    """The usage object of a reply. A value that is missing or not a number counts as 0.

    Cached tokens are in one of three places: ``cached_tokens``, ``cached_token``, or inside
    ``prompt_tokens_details``. We take the largest, because some replies set another one to 0.
    """
    fields = _object(usage)
    details = _object(fields.get("prompt_tokens_details"))
    places = (fields.get("cached_tokens"), fields.get("cached_token"), details.get("cached_tokens"))
    prompt = _count(fields.get("prompt_tokens"))
    cached = min(prompt, max(_count(place) for place in places))
    return Usage(prompt, cached, _count(fields.get("completion_tokens")))


def _reply(body: Mapping[str, Any], choice: Mapping[str, Any], trace: str | None) -> Reply:
    message = _object(choice.get("message"))
    said = _text(message.get("content"))
    content, apart = said[:TEXT_MAX], _reasoning(message)[:TEXT_MAX]
    thoughts, text = split_thoughts(content)
    reasoning = "\n\n".join(part for part in (apart, thoughts) if part)
    instead = "" if content.strip() else _instead(message)
    finish = str(choice.get("finish_reason") or ("stop" if content or apart else ""))
    if len(said) > TEXT_MAX:
        finish = "length"
    if instead and message.get("refusal"):
        finish = REFUSAL
    if not content.strip() and finish == "stop" and not instead:
        # the model has ended by itself, so this is its answer: the server took all for reasoning
        reasoning, text = split_thoughts(apart)
        if not text.strip():
            reasoning, text = "", reasoning
    return Reply(
        text,
        reasoning,
        finish,
        read_usage(body.get("usage")),
        trace or _trace(body),
        str(body.get("model") or ""),
        instead,
        _reasoning_tokens(body.get("usage")),
    )


def _reasoning(message: Mapping[str, Any]) -> str:
    """The reasoning beside a text, by the name that a server has for it: DeepSeek, vLLM; OpenRouter
    and StepFun; Ollama; a part of the content (Mistral); OpenRouter's details."""
    for name in ("reasoning_content", "reasoning", "thinking"):
        if text := _text(message.get(name)):
            return text
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    inside = [_text(_object(part).get("thinking")) for part in parts]
    return "".join(inside) or _text(message.get("reasoning_details"))


def _instead(message: Mapping[str, Any]) -> str:
    """What a message without text has, for people: a refusal, a call of a tool, or nothing."""
    calls = message.get("tool_calls")
    if isinstance(refusal := message.get("refusal"), str) and refusal.strip():
        return refusal.strip()[:500]
    first = _object(calls[0]) if isinstance(calls, list) and calls else {}
    function = _object(first.get("function") or message.get("function_call"))
    if not first and not function:
        return ""
    name = str(function.get("name") or "").strip()[:80]
    return f"a call of the tool {name}" if name else "a call of a tool"


def _reasoning_tokens(usage: object) -> int:
    details = _object(_object(usage).get("completion_tokens_details"))
    return _count(details.get("reasoning_tokens"))


def _choice(body: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = body.get("choices")
    return _object(choices[0]) if isinstance(choices, list) and choices else {}


def _text(content: object) -> str:
    """Content is a string, null, or a list of parts, some of which are texts."""
    if isinstance(content, list):
        return "".join(_text(_object(part).get("text") or "") for part in content)
    return content if isinstance(content, str) else ""


def _trace(body: Mapping[str, Any]) -> str | None:
    """StepFun's ids are ``<trace>.<32 hex>``. For other providers we use the whole id."""
    identifier = body.get("id")
    return identifier.partition(".")[0] or None if isinstance(identifier, str) else None


def _error_text(error: object) -> str:
    return str(_object(error).get("message") or error)[:500]


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _count(value: object, most: int = TOKENS_MAX) -> int:
    """A number that is not negative and not above ``most``, else 0: the reply was paid for, and is
    recorded whatever it says."""
    if not isinstance(value, int | float) or (isinstance(value, float) and math.isnan(value)):
        return 0
    return int(value) if 0 <= value <= most else 0


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file in the provider's store. ``created_at`` is in Unix seconds, 0 if not sent."""

    id: str
    bytes: int
    created_at: int
    filename: str
    purpose: str


def json_or_none(content: bytes) -> Any:
    try:
        return storable(json.loads(content))
    except (ValueError, RecursionError):
        return None


def list_entries(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    data = body.get("data")
    return [entry for entry in data if isinstance(entry, dict)] if isinstance(data, list) else []


def remote_file(entry: Mapping[str, Any]) -> RemoteFile:
    return RemoteFile(
        id=str(entry.get("id") or ""),
        bytes=_count(entry.get("bytes"), BYTES_MAX),
        created_at=_count(entry.get("created_at"), SECONDS_MAX),
        filename=str(entry.get("filename") or ""),
        purpose=str(entry.get("purpose") or ""),
    )
