"""Uploads as files of a folder."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from clients.uploads.store import Head, Incoming, Kept, Key, Upload, put_whole
from core.errors import ServiceAway
from core.images import uploaded

PARTS = "_parts"
"""The folder of uploads that are not complete. No owner's folder has this name."""
FREE_BYTES = 500_000_000
"""Left on the disk of the folder: the database may be on it, too."""
ABANDONED_SECONDS = 3_600.0
"""Nothing was written to an upload for so long: its process was killed."""


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
        return put_whole(self, owner, data)

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
