"""Decoding off the event loop (but for small images), with what was seen remembered by content."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeVar

from overstory.sandbox.errors import wrong_input
from overstory.sandbox.vision.describe import FORMATS, QUICK_BYTES, Description, look_at, quick_look

Given = TypeVar("Given")
Made = TypeVar("Made")

REMEMBERED = 20_000
MEDIA_TYPES = {f"image/{name}": name for name in FORMATS.values()} | {"image/jpg": "jpeg"}


@dataclass(frozen=True, slots=True)
class Picture:
    """One image as a request brought it; ``size`` is what counts toward the request's bytes."""

    sha: str
    size: int
    look: Description


class Decoder:
    """Looks at images in worker threads. The memory is only touched on the event loop."""

    def __init__(self, threads: int = 2) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="eyes")
        self._memory: OrderedDict[str, Description] = OrderedDict()

    async def see(self, data: bytes) -> Picture:
        """The picture in ``data``. Raises Refusal 400 when it cannot be decoded."""
        sha = _sha(data) if len(data) <= QUICK_BYTES else await self.sha(data)
        look = self._recall(sha) or self._keep(sha, await self._looked(data))
        return Picture(sha, len(data), look)

    async def see_inline(self, url: str, strict_mime: bool) -> Picture:
        """The picture in a data URL; its size is that of the base64 text.

        Raises Refusal 400 for another media type, broken base64 or an undecodable image.
        """
        head, _, text = url.partition(",")
        media = head.removeprefix("data:").removesuffix(";base64")
        if media not in MEDIA_TYPES or not head.endswith(";base64"):
            raise wrong_input(f"unsupported data URL: {head[:60]}")
        picture = await self.see(await self._away(_decoded, text))
        if strict_mime and picture.look.format != MEDIA_TYPES[media]:
            raise wrong_input(f"the data is {picture.look.format}, not {media}")
        return Picture(picture.sha, len(text), picture.look)

    async def sha(self, data: bytes) -> str:
        """The sha256 of ``data``, in hex."""
        return await self._away(_sha, data)

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _looked(self, data: bytes) -> Description:
        look = quick_look(data)
        return await self._away(look_at, data) if look is None else look

    async def _away(self, work: Callable[[Given], Made], given: Given) -> Made:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, given)

    def _recall(self, sha: str) -> Description | None:
        look = self._memory.get(sha)
        if look:
            self._memory.move_to_end(sha)
        return look

    def _keep(self, sha: str, look: Description) -> Description:
        self._memory[sha] = look
        while len(self._memory) > REMEMBERED:
            self._memory.popitem(last=False)
        return look


def inline_size(urls: Sequence[str]) -> int:
    """The bytes of base64 in the data URLs among ``urls``, before any is decoded."""
    return sum(len(url) - url.find(",") - 1 for url in urls if url.startswith("data:"))


def _sha(data: bytes) -> str:
    return sha256(data).hexdigest()


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise wrong_input("broken base64 in a data URL") from error
