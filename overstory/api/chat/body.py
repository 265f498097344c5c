"""The body of a request, parsed as it arrives: its images go to the uploads one by one, so that no
more than one of them is in memory.

What is left is small: the numbers of values, characters and levels are bounded, whatever comes.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import ijson

from core.text.printable import quotable
from core.text.sanitize import DEPTH_MAX
from overstory.api.chat.inline import BYTES_MAX, TEXT_MAX, Begin, store
from overstory.api.openai_errors import Refusal

BYTES_OF_ALL_MAX = 1_000_000_000
CHARACTERS_MAX = 20_000_000
"""Of all texts, URLs and names together, without the images."""
VALUES_OF_AN_IMAGE = 6
VALUES_BESIDE = 100_000
LEVELS_MAX = DEPTH_MAX + 10  # a schema may have DEPTH_MAX of them
_PLACES = (("image_url", "url"), ("image_url",), ("file", "file_data"))
"""Where a part of a message has its image."""


class Body:
    """Reads one JSON object. ``images_max``: of a request; ``begin``: opens an upload."""

    def __init__(self, begin: Begin, images_max: int) -> None:
        self._begin = begin
        self._values_left = VALUES_OF_AN_IMAGE * images_max + VALUES_BESIDE
        self._characters_left = CHARACTERS_MAX
        self._bytes_left = BYTES_OF_ALL_MAX
        self._unread = 0  # bytes that the parser has of a value that has not ended
        self._held = bytearray()
        self._images = 0
        self._events = ijson.sendable_list()
        self._parser = ijson.basic_parse_coro(self._events, use_float=True)
        self._open: list[dict[str, Any] | list[Any]] = []
        self._keys: list[str] = []  # of the open objects, each the one that was read last
        self._whole: Any = None

    def feed(self, data: bytes) -> None:
        """Read the next bytes. Raises Refusal."""
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            raise too_large()
        self._held += data
        if len(self._held) > self._unread:  # the parser reads an unended value from its start again
            self._send()

    def end(self) -> dict[str, Any]:
        """The object, in which an ``Inline`` stands for each image. Raises Refusal."""
        if self._held:
            self._send()
        try:
            self._parser.close()
        except (ijson.JSONError, ValueError) as error:
            raise _broken(error) from None
        self._read_events()
        if not isinstance(self._whole, dict):
            raise Refusal("the request is not a JSON object")
        return self._whole

    def _send(self) -> None:
        self._unread += len(self._held)
        if self._unread > 2 * TEXT_MAX:
            raise Refusal(
                "a value of the request is too long: an image larger than"
                f" {BYTES_MAX // 1_000_000} MB has to be a URL",
                status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            )
        try:
            self._parser.send(bytes(self._held))
        except (ijson.JSONError, ValueError) as error:
            raise _broken(error) from None
        self._held.clear()
        self._read_events()

    def _read_events(self) -> None:
        if self._events:
            self._unread = 0
        for event, value in self._events:
            match event:
                case "start_map":
                    self._begin_container({})
                    self._keys.append("")
                case "start_array":
                    self._begin_container([])
                case "end_map":
                    self._open.pop()
                    self._keys.pop()
                case "end_array":
                    self._open.pop()
                case "map_key":
                    self._key(value)
                case _:
                    self._add(self._taken(value))
        del self._events[:]

    def _begin_container(self, container: dict[str, Any] | list[Any]) -> None:
        self._add(container)
        self._open.append(container)
        if len(self._open) > LEVELS_MAX:
            raise Refusal(f"the request is nested deeper than {LEVELS_MAX} levels")

    def _key(self, key: str) -> None:
        self._count(len(key))
        container = self._open[-1]
        if key in container:
            raise Refusal(f"the key {quotable(key, 60)!r} is there twice in {self._place()}")
        self._keys[-1] = key

    def _add(self, value: Any) -> None:
        self._count(len(value) if isinstance(value, str) else 0)
        if not self._open:
            self._whole = value
        elif isinstance(container := self._open[-1], list):
            container.append(value)
        else:
            container[self._keys[-1]] = value

    def _count(self, characters: int) -> None:
        self._values_left -= 1
        self._characters_left -= characters
        if self._values_left < 0 or self._characters_left < 0:
            what = "values" if self._values_left < 0 else "characters beside its images"
            raise Refusal(
                f"the request has too many {what}: ask about fewer images at once",
                status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            )

    def _taken(self, value: Any) -> Any:
        """``value``, or an Inline for an image."""
        if not isinstance(value, str) or value[:5].lower() != "data:":
            return value
        path = self._path()
        if tuple(path[4:]) not in _PLACES or (path[0], path[2]) != ("messages", "content"):
            return value
        self._images += 1
        return store(value, place(path[:4]), self._images, self._begin)

    def _path(self) -> list[str | int]:
        """Where the next value belongs: names of objects and indexes of lists."""
        keys = iter(self._keys)
        innermost = len(self._open) - 1
        return [  # a list holds the open container already, and not yet the next value
            len(step) - (depth < innermost) if isinstance(step, list) else next(keys)
            for depth, step in enumerate(self._open)
        ]

    def _place(self) -> str:
        return place(self._path()[:-1]) or "the request"


def too_large() -> Refusal:
    return Refusal(
        f"a request may have {BYTES_OF_ALL_MAX:,} bytes: give URLs of images, or ask about fewer"
        " at once",
        status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    )


def place(path: list[str | int]) -> str:
    """``messages[0].content[17]``."""
    parts = [f"[{step}]" if isinstance(step, int) else f".{quotable(step, 60)}" for step in path]
    return "".join(parts).removeprefix(".")


def _broken(error: Exception) -> Refusal:
    reason = str(error).removeprefix("b'").partition("\n")[0].partition("\\n")[0]
    return Refusal(f"the request is not valid JSON: {reason}", code="invalid_json")
