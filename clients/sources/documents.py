"""Documents behind URLs, in buckets and in archives: their pages, and a copy of each document that
the pages are read from.

A plan needs the number of pages, and every page its document. So a document is downloaded when a
job is planned, and its copy is kept in a folder of this machine: a page does not download it again.
A copy that is gone, or that another machine has, is downloaded when a page needs it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import threading
import time
import urllib.parse
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from queue import SimpleQueue

from clients import local_files, private_files
from clients.images.decoder import Decoder
from clients.sources import original
from clients.sources.download import FetchRules, fetch, fetch_document, file_name
from clients.sources.location import Source, is_url
from core.errors import ImageRefused, RefusalCode
from core.images.formats import DOCUMENT_ENDINGS, IMAGE_ENDINGS, SNIFF_BYTES, sniff
from core.images.sizing import ImageLimits
from core.settings import Settings

UNTOLD_MOST = 100
"""URLs of a job whose names do not tell what is behind them, and whose first bytes are read. Most
such URLs lead to images, and a job may have thousands of them."""
AT_ONCE = 8
KEPT_SECONDS = 86_400.0
"""How long a copy is kept after its last use."""
KEPT_FILES = 4
"""Copies may have this many times OVERSTORY_MAX_FILE_BYTES together; the oldest are deleted."""
REFUSED_SECONDS = 60.0
"""How long a download that failed is not tried again: each page would wait for the same server."""


@dataclass(frozen=True, slots=True)
class Documents:
    """Documents behind URLs. ``folder``: for the copies; ``limits``: of pages and bytes."""

    folder: Path
    rules: FetchRules
    limits: ImageLimits
    decoder: Decoder
    private: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Settings, decoder: Decoder) -> Documents:
        rules = fetch_rules(settings)
        return cls(
            settings.home / "documents",
            rules,
            settings.image_limits,
            decoder,
            settings.private_folders,
        )

    def with_pages(
        self,
        sources: Sequence[Source],
        check: Callable[[], None] = lambda: None,
        seconds: float = math.inf,
    ) -> list[Source]:
        """``sources`` with all pages of the documents that are behind URLs or in buckets, in place
        of each.

        A document that is not downloaded after ``seconds`` for all, or cannot be, stays one source:
        then its image fails, or has the first page with a remark. One whose pages cannot be
        counted is one source, too, with page 1. ``check`` is called before each document; what it
        raises ends the search.
        """
        urls = documents_among(sources)
        if not urls:
            return list(sources)
        first = {source.location: source for source in sources}
        counts = self._counts({url: first[url] for url in urls}, check, seconds)
        return [page for source in sources for page in _pages(source, counts.get(source.location))]

    def copy(self, url: str, save: Callable[[Path], None] | None = None) -> Path:
        """A copy of the document, downloaded if there is none. ``save`` writes it to a path, where
        it is not behind a URL. Raises ImageRefused."""
        path = self.folder / file_name(url)
        if self._is_kept(path):
            return path
        self._prepare_folder()
        with private_files.lock_file(self.folder / f".lock-{path.name[0]}") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self._is_kept(path):
                with self._refusals(path):
                    if save is None:
                        fetch(url, into=self.folder, rules=self.rules)
                    else:
                        _saved(save, path)
                self.delete_old()
        return path

    def kept_apart(self, location: str, root: str | None, version: str | None) -> Path:
        """A copy of a document for which ``original.is_kept_apart``. Raises ImageRefused."""

        def save(path: Path) -> None:
            most = self.limits.max_file_bytes
            original.save(location, root, path, most, version, self.private)

        return self.copy(f"{location}\n{version}", save)

    def delete_old(self) -> None:
        """Delete copies that are too old, and the oldest of those that are too many together."""
        room = KEPT_FILES * self.limits.max_file_bytes
        for changed, path, size in sorted(self._files(), reverse=True):
            room -= size
            if room < 0 or time.time() - changed > KEPT_SECONDS:
                path.unlink(missing_ok=True)

    def _counts(
        self, urls: Mapping[str, Source], check: Callable[[], None], seconds: float
    ) -> dict[str, int | None]:
        """Pages by URL; 0 if they cannot be counted; None for what is no document of pages. The
        threads are daemons, so that Ctrl-C need not wait for a server."""
        self._prepare_folder()
        ends = time.monotonic() + seconds
        waiting: deque[str] = deque(urls)
        results: SimpleQueue[tuple[str, int | Exception | None]] = SimpleQueue()

        def work() -> None:
            with contextlib.suppress(IndexError):
                while True:
                    url = waiting.popleft()
                    try:
                        results.put((url, self._count(urls[url], ends)))
                    except Exception as error:
                        results.put((url, error))

        for _ in range(min(AT_ONCE, len(urls))):
            threading.Thread(target=work, name="documents", daemon=True).start()
        counts: dict[str, int | None] = {}
        try:
            while len(counts) < len(urls):
                check()
                url, pages = results.get()
                if isinstance(pages, Exception):
                    raise pages
                counts[url] = pages
        finally:
            waiting.clear()
        return counts

    def _count(self, source: Source, ends: float) -> int | None:
        left = ends - time.monotonic()
        if left <= 0:
            return None
        rules = replace(self.rules, timeout_seconds=min(self.rules.timeout_seconds, left))
        try:
            if original.is_kept_apart(source.location):
                path: Path | None = self.kept_apart(source.location, source.root, source.version)
            else:
                path = fetch_document(source.location, into=self.folder, rules=rules)
        except ImageRefused:
            return None
        if path is None:
            return None
        self.delete_old()
        try:
            with local_files.opened(path, self.limits.max_file_bytes) as (file, size):
                kind = sniff(file.peek(SNIFF_BYTES)[:SNIFF_BYTES])
                pages = self.decoder.pages(file, size, self.limits)
        except ImageRefused:
            return 0
        if pages == 1 and kind != "pdf":
            return None
        return pages if pages <= self.limits.max_pages else 0

    # --- the folder of copies

    def _prepare_folder(self) -> None:
        self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        private_files.private_folder(self.folder)

    def _is_kept(self, path: Path) -> bool:
        """Whether there is a copy. It is the newest then, and so the last that is deleted."""
        try:
            if time.time() - path.lstat().st_mtime > KEPT_SECONDS:
                return False
            os.utime(path, follow_symlinks=False)
        except OSError:
            return False
        return True

    @contextlib.contextmanager
    def _refusals(self, path: Path) -> Iterator[None]:
        """Keep a failure of the block for a while, and raise it at once meanwhile."""
        record = path.with_suffix(".refused")
        with contextlib.suppress(OSError, ValueError):
            if time.time() - record.lstat().st_mtime < REFUSED_SECONDS:
                code, reason = json.loads(private_files.read(record))
                raise ImageRefused(RefusalCode(code), reason)
        try:
            yield
        except ImageRefused as refusal:
            private_files.write(record, json.dumps([refusal.code, refusal.reason]))
            raise

    def _files(self) -> Iterator[tuple[float, Path, int]]:
        with contextlib.suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    yield status.st_mtime, Path(entry.path), status.st_size


def _saved(save: Callable[[Path], None], path: Path) -> None:
    partial = path.with_name(f"{path.name}.{os.urandom(4).hex()}")
    try:
        save(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def fetch_rules(settings: Settings) -> FetchRules:
    """What may be fetched, by the settings."""
    return FetchRules(
        allow_hosts=settings.fetch_allow_hosts,
        timeout_seconds=settings.fetch_timeout_seconds,
        max_bytes=settings.max_file_bytes,
        max_redirects=settings.fetch_max_redirects,
    )


def documents_among(sources: Sequence[Source]) -> list[str]:
    """The URLs that may lead to documents: those whose name says so, and up to UNTOLD_MOST of those
    whose name does not tell what they are. And what is in a bucket or an archive
    under the name of a document."""
    places = list(dict.fromkeys(source.location for source in sources if not source.page))
    urls = [at for at in places if is_url(at)]
    untold = [url for url in urls if not _ending(url) and not names_document(url)]
    wanted = {url for url in urls if names_document(url)} | set(untold[:UNTOLD_MOST])
    wanted |= {at for at in places if original.is_kept_apart(at) and _is_document(at)}
    return [at for at in places if at in wanted]


def _is_document(name: str) -> bool:
    return _suffix(name) in DOCUMENT_ENDINGS


def names_document(url: str) -> bool:
    """Whether the path of a URL, or a value of its query, ends like the name of a document."""
    parts = urllib.parse.urlsplit(url)
    values = [value for _, value in urllib.parse.parse_qsl(parts.query)]
    names = [urllib.parse.unquote(parts.path), *values]
    return any(_is_document(name) for name in names)


def _ending(url: str) -> bool:
    """Whether the path of a URL ends like the name of an image."""
    return _suffix(urllib.parse.unquote(urllib.parse.urlsplit(url).path)) in IMAGE_ENDINGS


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _pages(source: Source, pages: int | None) -> list[Source]:
    if pages is None:
        return [source]
    if pages == 0:  # the page is refused, with the reason
        return [replace(source, page=1)]
    return [
        replace(source, name=f"{source.name}[{page}]", page=page) for page in range(1, pages + 1)
    ]
