"""Request bodies as bytes: chat requests with inline images, upload forms; and file URLs."""

from __future__ import annotations

import json
import re
import secrets
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from clients.provider.uplink import Uplink
from core.errors import BytesGone
from core.requests.request import Inline
from core.tree.capacity import base64_bytes

_URL = re.compile(r'(?<="url":")[^"\\]+(?=")')
"""A URL in the JSON. User text cannot match: quotation marks inside a JSON string are escaped."""
STEPFILE = "stepfile://"


def file_url(file_id: str) -> str:
    """The URL under which a request refers to a stored file."""
    return STEPFILE + file_id


def file_id_of(url: str) -> str | None:
    """The id of the stored file that ``url`` refers to; None for any other URL."""
    return url.removeprefix(STEPFILE) if url.startswith(STEPFILE) else None


def json_bytes(body: Mapping[str, Any]) -> bytes:
    """``body`` as UTF-8 JSON."""
    return utf8(_json(body))


def utf8(text: str) -> bytes:
    """``text`` as UTF-8. Lone surrogates (from a file name that is not UTF-8) become "?"."""
    return text.encode("utf-8", "replace")


class InlineBody:
    """``body`` with each URL in ``inline`` replaced by its image: an iterable of bytes with a known
    size. Each image is read just before it is sent and released afterwards. ``uplink`` measures how
    fast the pieces are taken."""

    def __init__(
        self, body: Mapping[str, Any], inline: Mapping[str, Inline], uplink: Uplink | None = None
    ) -> None:
        self._uplink = uplink
        self._parts: list[bytes | Inline] = []
        text, at = _json(body), 0
        for url in _URL.finditer(text):
            if (image := inline.get(url[0])) is not None:
                before = f"{text[at : url.start()]}data:{image.mime};base64,"
                self._parts += [utf8(before), image]
                at = url.end()
        self._parts.append(utf8(text[at:]))
        self.size = sum(_size(part) for part in self._parts)

    def __iter__(self) -> Iterator[bytes]:
        """The pieces. Raises BytesGone if an image has changed since, and ServiceAway if the blob
        store does not answer."""
        if self._uplink is None:
            yield from map(_encoded, self._parts)
            return
        with self._uplink.sending() as took:
            for part in self._parts:
                piece = _encoded(part)
                yield piece
                took(len(piece))


def _json(body: Mapping[str, Any]) -> str:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _size(part: bytes | Inline) -> int:
    return base64_bytes(part.size) if isinstance(part, Inline) else len(part)


def _encoded(part: bytes | Inline) -> bytes:
    if not isinstance(part, Inline):
        return part
    data = part.read()
    if len(data) != part.size:
        raise BytesGone(f"the prepared image has {len(data)} bytes now, and had {part.size}")
    return b64encode(data)


@dataclass(frozen=True, slots=True)
class UploadForm:
    """A multipart/form-data body (RFC 7578) that uploads one file for storage."""

    content_type: str
    content: bytes

    @classmethod
    def of(cls, name: str, data: bytes, mime: str) -> UploadForm:
        boundary = f"overstory-{secrets.token_hex(16)}"
        quoted = name.translate(_QUOTED)
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nstorage\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{quoted}"\r\n'
            f"Content-Type: {mime}\r\n\r\n"
        )
        content = b"".join((head.encode(), data, f"\r\n--{boundary}--\r\n".encode()))
        return cls(f"multipart/form-data; boundary={boundary}", content)


_QUOTED = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})
"""Escapes of a file name in a form (WHATWG HTML, multipart form data)."""
