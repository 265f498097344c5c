"""What a store of uploads does, and an upload while it arrives."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from core.errors import ImageRefused, RefusalCode, WrongUsage
from core.images import uploaded

FOLDER = "uploads"


@dataclass(frozen=True, slots=True)
class Upload:
    """``fresh``: it was not there before."""

    sha256: str
    bytes: int
    fresh: bool = True


@dataclass(frozen=True, slots=True)
class Head:
    """An upload's size in bytes, and its first ones."""

    size: int
    first: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """An upload in the store; ``changed``: when it was uploaded or asked for (Unix seconds)."""

    owner: str
    sha256: str
    bytes: int
    changed: float

    @property
    def location(self) -> str:
        return uploaded.location_of(self.owner, self.sha256)


Key = tuple[str, str]
"""Owner and hash."""


class Uploads(Protocol):
    """A store of uploads. Every method may raise ServiceAway."""

    def begin(self, owner: str) -> Incoming:
        """An upload that is about to arrive. Nothing of it is visible before it is finished."""

    def put(self, owner: str, data: bytes) -> Upload:
        """Store something small."""

    def size(self, owner: str, sha256: str) -> int | None:
        """Its size in bytes, or None if it is not there. In a folder it is new again, so that no
        prune deletes it before it is submitted."""

    def sizes(self, keys: Sequence[Key]) -> Mapping[Key, int]:
        """The sizes of those that are there, as ``size`` tells them."""

    def heads(self, keys: Sequence[Key], first: int) -> Mapping[Key, Head]:
        """The size and ``first`` bytes of each upload that is there, which is new again as after
        ``size``."""

    def path(self, owner: str, sha256: str) -> Path | None:
        """Where the file is; None if it is in a bucket."""

    def save(self, owner: str, sha256: str, path: Path, max_bytes: int | None = None) -> None:
        """Write a copy to a new file. Raises ImageRefused: MISSING, TOO_LARGE_FILE."""

    def signed_put(self, owner: str, sha256: str, seconds: float) -> str | None:
        """A URL that takes the upload for so long; None if there is none: PUT it to the service."""

    def kept(self, before: float) -> Iterator[Kept]:
        """All uploads that have not changed since ``before`` (Unix seconds)."""

    def drop(self, upload: Kept, before: float) -> bool:
        """Delete an upload, unless it has changed since ``before``. Whether it was there."""

    def delete_parts(self) -> int:
        """Delete what killed processes have left. Returns the number of files."""

    def check(self) -> None:
        """Write and remove something small."""


class Incoming(ABC):
    """An upload while it arrives. Only what is written at the moment is in memory."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.bytes = 0
        self._hash = hashlib.sha256()

    def write(self, data: bytes) -> None:
        """Raises ServiceAway; then it is aborted."""
        with self._aborted():
            self._write(data)
        self._hash.update(data)
        self.bytes += len(data)

    def finish(self, sha256: str | None = None) -> Upload:
        """Make it visible. ``sha256``: what it must be. Raises WrongUsage if it is not, and
        ServiceAway; then it is aborted."""
        digest = self._hash.hexdigest()
        with self._aborted():
            if sha256 not in (None, digest):
                raise WrongUsage(
                    f"the hash of the {self.bytes:,} bytes that arrived is {digest}, not {sha256}:"
                    " send the file again, or name it by its hash"
                )
            return Upload(digest, self.bytes, self._finish(digest))

    @contextlib.contextmanager
    def _aborted(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.abort()
            raise

    @abstractmethod
    def _write(self, data: bytes) -> None: ...

    @abstractmethod
    def _finish(self, sha256: str) -> bool:
        """Whether it was not there before."""

    @abstractmethod
    def abort(self) -> None:
        """Delete what has arrived. It may be called after the end, too."""


def put_whole(uploads: Uploads, owner: str, data: bytes) -> Upload:
    incoming = uploads.begin(owner)
    incoming.write(data)
    return incoming.finish()


@contextlib.contextmanager
def local(
    uploads: Uploads, owner: str, sha256: str, max_bytes: int | None = None
) -> Iterator[Path]:
    """The upload as a file: of a bucket, a copy for the block. Raises ImageRefused."""
    path = uploads.path(owner, sha256)
    if path is None:
        with tempfile.TemporaryDirectory(prefix="overstory-") as folder:
            path = Path(folder) / sha256
            uploads.save(owner, sha256, path, max_bytes)
            yield path
    elif path.exists():
        yield path
    else:
        raise gone()


def gone() -> ImageRefused:
    reason = "the upload is not there any more: upload the file again, and retry the job"
    return ImageRefused(RefusalCode.MISSING, reason)


def too_large(size: int, most: int) -> ImageRefused:
    reason = f"the upload has {size} bytes, more than the {most} allowed (OVERSTORY_MAX_FILE_BYTES)"
    return ImageRefused(RefusalCode.TOO_LARGE_FILE, reason)
