"""A content-addressed store for prepared images: a folder or a bucket that all workers share."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import tempfile
import time
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import unquote, urlsplit

from clients.bucket import Bucket
from core.errors import ServiceAway, WrongUsage


class Blobs(Protocol):
    """A content-addressed store. Every method may raise ServiceAway."""

    def put(self, sha256: str, data: bytes) -> None:
        """Store ``data`` under its hash. Does nothing if it is stored already."""

    def get(self, sha256: str) -> bytes | None:
        """The content, or None if it was never stored or has been pruned."""

    def size(self, sha256: str) -> int | None:
        """The content's size in bytes, or None if it is not stored."""

    def drop(self, sha256: str, fresh_seconds: float) -> int | None:
        """Delete a blob if its last ``put`` is at least ``fresh_seconds`` ago. Returns its size in
        bytes, or None if it was not there or is too fresh to delete."""

    def check(self) -> None:
        """Write and remove a small blob. Raises ServiceAway with the reason on failure."""


class FolderBlobs:
    """Blobs as files, in subfolders named by the first two characters of the hash.

    A reader never sees a partial file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, sha256: str, data: bytes) -> None:
        path = self._path(sha256)
        try:
            os.utime(path, follow_symlinks=False)  # fresh again, so that a prune leaves it
        except FileNotFoundError:
            pass
        except PermissionError:
            return  # the file exists and belongs to another user
        except OSError as error:
            raise _unusable(self.folder, error) from error
        else:
            return
        try:
            self._write(path, data)
        except OSError as error:
            raise _unusable(self.folder, error) from error

    def get(self, sha256: str) -> bytes | None:
        try:
            descriptor = os.open(self._path(sha256), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unusable(self.folder, error) from error

    def size(self, sha256: str) -> int | None:
        status = self._stat(sha256)
        return status.st_size if status else None

    def drop(self, sha256: str, fresh_seconds: float) -> int | None:
        status = self._stat(sha256)
        if status is None or time.time() - status.st_mtime < fresh_seconds:
            return None
        try:
            self._path(sha256).unlink(missing_ok=True)
        except OSError as error:
            raise _unusable(self.folder, error) from error
        return status.st_size

    def _stat(self, sha256: str) -> os.stat_result | None:
        try:
            return self._path(sha256).lstat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unusable(self.folder, error) from error

    def check(self) -> None:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.folder) as probe:
                probe.write(b"overstory")
        except OSError as error:
            raise _unusable(self.folder, error) from error

    def _path(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / sha256

    def _write(self, path: Path, data: bytes) -> None:
        # this runs once an image, and making a name this way costs half of what tempfile takes
        temporary = path.parent / f".part-{_TREE}-{os.getpid()}-{next(_writes)}"
        try:
            with _new_file(temporary) as file:
                file.write(data)
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise


_TREE = secrets.token_hex(6)
"""Distinguishes this process and its forks from processes on other machines that share a folder."""
_writes = itertools.count()


def _new_file(path: Path) -> BinaryIO:
    """Create a file that only its owner can read. Creates its folder if needed."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        return os.fdopen(os.open(path, flags, 0o600), "wb")
    except FileNotFoundError:
        path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        return os.fdopen(os.open(path, flags, 0o600), "wb")


class S3Blobs:
    """Blobs as objects of a bucket. ``put`` does not check first: it would write the same bytes."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def put(self, sha256: str, data: bytes) -> None:
        self._bucket.put(_key(sha256), data)

    def get(self, sha256: str) -> bytes | None:
        return self._bucket.get(_key(sha256))

    def size(self, sha256: str) -> int | None:
        stored = self._bucket.stored(_key(sha256))
        return stored.bytes if stored else None

    def drop(self, sha256: str, fresh_seconds: float) -> int | None:
        stored = self._bucket.stored(_key(sha256))
        if stored is None or time.time() - stored.changed < fresh_seconds:
            return None
        self._bucket.delete(_key(sha256))
        return stored.bytes

    def check(self) -> None:
        self._bucket.check()


def _key(sha256: str) -> str:
    return f"{sha256[:2]}/{sha256}"


def open_blobs(url: str | None, home: Path) -> Blobs:
    """The store at ``url`` (file:///folder or s3://bucket/prefix); None: a folder in ``home``.

    Raises WrongUsage for a scheme that is not supported.
    """
    if url is None:
        return FolderBlobs(home / "blobs")
    if (folder := folder_of(url)) is not None:
        return FolderBlobs(folder)
    if (bucket := Bucket.at(url)) is not None:
        return S3Blobs(bucket)
    raise WrongUsage(
        f"OVERSTORY_BLOB_URL: {url!r} is not supported; use file:///folder or s3://bucket/prefix"
    )


def folder_of(url: str) -> Path | None:
    """The folder of ``file:///folder``; None for another URL."""
    parts = urlsplit(url)
    is_local = parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path
    return Path(unquote(parts.path)) if is_local else None


def _unusable(folder: Path, error: OSError) -> ServiceAway:
    reason = error.strerror or str(error)
    return ServiceAway(
        f"the blob folder {folder} cannot be used: {reason}; free space or set OVERSTORY_BLOB_URL"
    )
