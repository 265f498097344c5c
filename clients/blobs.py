"""A content-addressed store for prepared images: a folder or a bucket that all workers share.

obstore talks to the bucket: it is one wheel without requirements, while s3fs needs aiohttp,
aiobotocore and botocore. Any S3-compatible store works. Its URL and keys come from the usual AWS_*
names: AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol
from urllib.parse import unquote, urlsplit

from clients.proxies import without_socks
from core.errors import ServiceAway, WrongUsage

if TYPE_CHECKING:  # 5 MB that only a bucket needs
    from obstore import ObjectMeta
    from obstore.store import S3Store


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
    """Blobs as objects of a bucket. ``put`` does not check first: it would write the same bytes.

    The store is opened on first use, after any fork: its threads do not survive a fork.
    """

    def __init__(self, bucket: str, prefix: str) -> None:
        self.url = f"s3://{bucket}/{prefix}".rstrip("/")
        self._bucket = bucket
        self._prefix = prefix
        self._lock = threading.Lock()
        self._opened: S3Store | None = None

    def put(self, sha256: str, data: bytes) -> None:
        import obstore

        with self._as_ours():
            obstore.put(self._store, self._key(sha256), data, use_multipart=False)

    def get(self, sha256: str) -> bytes | None:
        import obstore
        from obstore.exceptions import NotFoundError

        with self._as_ours():
            try:
                return bytes(obstore.get(self._store, self._key(sha256)).bytes())
            except (NotFoundError, FileNotFoundError):
                return None

    def size(self, sha256: str) -> int | None:
        meta = self._head(sha256)
        return meta["size"] if meta else None

    def drop(self, sha256: str, fresh_seconds: float) -> int | None:
        import obstore

        meta = self._head(sha256)
        if meta is None:
            return None
        if (datetime.now(UTC) - meta["last_modified"]).total_seconds() < fresh_seconds:
            return None
        with self._as_ours():
            obstore.delete(self._store, self._key(sha256))
        return meta["size"]

    def _head(self, sha256: str) -> ObjectMeta | None:
        import obstore
        from obstore.exceptions import NotFoundError

        with self._as_ours():
            try:
                return obstore.head(self._store, self._key(sha256))
            except (NotFoundError, FileNotFoundError):
                return None

    def check(self) -> None:
        import obstore

        probe = f"probe/{os.getpid()}"
        with self._as_ours():
            obstore.put(self._store, probe, b"overstory", use_multipart=False)
            obstore.delete(self._store, probe)

    @property
    def _store(self) -> S3Store:
        with self._lock:
            if self._opened is None:
                self._opened = _s3_store(self._bucket, self._prefix)
            return self._opened

    def _key(self, sha256: str) -> str:
        return f"{sha256[:2]}/{sha256}"

    @contextlib.contextmanager
    def _as_ours(self) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, OSError) as error:
            reason = f"{str(error).splitlines()[0]}{without_socks()}"
            raise ServiceAway(
                f"the blob store {self.url} cannot be used: {reason}; see OVERSTORY_BLOB_URL"
            ) from error


def _s3_store(bucket: str, prefix: str) -> S3Store:
    from obstore.store import S3Store

    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    return S3Store(
        bucket,
        prefix=prefix or None,
        disable_bulk_delete=True,  # some S3-compatible stores do not have it
        client_options={
            "allow_http": endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=5),
            "timeout": timedelta(seconds=60),
        },
        # few retries here, because the pipeline retries the image later
        retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=20)},
    )


def open_blobs(url: str | None, home: Path) -> Blobs:
    """The store at ``url`` (file:///folder or s3://bucket/prefix); None: a folder in ``home``.

    Raises WrongUsage for a scheme that is not supported.
    """
    if url is None:
        return FolderBlobs(home / "blobs")
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path:
        return FolderBlobs(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        return S3Blobs(parts.netloc, unquote(parts.path).strip("/"))
    raise WrongUsage(
        f"OVERSTORY_BLOB_URL: {url!r} is not supported; use file:///folder or s3://bucket/prefix"
    )


def _unusable(folder: Path, error: OSError) -> ServiceAway:
    reason = error.strerror or str(error)
    return ServiceAway(
        f"the blob folder {folder} cannot be used: {reason}; free space or set OVERSTORY_BLOB_URL"
    )
