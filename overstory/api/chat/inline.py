"""Images inside a request, as data URLs: decoded piece by piece into the uploads."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from overstory.api.openai_errors import Refusal

BYTES_MAX = 20_000_000
"""Of one image inside a request. Its text is in memory as a whole; a larger one comes as a URL."""
TEXT_MAX = BYTES_MAX * 4 // 3 + 1_000
PIECE = 1 << 20  # characters, a multiple of 4: a whole number of base64's groups
_HEAD = re.compile(r"data:([\w.+-]{1,60}/[\w.+-]{1,60})?((?:;[^;,]{0,200}){0,5}),", re.IGNORECASE)
_SPACE = {ord(c): None for c in " \t\r\n"}
_ENDINGS = {"jpeg": "jpg", "svg+xml": "svg", "x-icon": "ico"}
EXAMPLE = "data:image/jpeg;base64,..."


class Stored(Protocol):
    """Content that is in the uploads now."""

    @property
    def sha256(self) -> str: ...


class Incoming(Protocol):
    """Content on its way into the uploads."""

    def write(self, data: bytes) -> object: ...
    def finish(self) -> Stored: ...
    def abort(self) -> None: ...


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


def store(text: str, where: str, number: int, begin: Begin) -> Inline:
    """Put the image of the data URL ``text`` into the uploads. ``where``: its part of the request;
    ``number``: of the image, from 1. Raises Refusal that names ``where``."""
    kind, start = _head(text, where)
    if len(text) - start > TEXT_MAX:
        raise Refusal(
            f"{where}: the image has more than {BYTES_MAX:,} bytes: make it smaller, or give its"
            " URL",
            where,
            status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        )
    incoming = begin()
    try:
        for piece in _pieces(text, start, where):
            incoming.write(piece)
        stored = incoming.finish()
    except BaseException:
        incoming.abort()
        raise
    return Inline(stored.sha256, f"image-{number:04}.{_ENDINGS.get(kind, kind)}")


def _head(text: str, where: str) -> tuple[str, int]:
    """The kind of image, and where its base64 begins."""
    head = _HEAD.match(text)
    if head is None or not head[2].lower().endswith(";base64"):
        raise Refusal(f"{where}: the data URL is not like {EXAMPLE}", where)
    family, _, kind = (head[1] or "").lower().partition("/")
    if family != "image" and (family, kind) != ("application", "pdf"):
        shown = head[1] or "no type"
        raise Refusal(f"{where}: the data URL says {shown}, and an image is like {EXAMPLE}", where)
    return kind, head.end()


def _pieces(text: str, start: int, where: str) -> Iterator[bytes]:
    """The decoded bytes, in pieces. Line breaks of mail programs are taken out; anything else that
    is not base64 is refused."""
    if start == len(text):
        raise Refusal(f"{where}: the data URL is empty", where)
    if "\n" in text or " " in text:
        text, start = text[start:].translate(_SPACE), 0
    last = (len(text) - 1 - start) // PIECE * PIECE + start

    def decoded(at: int) -> bytes:
        piece = text[at : at + PIECE]
        if at < last and piece.endswith("="):
            raise _broken(where, "padding before its end")
        try:
            return binascii.a2b_base64(piece, strict_mode=True)
        except ValueError as error:
            raise _broken(where, str(error)) from None

    return map(decoded, range(start, len(text), PIECE))


def _broken(where: str, reason: str) -> Refusal:
    return Refusal(f"{where}: the data URL is broken base64 ({reason})", where)
