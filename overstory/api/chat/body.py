"""The body of a request, parsed as it arrives: its images go to the uploads, and no more than a
piece of one is in memory.

What is left is small: the numbers of values, characters and levels are bounded, whatever comes.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import ijson

from core.text.printable import quotable
from core.text.sanitize import DEPTH_MAX
from overstory.api.chat.inline import EXAMPLE, HEAD, HEAD_BYTES_MAX, Begin, IncomingImage, Inline
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
    """Reads one JSON object. ``begin`` opens an upload; ``images_max``: images of a request;
    ``image_bytes_max``: bytes of one of them. ``abort`` it if it was not read to its end."""

    def __init__(self, begin: Begin, images_max: int, image_bytes_max: int) -> None:
        self._begin = begin
        self._image_bytes_max = image_bytes_max
        self._values_left = VALUES_OF_AN_IMAGE * images_max + VALUES_BESIDE
        self._characters_left = CHARACTERS_MAX
        self._bytes_left = BYTES_OF_ALL_MAX
        self._unread = 0  # bytes that the parser has of a value that has not ended
        self._held = b""  # what may be the beginning of a data URL
        self._image: IncomingImage | None = None
        self._images = 0
        self._inline: Inline | None = None  # what the string that ends now stands for
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
        self._scan(self._held + data, is_last=False)

    def end(self) -> dict[str, Any]:
        """The object, in which an ``Inline`` stands for each image. Raises Refusal."""
        self._scan(self._held, is_last=True)
        try:
            self._parser.close()
        except (ijson.JSONError, ValueError) as error:
            raise _broken(error) from None
        self._read_events()
        if not isinstance(self._whole, dict):
            raise Refusal("the request is not a JSON object")
        return self._whole

    def abort(self) -> None:
        """Drop the image that is arriving."""
        if self._image is not None:
            self._image.abort()

    def _scan(self, data: bytes, is_last: bool) -> None:
        """Give images to the uploads and everything else to the parser, which reads the head of a
        data URL alone."""
        at = 0
        self._held = b""
        while at < len(data):
            if self._image is not None:
                end = data.find(b'"', at)
                self._image.write(data[at:] if end < 0 else data[at:end])
                if end < 0:
                    return
                at = end
                self._inline, self._image = self._image.finish(), None
            head = HEAD.search(data, at)
            if head is None:
                stop = len(data) if is_last else _end_without_head(data, at)
                self._send(data[at:stop])
                self._held = data[stop:]
                return
            self._send(data[at : head.end()])
            at = head.end()
            if self._is_image(path := self._path()):
                self._images += 1
                kind = head[1].replace(b"\\", b"").decode("ascii", "replace")
                self._image = IncomingImage(
                    self._begin, place(path[:4]), kind, self._images, self._image_bytes_max
                )

    def _send(self, data: bytes) -> None:
        if not data:
            return
        self._unread += len(data)
        if self._unread > CHARACTERS_MAX + len(data):
            raise Refusal(
                f"a value of the request has more than {CHARACTERS_MAX:,} bytes",
                status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            )
        try:
            self._parser.send(data)
        except (ijson.JSONError, ValueError) as error:
            raise _broken(error) from None
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
        if self._inline is not None:
            raise Refusal(f"a key of {self._place()} is a data URL")
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
        """``value``, or what stands for an image."""
        if self._inline is not None:
            inline, self._inline = self._inline, None
            return inline
        if isinstance(value, str) and value[:5].lower() == "data:":
            path = self._path()
            if self._is_image(path):
                where = place(path[:4])
                raise Refusal(f"{where}: the data URL is not like {EXAMPLE}", where)
        return value

    def _is_image(self, path: list[str | int]) -> bool:
        """Whether the value at ``path`` is an image."""
        return tuple(path[4:]) in _PLACES and (path[0], path[2]) == ("messages", "content")

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


def _end_without_head(data: bytes, at: int) -> int:
    """Where the part of ``data`` ends in which no data URL begins. It keeps the character before a
    quote, which may escape it."""
    quote = data.rfind(b'"', max(at, len(data) - HEAD_BYTES_MAX))
    return len(data) if quote < 0 else max(at, quote - 1)


def _broken(error: Exception) -> Refusal:
    reason = str(error).removeprefix("b'").partition("\n")[0].partition("\\n")[0]
    return Refusal(f"the request is not valid JSON: {reason}", code="invalid_json")
