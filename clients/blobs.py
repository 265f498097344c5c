"""Where prepared images wait: content-addressed, written once, in a folder all workers see."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from core.errors import ServiceAway, WrongUsage


class Blobs(Protocol):
    """A content-addressed store. Every method may raise ServiceAway."""

    def put(self, sha256: str, data: bytes) -> None:
        """Keep ``data`` under its hash; nothing happens where it is kept already."""

    def get(self, sha256: str) -> bytes | None:
        """The content, or None when it was never kept or has been pruned."""

    def check(self) -> None:
        """Write and remove a small blob. Raises ServiceAway with the reason it cannot."""


class FolderBlobs:
    """Blobs as files, two characters of the hash a folder. A reader never sees half a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, sha256: str, data: bytes) -> None:
        path = self._path(sha256)
        if path.exists():
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write(path, data)
        except OSError as error:
            raise ServiceAway(_sentence(self.folder, error)) from error

    def get(self, sha256: str) -> bytes | None:
        try:
            return self._path(sha256).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ServiceAway(_sentence(self.folder, error)) from error

    def check(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.folder) as probe:
                probe.write(b"overstory")
        except OSError as error:
            raise ServiceAway(_sentence(self.folder, error)) from error

    def _path(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / sha256

    def _write(self, path: Path, data: bytes) -> None:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".part-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            Path(temporary).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise


def open_blobs(url: str | None, home: Path) -> Blobs:
    """The store at ``url`` (file:///folder), by default a folder in ``home``.

    Raises WrongUsage for a scheme that is not supported.
    """
    if url is None:
        return FolderBlobs(home / "blobs")
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path:
        return FolderBlobs(Path(unquote(parts.path)))
    raise WrongUsage(f"OVERSTORY_BLOB_URL: {url!r} is not supported; use file:///folder")


def _sentence(folder: Path, error: OSError) -> str:
    reason = error.strerror or str(error)
    return (
        f"the blob folder {folder} cannot be used: {reason}; free space or set OVERSTORY_BLOB_URL"
    )
