"""A chat body as bytes, with the images inside it put in while it is sent."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import Any

from core.errors import BytesGone
from core.requests.request import Inline
from core.tree.capacity import base64_bytes

_URL = re.compile(r'(?<="url":")[^"\\]+(?=")')
"""A URL's place. Nobody's words hold one: quotation marks inside a JSON text are escaped."""


def json_bytes(body: Mapping[str, Any]) -> bytes:
    """``body`` as UTF-8 JSON."""
    return utf8(_json(body))


def utf8(text: str) -> bytes:
    """A file name that is no UTF-8 arrives as lone surrogates, which no JSON can carry: now ?."""
    return text.encode("utf-8", "replace")


class InlineBody:
    """``body`` with each URL in ``inline`` replaced by its image, as an iterable of bytes whose
    length is known beforehand. An image is read when its turn comes and let go once it is sent."""

    def __init__(self, body: Mapping[str, Any], inline: Mapping[str, Inline]) -> None:
        self._parts: list[bytes | Inline] = []
        text, at = _json(body), 0
        for found in _URL.finditer(text):
            if (image := inline.get(found[0])) is not None:
                before = f"{text[at : found.start()]}data:{image.mime};base64,"
                self._parts += [utf8(before), image]
                at = found.end()
        self._parts.append(utf8(text[at:]))
        self.size = sum(_size(part) for part in self._parts)

    def __iter__(self) -> Iterator[bytes]:
        """The pieces. Raises BytesGone where an image is not what it was when this was made, and
        ServiceAway of the blob store."""
        for part in self._parts:
            yield _encoded(part) if isinstance(part, Inline) else part


def _json(body: Mapping[str, Any]) -> str:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _size(part: bytes | Inline) -> int:
    return base64_bytes(part.size) if isinstance(part, Inline) else len(part)


def _encoded(image: Inline) -> bytes:
    data = image.read()
    if len(data) != image.size:
        raise BytesGone(f"prepared bytes have changed: {len(data)} where {image.size} were")
    return b64encode(data)
