"""An S3-compatible bucket: the one module that knows obstore.

obstore is one wheel without requirements, while s3fs needs aiohttp, aiobotocore and botocore. URL
and keys come from the usual AWS_* names: AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY. Every method may raise ServiceAway.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from clients.proxies import without_socks
from core.errors import ServiceAway

if TYPE_CHECKING:  # 5 MB that only a bucket needs
    from obstore import ObjectMeta
    from obstore.store import S3Store

PART_BYTES = 8_000_000
"""A larger file is sent in parts of this size, so that no more of it is in memory."""
PARTS_AT_ONCE = 2
READ_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Stored:
    """An object: its size in bytes, and when it was written (Unix seconds)."""

    key: str
    bytes: int
    changed: float

    @classmethod
    def of(cls, meta: ObjectMeta) -> Stored:
        return cls(meta["path"], meta["size"], meta["last_modified"].timestamp())


class Bucket:
    """The objects of a bucket below a prefix.

    The store is opened on first use, after any fork: its threads do not survive a fork.
    """

    def __init__(self, bucket: str, prefix: str) -> None:
        self.url = f"s3://{bucket}/{prefix}".rstrip("/")
        self._bucket = bucket
        self._prefix = prefix
        self._lock = threading.Lock()
        self._opened: S3Store | None = None

    @classmethod
    def at(cls, url: str) -> Bucket | None:
        """The bucket at ``s3://bucket/prefix``; None for another URL."""
        parts = urlsplit(url)
        if parts.scheme != "s3" or not parts.netloc:
            return None
        return cls(parts.netloc, unquote(parts.path).strip("/"))

    def put(self, key: str, data: bytes) -> None:
        import obstore

        with self._as_ours():
            obstore.put(self._store, key, data, use_multipart=False)

    def put_file(self, key: str, file: IO[bytes]) -> None:
        """Store a file from its start on. It is visible when it is complete."""
        import obstore

        file.seek(0)
        with self._as_ours():
            obstore.put(
                self._store, key, file, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE
            )

    def get(self, key: str) -> bytes | None:
        """The whole object; None if there is none."""
        import obstore

        with self._as_ours(), contextlib.suppress(*_missing()):
            return bytes(obstore.get(self._store, key).bytes())
        return None

    def head(self, key: str, first: int) -> tuple[int, bytes] | None:
        """The size of an object and its ``first`` bytes, by one request; None if there is none."""
        import obstore
        from obstore.exceptions import GenericError

        with self._as_ours(), contextlib.suppress(*_missing()):
            try:
                found = obstore.get(self._store, key, options={"range": (0, first)})
                return found.meta["size"], bytes(found.bytes())
            except GenericError:
                stored = self.stored(key)
                if stored is None or stored.bytes:
                    raise
                return 0, b""  # an empty object has no range
        return None

    def save(self, key: str, path: Path) -> bool:
        """Write an object to a new file, piece by piece. False if there is none."""
        import obstore

        with self._as_ours(), contextlib.suppress(*_missing()):
            pieces = obstore.get(self._store, key).stream(min_chunk_size=READ_BYTES)
            with path.open("xb") as file:
                for piece in pieces:
                    file.write(piece)
            return True
        return False

    def stored(self, key: str) -> Stored | None:
        import obstore

        with self._as_ours(), contextlib.suppress(*_missing()):
            return Stored.of(obstore.head(self._store, key))
        return None

    def listed(self, prefix: str) -> Iterator[Stored]:
        """All objects whose keys begin with ``prefix``, a folder."""
        import obstore

        with self._as_ours():
            for metas in obstore.list(self._store, prefix):
                yield from map(Stored.of, metas)

    def delete(self, key: str) -> None:
        import obstore

        with self._as_ours():
            obstore.delete(self._store, key)

    def signed_put(self, key: str, seconds: float) -> str:
        """A URL to which anybody may PUT the object for so long."""
        import obstore

        with self._as_ours():
            return obstore.sign(self._store, "PUT", key, timedelta(seconds=seconds))

    def check(self) -> None:
        """Write and remove a small object."""
        probe = f"probe/{os.getpid()}"
        self.put(probe, b"overstory")
        self.delete(probe)

    @property
    def _store(self) -> S3Store:
        with self._lock:
            if self._opened is None:
                self._opened = _s3_store(self._bucket, self._prefix)
            return self._opened

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


def _missing() -> tuple[type[Exception], ...]:
    """What tells that an object does not exist."""
    from obstore.exceptions import NotFoundError

    return NotFoundError, FileNotFoundError


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
