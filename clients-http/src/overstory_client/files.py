"""Local images of a submission: which files they are, and their hashes."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from overstory_client.errors import WrongUsage

IMAGE_ENDINGS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".tif", ".tiff"}
    | {".bmp", ".dib", ".heic", ".heif", ".hif", ".avif", ".pdf"}
    | {".dng", ".nef", ".nrw", ".cr2", ".cr3", ".crw", ".arw", ".sr2", ".srf", ".raf", ".orf"}
    | {".rw2", ".rwl", ".pef", ".srw", ".3fr", ".fff", ".iiq", ".dcr", ".kdc", ".mef", ".mos"}
    | {".erf", ".x3f", ".mrw", ".gpr"}
)
"""Files of a folder with another ending are not uploaded. A file that is named itself always is."""
SKIP_FOLDERS = frozenset({"@eadir", "#recycle", "#snapshot", "$recycle.bin", "__macosx"})
"""Folders in which storage systems keep thumbnails and deleted files, in small letters."""
PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class ServerPath:
    """A file, folder or pattern on the service's machine, under its OVERSTORY_INPUT_ROOTS.

    Example:
        >>> client.submit([ServerPath("/inputs/receipts")], ask="What was bought?")
    """

    path: str


Input = str | os.PathLike[str] | ServerPath
"""A local file or folder, a URL, or a ServerPath."""


@dataclass(frozen=True, slots=True)
class LocalFile:
    """``name``: what people see: the path below the folder that was given."""

    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class Hashed:
    """A local file with the hash and number of its bytes."""

    path: Path
    name: str
    sha256: str
    bytes: int


def listed(images: Sequence[Input]) -> list[str | LocalFile]:
    """The inputs in their order; a local folder is its images, in natural order. Raises WrongUsage
    for a path without an image."""
    if isinstance(images, str | os.PathLike):
        raise WrongUsage("images: give a list of files, folders and URLs", "images")
    return [item for image in images for item in _listed(image)]


def _listed(image: Input) -> Iterator[str | LocalFile]:
    if isinstance(image, ServerPath):
        yield image.path
        return
    text = os.fspath(image)
    if "://" in text or text.startswith("upload:"):
        yield text
        return
    path = Path(text)
    if path.is_dir():
        found = list(_inside(path, ""))
        if not found:
            raise WrongUsage(
                f"images: the folder {text!r} holds no images: give another one", "images"
            )
        yield from found
    elif path.is_file():
        yield LocalFile(path, path.name)
    else:
        raise WrongUsage(
            f"images: there is no file or folder {text!r} here; ServerPath(...) names one of the"
            " service's machine",
            "images",
        )


def _inside(folder: Path, inner: str) -> Iterator[LocalFile]:
    """The images of a folder and of those in it. Links to folders are not followed."""
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: natural(entry.name))
    for entry in found:
        name = f"{inner}{entry.name}"
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            if entry.name.casefold() not in SKIP_FOLDERS:
                yield from _inside(Path(entry.path), f"{name}/")
        elif Path(entry.name).suffix.lower() in IMAGE_ENDINGS and entry.is_file():
            yield LocalFile(Path(entry.path), name)


def natural(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """A sort key: img2 before img10, ignoring case."""
    parts = re.split(r"(\d+)", name.casefold())
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts if p], name


def hashed(file: LocalFile) -> Hashed:
    """Read the file once. Raises WrongUsage if it cannot be read."""
    digest, size = hashlib.sha256(), 0
    try:
        with file.path.open("rb") as opened:
            while piece := opened.read(PIECE):
                digest.update(piece)
                size += len(piece)
    except OSError as error:
        raise WrongUsage(
            f"images: {str(file.path)!r} cannot be read: {error.strerror}", "images"
        ) from error
    return Hashed(file.path, file.name, digest.hexdigest(), size)
