"""A request as the model reads it: segments of text and image tokens, and their sum."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any

from core.catalog.tokens import image_tokens
from overstory.sandbox.account.prompt_cache import Segment, text_segment
from overstory.sandbox.errors import wrong_param
from overstory.sandbox.protocol.request import ChatRequest, ImagePart
from overstory.sandbox.vision.decode import Picture


def segments_of(ask: ChatRequest, pictures: Sequence[Picture]) -> list[Segment]:
    """The prompt in order; ``pictures`` are those of the request's images, in order."""
    return list(_segments(ask, iter(pictures)))


def _segments(ask: ChatRequest, pictures: Iterator[Picture]) -> Iterator[Segment]:
    for turn in ask.turns:
        yield text_segment(f"<|{turn.role}|>")
        for part in turn.parts:
            yield (
                _image(part, next(pictures)) if isinstance(part, ImagePart) else text_segment(part)
            )


def _image(part: ImagePart, picture: Picture) -> Segment:
    tokens = image_tokens(picture.look.width, picture.look.height, part.detail)
    return Segment(f"{picture.sha}:{part.detail}".encode(), tokens, is_text=False)


def budget(ask: ChatRequest, prompt_tokens: int) -> int:
    """Tokens the completion may have.

    Raises Refusal 400 when prompt and max_tokens pass the context window (its text is ours).
    """
    left = ask.model.context_tokens - prompt_tokens
    if left < (ask.max_tokens or 1):
        raise wrong_param(
            f"prompt of {prompt_tokens} tokens and max_tokens {ask.max_tokens or 'unset'} "
            f"exceed the context of {ask.model.context_tokens}"
        )
    return ask.max_tokens or left


def fingerprint(body: dict[str, Any], pictures: Sequence[Picture]) -> str:
    """The sha256 of a request, however its images were sent and its reply delivered.

    Every image URL counts as the sha256 of the image; ``stream`` and its options do not count.
    """
    shas = iter(picture.sha for picture in pictures)
    kept = {key: value for key, value in body.items() if not key.startswith("stream")}
    canonical = json.dumps(_by_content(kept, shas), sort_keys=True, separators=(",", ":"))
    return sha256(canonical.encode(errors="replace")).hexdigest()


def _by_content(body: dict[str, Any], shas: Iterator[str]) -> dict[str, Any]:
    messages = [_message(message, shas) for message in body["messages"]]
    return body | {"messages": messages}


def _message(message: dict[str, Any], shas: Iterator[str]) -> dict[str, Any]:
    content = message.get("content")
    if not isinstance(content, list):
        return message
    return message | {"content": [_part(part, shas) for part in content]}


def _part(part: dict[str, Any], shas: Iterator[str]) -> dict[str, Any]:
    if part["type"] != "image_url":
        return part
    return part | {"image_url": part["image_url"] | {"url": f"sha256:{next(shas)}"}}
