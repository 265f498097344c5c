"""Decodes images outside the event loop, except small ones; descriptions are cached by content."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import TypeVar

from overstory.sandbox.errors import wrong_input
from overstory.sandbox.vision.canary import may_show_a_word, word_on
from overstory.sandbox.vision.describe import (
    FORMATS,
    SMALL_BYTES,
    Description,
    describe_if_small,
    describe_image,
)

Argument = TypeVar("Argument")
Result = TypeVar("Result")

CACHED_MAX = 20_000
MEDIA_TYPES = {f"image/{name}": name for name in FORMATS.values()} | {"image/jpg": "jpeg"}


@dataclass(frozen=True, slots=True)
class Picture:
    """One image of a request; ``size`` is what counts toward the request's bytes."""

    sha: str
    size: int
    description: Description


class Decoder:
    """Decodes images in worker threads. Only the event loop uses the cache."""

    def __init__(self, threads: int = 2) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self._cache: OrderedDict[str, Description] = OrderedDict()

    async def decode(self, data: bytes) -> Picture:
        """The picture in ``data``. Raises Refusal 400 if it cannot be decoded."""
        sha = _sha(data) if len(data) <= SMALL_BYTES else await self.sha(data)
        description = self._cached(sha) or self._store(sha, await self._describe(data, sha))
        return Picture(sha, len(data), description)

    async def decode_inline(self, url: str, strict_mime: bool) -> Picture:
        """The picture in a data URL; its size is the size of the base64 text.

        Raises Refusal 400 for another media type, broken base64, or bytes that are not an image.
        """
        head, _, text = url.partition(",")
        media = head.removeprefix("data:").removesuffix(";base64")
        if media not in MEDIA_TYPES or not head.endswith(";base64"):
            raise wrong_input(f"unsupported data URL: {head[:60]}")
        picture = await self.decode(await self._in_thread(_decoded, text))
        if strict_mime and picture.description.format != MEDIA_TYPES[media]:
            raise wrong_input(f"the data is {picture.description.format}, not {media}")
        return Picture(picture.sha, len(text), picture.description)

    async def sha(self, data: bytes) -> str:
        return await self._in_thread(_sha, data)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _describe(self, data: bytes, sha: str) -> Description:
        description = describe_if_small(data)
        if description is None:
            description = await self._in_thread(describe_image, data)
        if may_show_a_word(description):
            word = await self._in_thread(
                partial(word_on, width=description.width, height=description.height), sha
            )
            return replace(description, word=word)
        return description

    async def _in_thread(self, work: Callable[[Argument], Result], argument: Argument) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, argument)

    def _cached(self, sha: str) -> Description | None:
        description = self._cache.get(sha)
        if description:
            self._cache.move_to_end(sha)
        return description

    def _store(self, sha: str, description: Description) -> Description:
        self._cache[sha] = description
        while len(self._cache) > CACHED_MAX:
            self._cache.popitem(last=False)
        return description


def inline_size(urls: Sequence[str]) -> int:
    """The size of the base64 text in the data URLs of ``urls``; nothing is decoded."""
    return sum(len(url) - url.find(",") - 1 for url in urls if url.startswith("data:"))


def _sha(data: bytes) -> str:
    return sha256(data).hexdigest()


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise wrong_input("broken base64 in a data URL") from error
