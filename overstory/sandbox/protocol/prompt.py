"""The prompt of a request: segments of text and image tokens, and their sum."""

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


def segments_of(
    request: ChatRequest, pictures: Sequence[Picture], tokens_an_image: int | None = None
) -> list[Segment]:
    """The segments in order; ``pictures`` are the request's images, in order. An image takes
    ``tokens_an_image``, or what the formula says."""
    return list(_segments(request, iter(pictures), tokens_an_image))


def _segments(
    request: ChatRequest, pictures: Iterator[Picture], tokens_an_image: int | None
) -> Iterator[Segment]:
    for turn in request.turns:
        yield text_segment(f"<|{turn.role}|>")
        for part in turn.parts:
            if isinstance(part, ImagePart):
                yield _image(part, next(pictures), tokens_an_image)
            else:
                yield text_segment(part)


def _image(part: ImagePart, picture: Picture, tokens: int | None) -> Segment:
    if tokens is None:
        tokens = image_tokens(picture.description.width, picture.description.height, part.detail)
    return Segment(f"{picture.sha}:{part.detail}".encode(), tokens, is_text=False)


def budget(request: ChatRequest, prompt_tokens: int, cuts: bool = False) -> int:
    """The maximum number of completion tokens.

    Raises Refusal 400 if prompt and max_tokens exceed the context window (its text is ours). A
    server that ``cuts`` prompts refuses none.
    """
    left = request.model.context_tokens - prompt_tokens
    if cuts:
        return request.max_tokens or max(left, 1)
    if left < (request.max_tokens or 1):
        raise wrong_param(
            f"prompt of {prompt_tokens} tokens and max_tokens {request.max_tokens or 'unset'} "
            f"exceed the context of {request.model.context_tokens}"
        )
    return request.max_tokens or left


def fingerprint(body: dict[str, Any], pictures: Sequence[Picture]) -> str:
    """The sha256 of a request. It does not depend on how images are sent or the reply delivered.

    Image URLs are replaced by the image's sha256; ``stream`` and its options are left out.
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
