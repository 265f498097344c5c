"""Images inside a request, as data URLs: decoded into the uploads while they arrive."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from overstory.api.openai_errors import Refusal

EXAMPLE = "data:image/jpeg;base64,..."
HEAD = re.compile(rb'(?<!\\)"data:((?:[^"\\,]|\\/){0,200}?);base64,', re.IGNORECASE)
"""How the JSON of a data URL begins. In valid JSON, a quote that is not escaped and is followed by
this text opens a string. JSON may write a slash as ``\\/``, as PHP does."""
HEAD_BYTES_MAX = 220
_ENDINGS = {"jpeg": "jpg", "svg+xml": "svg"}


class Stored(Protocol):
    """Content that is in the uploads now."""

    @property
    def sha256(self) -> str: ...


class Incoming(Protocol):
    """Content on its way into the uploads."""

    def write(self, data: bytes) -> object: ...
    def finish(self) -> Stored: ...
    def abort(self) -> object: ...


Begin = Callable[[], Incoming]


@dataclass(frozen=True, slots=True)
class Inline:
    """An image of a request that is in the uploads. ``name``: what people see."""

    sha256: str
    name: str

    @property
    def input(self) -> str:
        """The image as the input of a submission."""
        return f"upload:{self.sha256}/{self.name}"


class IncomingImage:
    """An image of which the base64 arrives. ``where``: its part of the request; ``kind``: what its
    data URL says between ``data:`` and ``;base64``; ``number``: of the image, from 1. Raises
    Refusal that names ``where``."""

    def __init__(self, begin: Begin, where: str, kind: str, number: int, bytes_max: int) -> None:
        family, _, kind = kind.lower().partition(";")[0].partition("/")
        if family != "image" and (family, kind) != ("application", "pdf"):
            shown = f"{family}/{kind}" if kind else family or "no type"
            raise Refusal(
                f"{where}: the data URL says {shown}, and an image is like {EXAMPLE}", where
            )
        ending = re.sub(r"[^a-z0-9]", "", _ENDINGS.get(kind, kind))[:10]
        self._name = f"image-{number:04}.{ending}"
        self._where = where
        self._bytes_max = self._bytes_left = bytes_max
        self._rest = b""  # a group of base64 that has not ended
        self._is_padded = False
        self._incoming = begin()

    def write(self, text: bytes) -> None:
        """The next piece of the JSON text between the quotes."""
        text = self._rest + text
        escape = b""
        if b"\\" in text or b" " in text:  # escaped slashes, line breaks of mail programs
            escape = b"\\" if text.endswith(b"\\") else b""
            text = text.removesuffix(b"\\").replace(b"\\/", b"/").translate(None, b" ")
            text = text.replace(b"\\n", b"").replace(b"\\r", b"")
        whole = len(text) // 4 * 4
        self._rest = text[whole:] + escape
        if not whole:
            return
        if self._is_padded:
            raise self._broken("it goes on after its padding")
        try:
            data = binascii.a2b_base64(text[:whole], strict_mode=True)
        except ValueError as error:
            raise self._broken(str(error)) from None
        self._is_padded = text[whole - 1 : whole] == b"="
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            raise Refusal(
                f"{self._where}: the image has more than {self._bytes_max:,} bytes"
                " (OVERSTORY_MAX_FILE_BYTES): make it smaller",
                self._where,
                status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            )
        self._incoming.write(data)

    def finish(self) -> Inline:
        if self._rest:
            raise self._broken("it is cut, or its padding is missing")
        if self._bytes_left == self._bytes_max:
            raise Refusal(f"{self._where}: the data URL is empty", self._where)
        return Inline(self._incoming.finish().sha256, self._name)

    def abort(self) -> None:
        self._incoming.abort()

    def _broken(self, reason: str) -> Refusal:
        return Refusal(f"{self._where}: the data URL is broken base64 ({reason})", self._where)
