"""Refusals of parts of a request, in the words of servers that do not take them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from overstory.sandbox.config import RefusedPart
from overstory.sandbox.errors import Refusal

WORDS: dict[RefusedPart, str] = {
    "max_tokens": "Unsupported parameter: 'max_tokens' is not supported with this model. Use"
    " 'max_completion_tokens' instead.",
    "max_completion_tokens": "Unsupported parameter: 'max_completion_tokens' is not supported.",
    "temperature": "Unsupported value: 'temperature' does not support 0 with this model. Only the"
    " default (1) value is supported.",
    "reasoning_effort": "Unrecognized request argument supplied: reasoning_effort",
    "system": "System role not supported",
    "json_schema": "Invalid parameter: 'response_format' of type 'json_schema' is not supported"
    " with this model.",
    "response_format": "Unknown parameter: 'response_format'.",
    "url": "'url' field must be a base64 encoded image.",
    "webp": "unsupported image format: webp",
    "detail": "Unknown parameter: 'messages[1].content[0].image_url.detail'.",
}


def check_parts(body: dict[str, Any], refused: frozenset[RefusedPart]) -> None:
    """Raises Refusal 400 for the first part of ``body`` that is ``refused``."""
    for part, words in WORDS.items():
        if part in refused and _SENDS.get(part, lambda sent, name=part: name in sent)(body):
            raise Refusal(400, "invalid_request_error", words)


def _urls(body: dict[str, Any]) -> list[str]:
    return [str(image.get("url")) for image in _images(body)]


def _images(body: dict[str, Any]) -> list[dict[str, Any]]:
    messages = [m for m in body.get("messages") or [] if isinstance(m, dict)]
    parts = [p for m in messages if isinstance(m.get("content"), list) for p in m["content"]]
    images = [p.get("image_url") for p in parts if isinstance(p, dict)]
    return [image for image in images if isinstance(image, dict)]


def _has_system(body: dict[str, Any]) -> bool:
    return any(m.get("role") == "system" for m in body.get("messages") or [])


_SENDS: dict[RefusedPart, Callable[[dict[str, Any]], bool]] = {
    "system": _has_system,
    "json_schema": lambda body: (body.get("response_format") or {}).get("type") == "json_schema",
    "url": lambda body: any(not url.startswith("data:") for url in _urls(body)),
    "webp": lambda body: any(url.startswith("data:image/webp") for url in _urls(body)),
    "detail": lambda body: any("detail" in image for image in _images(body)),
}
