"""Answers of the API that are sent in pieces."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest

from core.errors import ServiceAway
from overstory.api.streams import PIECE, streamed
from overstory.output.terminal import json_array


async def _read(body: object) -> list[str]:
    return [piece async for piece in body]  # type: ignore[attr-defined]


def test_small_pieces_are_sent_together_and_made_when_they_are_sent() -> None:
    made = 0

    def pieces() -> Iterator[str]:
        nonlocal made
        for _ in range(200):
            made += 1
            yield "x" * 1_024

    response = streamed(pieces(), "text/plain", {"X-Name": "a"})
    assert made == 64
    sent = asyncio.run(_read(response.body_iterator))
    assert [len(piece) for piece in sent] == [PIECE, PIECE, PIECE, 8 * 1_024]
    assert response.headers["X-Name"] == "a"


def test_nothing_is_an_empty_body() -> None:
    assert asyncio.run(_read(streamed([], "text/plain").body_iterator)) == [""]


def test_an_error_in_the_first_pieces_is_raised_before_the_answer_begins() -> None:
    def pieces() -> Iterator[str]:
        yield "["
        raise ServiceAway("the database does not answer")

    with pytest.raises(ServiceAway):
        streamed(pieces(), "application/json")


@pytest.mark.parametrize("values", [[], [1], ["a", None, {"b": [2, 3]}]])
def test_an_array_is_the_line_of_its_list(values: list[object]) -> None:
    pieces = list(json_array(iter(values)))
    assert "".join(pieces) == json.dumps(values)
    assert len(pieces) == len(values) + 1
