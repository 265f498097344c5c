"""Uploads the local files of a submission: those that the service does not have."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from overstory_client import calls
from overstory_client._async import io
from overstory_client._async.transport import AsyncTransport
from overstory_client.calls import Put
from overstory_client.errors import ServiceFailed
from overstory_client.files import Hashed, Input, LocalFile, hashed, listed

ASKED_AT_ONCE = 100
"""Files of one question about what is missing."""
HASHED_AT_ONCE = 2
SENT_AT_ONCE = 6

Uploaded = Callable[[int, int], None]
"""Called with the number of files that are there, and of all."""


class AsyncUploads:
    """Uploads to one service."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def inputs(self, images: Sequence[Input], uploaded: Uploaded | None) -> list[str]:
        """``images`` as inputs of a job, in their order, after their upload. Raises
        OverstoryError; the same call goes on where it was."""
        found = await io.in_thread(listed, images)
        files = [item for item in found if isinstance(item, LocalFile)]
        names: list[str] = []
        for start in range(0, len(files), ASKED_AT_ONCE):
            names += await self._upload(files[start : start + ASKED_AT_ONCE])
            if uploaded is not None:
                uploaded(len(names), len(files))
        given = iter(names)
        return [next(given) if isinstance(item, LocalFile) else item for item in found]

    async def _upload(self, files: Sequence[LocalFile]) -> list[str]:
        """The inputs of some files."""
        read = await io.at_once(_hashed, files, HASHED_AT_ONCE)
        asked = [{"sha256": f.sha256, "bytes": f.bytes, "name": f.name} for f in read]
        wanted = await self._transport.send(calls.uploads(asked))
        if len(wanted) != len(read):
            raise ServiceFailed("the service did not answer for every upload")
        missing = {
            file.sha256: (file, want.put)
            for file, want in zip(read, wanted, strict=True)
            if want.put is not None
        }
        await io.at_once(self._put, list(missing.values()), SENT_AT_ONCE)
        return [want.input for want in wanted]

    async def _put(self, missing: tuple[Hashed, Put]) -> None:
        file, put = missing
        await self._transport.put(put, file.path, file.bytes)


async def _hashed(file: LocalFile) -> Hashed:
    return await io.in_thread(hashed, file)
