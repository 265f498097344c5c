"""Objects of people's buckets, which are read and never written: S3 and what is like it, Google
Cloud Storage, Azure. With ``clients.bucket`` this is the door to obstore.

Credentials are found as the vendors' own programs find them, from the environment, a profile or
the machine (docs/buckets.md has the names). Every method raises WrongUsage for what only a person
can change, and ObjectAway for what may pass.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from clients.aws_profile import profile_config
from clients.object_failures import (
    ENDPOINTS,
    Failure,
    ObjectAway,
    failure_of,
    sentence,
)
from core.errors import ImageRefused, RefusalCode, WrongUsage
from core.images.objects import ObjectName

if TYPE_CHECKING:
    from obstore import ObjectMeta

FIRST_SECONDS = 3.5
"""How long the first answer may take when a job is planned: a person waits for it."""
NEXT_SECONDS = 60.0
PAGE = 1_000
READ_BYTES = 1_000_000
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listed:
    """An object. ``version``: its ETag, None if the server has none; ``changed_ns``: when it was
    written, in nanoseconds since 1970."""

    key: str
    bytes: int
    version: str | None
    changed_ns: int

    @classmethod
    def of(cls, meta: ObjectMeta) -> Listed:
        changed = int(meta["last_modified"].timestamp() * 1e9)
        return cls(meta["path"], meta["size"], meta["e_tag"], changed)


class Bucket:
    """Somebody's bucket. Open it by ``bucket_of``, after any fork."""

    def __init__(self, scheme: str, bucket: str) -> None:
        self._whole = ObjectName(scheme, bucket, "")
        self._answered = False
        with self._as_ours(self._whole):
            self._store: Any = _opened(self._whole)

    def find(self, key: str) -> Listed | None:
        """The object with this key; None if there is none, or if only listing can tell why it may
        not be read. To plan with."""
        import obstore

        try:
            found = self._asked(key, lambda: obstore.head(self._store, key))
        except _Refused as refused:
            if refused.failure in (Failure.MISSING, Failure.DENIED):
                return None
            raise
        return Listed.of(found)

    def listed(self, folder: str) -> Iterator[Listed]:
        """All objects below a folder, at any depth, by pages. To plan with."""
        import obstore

        with self._as_ours(self._named(folder)):
            pages = obstore.list(self._store, folder or None, chunk_size=PAGE)
        while (page := self._asked(folder, lambda: next(pages, None))) is not None:
            yield from map(Listed.of, page)

    def level(self, folder: str) -> tuple[list[Listed], list[str]]:
        """The objects and the folders that are directly in a folder. To plan with."""
        import obstore

        found = self._asked(
            folder, lambda: obstore.list_with_delimiter(self._store, folder or None)
        )
        return [Listed.of(meta) for meta in found["objects"]], [*found["common_prefixes"]]

    def first(self, key: str, most: int) -> bytes:
        """The first bytes of an object, at most so many. Raises ImageRefused."""
        import obstore
        from obstore.exceptions import GenericError

        with self._image(key):
            try:
                return bytes(obstore.get_range(self._store, key, start=0, length=most))
            except GenericError:
                if obstore.head(self._store, key)["size"]:
                    raise
                return b""  # an empty object has no range

    def save(self, key: str, path: Path, most: int | None, version: str | None = None) -> None:
        """Write an object to a new file, piece by piece. ``most``: of its bytes; ``version``: the
        ETag that it must have still. Raises ImageRefused."""
        import obstore

        with self._image(key):
            found = obstore.get(self._store, key, options={"if_match": version} if version else {})
            if most is not None and found.meta["size"] > most:
                raise ImageRefused(
                    RefusalCode.TOO_LARGE_FILE,
                    f"the object has {found.meta['size']} bytes, more than the {most} allowed"
                    " (OVERSTORY_MAX_FILE_BYTES)",
                )
            with path.open("xb") as file:
                for piece in found.stream(min_chunk_size=READ_BYTES):
                    file.write(piece)

    @contextlib.contextmanager
    def _image(self, key: str) -> Iterator[None]:
        """What a failure means for one image: the image is refused, or it is tried again."""
        try:
            with self._as_ours(self._named(key)):
                yield
        except _Refused as refused:
            raise ImageRefused(CODES[refused.failure], str(refused)) from None

    def _asked(self, key: str, request: Callable[[], T]) -> T:
        """The answer, within a few seconds if it is the first. The request runs in a thread of its
        own, so that Ctrl-C need not wait for a server."""
        name = self._named(key)
        answers: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()

        def work() -> None:
            try:
                answers.put((request(), None))
            except BaseException as error:
                answers.put((None, error))

        threading.Thread(target=work, name="bucket", daemon=True).start()
        with self._as_ours(name):
            try:
                seconds = NEXT_SECONDS if self._answered else FIRST_SECONDS
                answer, error = answers.get(timeout=seconds)
            except Empty:
                raise ObjectAway(sentence(Failure.AWAY, name)) from None
            if error is not None:
                raise error
        self._answered = True
        return answer  # type: ignore[return-value] # None only where the request gave it

    def _named(self, key: str) -> ObjectName:
        return ObjectName(self._whole.scheme, self._whole.bucket, key)

    @contextlib.contextmanager
    def _as_ours(self, name: ObjectName) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, FileNotFoundError, ValueError) as error:
            text = str(error)
            failure = failure_of(type(error).__name__, text)
            if failure is Failure.AWAY:
                raise ObjectAway(sentence(failure, name)) from None
            raise _Refused(failure, sentence(failure, name, text)) from None


class _Refused(WrongUsage):
    """A failure that lasts."""

    def __init__(self, failure: Failure, says: str) -> None:
        super().__init__(says, failure)
        self.failure = failure


CODES = {
    Failure.MISSING: RefusalCode.MISSING,
    Failure.NO_BUCKET: RefusalCode.MISSING,
    Failure.CHANGED: RefusalCode.CHANGED,
    Failure.DENIED: RefusalCode.UNREADABLE,
    Failure.NO_CREDENTIALS: RefusalCode.UNREADABLE,
    Failure.WRONG_CREDENTIALS: RefusalCode.UNREADABLE,
    Failure.REGION: RefusalCode.UNREADABLE,
    Failure.FROZEN: RefusalCode.UNREADABLE,
    Failure.ODD_KEY: RefusalCode.UNREADABLE,
}
"""Why an image is refused. A failure that may pass refuses none."""


def bucket_of(name: ObjectName) -> Bucket:
    """The bucket of an object: one for each process, because threads do not survive a fork."""
    return _bucket(name.scheme, name.bucket, os.getpid())


@functools.lru_cache(64)
def _bucket(scheme: str, bucket: str, process: int) -> Bucket:
    return Bucket(scheme, bucket)


def _opened(name: ObjectName) -> Any:
    from obstore.store import AzureStore, GCSStore, S3Store

    options: Any = {
        "client_options": {
            "allow_http": _is_plain(name),
            "connect_timeout": timedelta(seconds=3),
            "timeout": timedelta(minutes=10),  # of a whole object
            "read_timeout": timedelta(seconds=30),
        },
        # few retries here, because the pipeline retries the image later
        "retry_config": {"max_retries": 1, "retry_timeout": timedelta(seconds=3)},
    }
    match name.scheme:
        case "s3":
            profile: Any = profile_config(os.environ, Path.home())
            return S3Store(name.bucket, config=profile, **options)
        case "gs":
            return GCSStore(name.bucket, **options)
        case _:
            return AzureStore(name.bucket, **options)


def _is_plain(name: ObjectName) -> bool:
    """Whether the environment names an endpoint without TLS. Raises WrongUsage for one that is
    not a URL: the store would end the process."""
    urls = [os.environ[variable] for variable in ENDPOINTS[name.scheme] if os.environ.get(variable)]
    for url in urls:
        if not url.startswith(("http://", "https://")):
            raise WrongUsage(f"{ENDPOINTS[name.scheme][0]}: an endpoint is like https://host:port")
    emulator = os.environ.get("AZURE_STORAGE_USE_EMULATOR", "").lower() in ("1", "true")
    return (name.scheme == "az" and emulator) or any(url.startswith("http://") for url in urls)
