"""Answers of any length, of which the server holds a piece at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from fastapi.responses import StreamingResponse

PIECE = 64 * 1024
"""Characters that are sent at once: each piece is fetched by a thread of its own turn."""


def streamed(
    pieces: Iterable[str], media_type: str, headers: Mapping[str, str] | None = None
) -> StreamingResponse:
    """``pieces`` as the body of an answer. The first ones are made here, so that an error in them
    is answered as one; a later error breaks the connection off."""
    gathered = _gathered(pieces)
    body = chain([next(gathered, "")], gathered)
    return StreamingResponse(body, media_type=media_type, headers=headers)


def _gathered(pieces: Iterable[str]) -> Iterator[str]:
    """``pieces`` joined to longer ones."""
    held: list[str] = []
    length = 0
    for piece in pieces:
        held.append(piece)
        length += len(piece)
        if length >= PIECE:
            yield "".join(held)
            held, length = [], 0
    yield "".join(held)
