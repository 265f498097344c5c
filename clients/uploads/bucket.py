"""Uploads as objects of a bucket."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TypeVar

from clients.bucket import Bucket
from clients.uploads.store import (
    FOLDER,
    Head,
    Incoming,
    Kept,
    Key,
    Upload,
    gone,
    put_whole,
    too_large,
)
from core.errors import ServiceAway
from core.images import uploaded

AT_ONCE = 16
"""Requests at the same time, about the uploads of one job."""
T = TypeVar("T")


class BucketUploads:
    """Uploads as objects of a bucket. What arrives here is on this machine's disk until its hash is
    known, in a file without a name: nothing is left of it if the process is killed."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def begin(self, owner: str) -> Incoming:
        return _IncomingObject(self._bucket, owner)

    def put(self, owner: str, data: bytes) -> Upload:
        return put_whole(self, owner, data)

    def size(self, owner: str, sha256: str) -> int | None:
        stored = self._bucket.stored(_key(owner, sha256))
        return stored.bytes if stored else None

    def sizes(self, keys: Sequence[Key]) -> Mapping[Key, int]:
        return _of_each(keys, lambda key: self.size(*key))

    def heads(self, keys: Sequence[Key], first: int) -> Mapping[Key, Head]:
        found = _of_each(keys, lambda key: self._bucket.head(_key(*key), first))
        return {key: Head(*head) for key, head in found.items()}

    def path(self, owner: str, sha256: str) -> Path | None:
        return None

    def save(self, owner: str, sha256: str, path: Path, max_bytes: int | None = None) -> None:
        size = self.size(owner, sha256)
        if size is not None and max_bytes is not None and size > max_bytes:
            raise too_large(size, max_bytes)
        if size is None or not self._bucket.save(_key(owner, sha256), path):
            raise gone()

    def signed_put(self, owner: str, sha256: str, seconds: float) -> str | None:
        return self._bucket.signed_put(_key(owner, sha256), seconds)

    def kept(self, before: float) -> Iterator[Kept]:
        for stored in self._bucket.listed(FOLDER):
            *_, folder, _, sha256 = ["", "", *stored.key.split("/")]
            owner = uploaded.owner_of(folder)
            if owner is not None and uploaded.is_sha256(sha256) and stored.changed < before:
                yield Kept(owner, sha256, stored.bytes, stored.changed)

    def drop(self, upload: Kept, before: float) -> bool:
        key = _key(upload.owner, upload.sha256)
        stored = self._bucket.stored(key)
        if stored is None or stored.changed >= before:
            return False
        self._bucket.delete(key)
        return True

    def delete_parts(self) -> int:
        return 0

    def check(self) -> None:
        self._bucket.check()


def _of_each(keys: Sequence[Key], ask: Callable[[Key], T | None]) -> dict[Key, T]:
    """What ``ask`` tells of each key. Nothing is asked of no keys: that would start threads."""
    if not keys:
        return {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = zip(keys, pool.map(ask, keys), strict=True)
        return {key: value for key, value in found if value is not None}


def _key(owner: str, sha256: str) -> str:
    return f"{FOLDER}/{uploaded.folder_name(owner)}/{sha256[:2]}/{sha256}"


class _IncomingObject(Incoming):
    def __init__(self, bucket: Bucket, owner: str) -> None:
        super().__init__(owner)
        self._bucket = bucket
        with _as_ours():
            self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115

    def _write(self, data: bytes) -> None:
        with _as_ours():
            self._file.write(data)

    def _finish(self, sha256: str) -> bool:
        key = _key(self.owner, sha256)
        fresh = self._bucket.stored(key) is None
        self._bucket.put_file(key, self._file)  # again: an object in a bucket has no other way
        self._file.close()  # to become new
        return fresh

    def abort(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()


@contextlib.contextmanager
def _as_ours() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ServiceAway(
            f"an upload cannot be kept in {tempfile.gettempdir()}: {error.strerror or error};"
            " free space, or set TMPDIR"
        ) from error
