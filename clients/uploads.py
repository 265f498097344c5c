"""Images that people and programs have uploaded: by owner, and by the hash of their bytes.

They are apart from the prepared images: in a folder beside them, or below ``uploads/`` in the same
bucket. What came by a presigned PUT of the bucket is not read here, so its hash is only a name.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import secrets
import shutil
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, TypeVar

from clients.blobs import folder_of
from clients.bucket import Bucket
from core.errors import ImageRefused, RefusalCode, ServiceAway, WrongUsage
from core.images import uploaded

FOLDER = "uploads"
PARTS = "_parts"
"""The folder of uploads that are not complete. No owner's folder has this name."""
AT_ONCE = 16
"""Requests to a bucket at the same time, about the uploads of one job."""
FREE_BYTES = 500_000_000
"""Left on the disk of the folder: the database may be on it, too."""
ABANDONED_SECONDS = 3_600.0
"""Nothing was written to an upload for so long: its process was killed."""


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


T = TypeVar("T")
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


def _put(uploads: Uploads, owner: str, data: bytes) -> Upload:
    incoming = uploads.begin(owner)
    incoming.write(data)
    return incoming.finish()


class FolderUploads:
    """Uploads as files, in a folder for each owner, below the first two characters of the hash.

    A reader never sees a partial file. What a killed process leaves is in ``_parts``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begin(self, owner: str) -> Incoming:
        incoming = _IncomingFile(self, owner)
        with self.as_ours():
            free = shutil.disk_usage(self.folder).free
        if free < FREE_BYTES:
            incoming.abort()
            raise ServiceAway(
                f"the disk of {self.folder} is nearly full ({free / 1e6:,.0f} MB are free): free"
                " space, or delete old jobs with 'overstory prune'"
            )
        return incoming

    def put(self, owner: str, data: bytes) -> Upload:
        return _put(self, owner, data)

    def size(self, owner: str, sha256: str) -> int | None:
        path = self.path(owner, sha256)
        with self.as_ours():
            try:
                with contextlib.suppress(PermissionError):  # another user's file
                    os.utime(path, follow_symlinks=False)
                return path.lstat().st_size
            except FileNotFoundError:
                return None

    def sizes(self, keys: Sequence[Key]) -> Mapping[Key, int]:
        return {key: size for key in keys if (size := self.size(*key)) is not None}

    def heads(self, keys: Sequence[Key], first: int) -> Mapping[Key, Head]:
        heads = {}
        for key in keys:
            size = self.size(*key)
            if size is not None:
                with self.as_ours(), self.path(*key).open("rb") as file:
                    heads[key] = Head(size, file.read(first))
        return heads

    def path(self, owner: str, sha256: str) -> Path:
        return self.folder / uploaded.folder_name(owner) / sha256[:2] / sha256

    def save(self, owner: str, sha256: str, path: Path, max_bytes: int | None = None) -> None:
        raise NotImplementedError("its file is at path()")

    def signed_put(self, owner: str, sha256: str, seconds: float) -> str | None:
        return None

    def kept(self, before: float) -> Iterator[Kept]:
        for owner, folder in self._owners():
            for place in _entries(folder):
                for entry in _entries(place.path):
                    with contextlib.suppress(FileNotFoundError):
                        status = entry.stat(follow_symlinks=False)
                        if uploaded.is_sha256(entry.name) and status.st_mtime < before:
                            yield Kept(owner, entry.name, status.st_size, status.st_mtime)

    def drop(self, upload: Kept, before: float) -> bool:
        path = self.path(upload.owner, upload.sha256)
        with self.as_ours():
            try:
                if path.lstat().st_mtime >= before:
                    return False
                path.unlink()
            except FileNotFoundError:
                return False
        return True

    def delete_parts(self) -> int:
        gone = 0
        for entry in _entries(self.folder / PARTS):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - entry.stat(follow_symlinks=False).st_mtime > ABANDONED_SECONDS:
                    Path(entry.path).unlink()
                    gone += 1
        return gone

    def check(self) -> None:
        with self.as_ours():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.folder) as probe:
                probe.write(b"overstory")

    @contextlib.contextmanager
    def as_ours(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ServiceAway(
                f"the folder of uploads {self.folder} cannot be used: {error.strerror or error};"
                " free space or set OVERSTORY_BLOB_URL"
            ) from error

    def _owners(self) -> Iterator[tuple[str, str]]:
        for entry in _entries(self.folder):
            owner = uploaded.owner_of(entry.name)
            if owner is not None and entry.is_dir(follow_symlinks=False):
                yield owner, entry.path


def _entries(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        yield from entries


_TREE = secrets.token_hex(6)
"""Distinguishes this process and its forks from processes on other machines that share a folder."""
_writes = itertools.count()


class _IncomingFile(Incoming):
    def __init__(self, store: FolderUploads, owner: str) -> None:
        super().__init__(owner)
        self._store = store
        self._path = store.folder / PARTS / f"{_TREE}-{os.getpid()}-{next(_writes)}"
        with store.as_ours():
            self._file: IO[bytes] = _new_file(self._path)

    def _write(self, data: bytes) -> None:
        with self._store.as_ours():
            self._file.write(data)

    def _finish(self, sha256: str) -> bool:
        path = self._store.path(self.owner, sha256)
        with self._store.as_ours():
            self._file.close()
            fresh = not path.exists()
            for folder in (path.parent.parent, path.parent):
                folder.mkdir(mode=0o700, exist_ok=True)
            self._path.replace(path)
        return fresh

    def abort(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self._path.unlink()


def _new_file(path: Path) -> IO[bytes]:
    """Create a file that only its owner can read. Creates its folder if needed."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileNotFoundError:
        path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path, flags, 0o600)
    return os.fdopen(descriptor, "wb")


class BucketUploads:
    """Uploads as objects of a bucket. What arrives here is on this machine's disk until its hash is
    known, in a file without a name: nothing is left of it if the process is killed."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def begin(self, owner: str) -> Incoming:
        return _IncomingObject(self._bucket, owner)

    def put(self, owner: str, data: bytes) -> Upload:
        return _put(self, owner, data)

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


def open_uploads(url: str | None, home: Path) -> Uploads:
    """The uploads beside the blobs at ``url`` (file:///folder or s3://bucket/prefix); None: in a
    folder of ``home``."""
    if url is None:
        return FolderUploads(home / FOLDER)
    if (bucket := Bucket.at(url)) is not None:
        return BucketUploads(bucket)
    return FolderUploads((folder_of(url) or home) / FOLDER)
