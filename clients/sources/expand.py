"""Expands inputs into a list of single images: files, folders, globs, documents, URLs.

``expand`` decides what belongs to a job, in natural order, and raises before anything is submitted.
``check_local`` and ``prepare`` later find what is wrong with a single file; only that image fails.
"""

from __future__ import annotations

import os
import re
import stat
import urllib.parse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from glob import glob, has_magic
from pathlib import Path

from clients import local_files
from clients.images.decoder import Decoder
from clients.sources.location import Source, is_inside, is_url, location_of
from clients.sources.names import url_name, with_distinct_names
from core.errors import ImageRefused, WrongUsage
from core.images.formats import IMAGE_ENDINGS, SNIFF_BYTES, sniff
from core.images.sizing import DecoderLimits, ImageLimits
from core.text.printable import printable_name

SYSTEM_FOLDERS = frozenset({"lost+found", "System Volume Information", "$RECYCLE.BIN"})
"""Folders at the root of a disk that users cannot read and do not need."""
PAGED_ENDINGS = (".pdf", ".tif", ".tiff")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Expansion:
    """The images of a job in order, and the names of other files in their folders."""

    sources: list[Source] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)


def expand(inputs: Sequence[str], limits: ImageLimits) -> Expansion:
    """All images of the inputs, in input order; files of a folder in natural order.

    Raises WrongUsage that names the input that is missing, unreachable, empty or without images.
    """
    if not inputs:
        raise WrongUsage("no images: name files, folders, patterns like 'photos/*.jpg', or URLs")
    expansions = [_expand_one(text, limits) for text in inputs]
    sources = [source for expansion in expansions for source in expansion.sources]
    ignored = [name for expansion in expansions for name in expansion.ignored]
    return Expansion(with_distinct_names(sources), ignored)


def _expand_one(text: str, limits: ImageLimits) -> Expansion:
    if is_url(text):
        return Expansion([Source(url_name(text), _url(text))])
    path = Path(text)
    if text and (error := _lookup_error(path)):
        raise WrongUsage(
            f"{printable_name(text)!r} cannot be reached ({error}): fix the permissions of the"
            " folders above it, or give another path"
        )
    if text and path.is_dir():
        return _expand_folder(path, limits)
    if text and _exists(path):
        return Expansion(list(_images_of(path, _status(path), path.name, None, limits)))
    shown = printable_name(text)
    if _SCHEME.match(text):
        raise WrongUsage(
            f"{shown!r} cannot be fetched: URLs begin with http:// or https://; give files by path"
        )
    if has_magic(text):
        return _expand_pattern(text, limits)
    raise WrongUsage(f"{shown!r} does not exist: check the path and the current folder")


def _url(text: str) -> str:
    """The URL with its scheme in lower case, which every receiver understands."""
    try:
        host = urllib.parse.urlsplit(text).hostname
    except ValueError:
        host = None
    if not host:
        shown = printable_name(text)
        raise WrongUsage(f"{shown!r} has no host: a URL is like https://host/photo.jpg")
    scheme, _, rest = text.partition(":")
    return f"{scheme.lower()}:{rest}"


# --- folders and patterns


def _expand_folder(folder: Path, limits: ImageLimits) -> Expansion:
    images = Expansion()
    root = os.path.abspath(folder)  # noqa: PTH100 - resolve() would follow the links we check
    for path, inner, remark in _walk(Path(root)):
        if remark is None:
            images.sources.append(_unreadable(path, inner, root))
            continue
        status = None if remark else _status(path)
        if remark or not _is_image(path, status):
            images.ignored.append(printable_name(inner) + remark)
        else:
            images.sources.extend(_images_of(path, status, inner, root, limits))
    if images.sources:
        return images
    shown = printable_name(str(folder))
    if not images.ignored:
        raise WrongUsage(f"the folder {shown!r} is empty: give a folder with images")
    raise WrongUsage(
        f"the folder {shown!r} holds no images among its {len(images.ignored)} entries:"
        " give another folder, or the files themselves"
    )


def _walk(root: Path) -> Iterator[tuple[Path, str, str | None]]:
    """(path, path inside the root, remark) of everything in a folder, in natural order.

    The remark says why a folder is not entered; None: it cannot be read. Each real folder is
    entered once. Raises WrongUsage if ``root`` cannot be read.
    """
    entered: set[tuple[int, int]] = set()
    stack = [(root, "", "", True)]
    while stack:
        path, inner, remark, is_folder = stack.pop()
        if remark or not is_folder:
            yield path, inner, remark
            continue
        try:
            status = path.stat()
            with os.scandir(path) as entries:
                below = [entry for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            if path == root:
                raise _cannot_read(root, error) from None
            ignored = isinstance(error, FileNotFoundError) or path.name in SYSTEM_FOLDERS
            yield path, inner + "/", f" ({error.strerror})" if ignored else None
            continue
        if (status.st_dev, status.st_ino) in entered:
            continue
        entered.add((status.st_dev, status.st_ino))
        below.sort(key=lambda entry: _natural(entry.name), reverse=True)
        stack.extend(_step(root, entry, f"{inner}/" if inner else "") for entry in below)


def _step(root: Path, entry: os.DirEntry[str], above: str) -> tuple[Path, str, str, bool]:
    """An entry as an item of ``_walk``'s stack. Its type is known from listing the folder; only a
    link needs another system call."""
    path, inner = Path(entry.path), above + entry.name
    is_folder = path.is_dir() if entry.is_symlink() else entry.is_dir()
    if is_folder and entry.is_symlink() and not is_inside(os.path.realpath(path), root):
        return path, inner + "/", " (a link out of the folder)", is_folder
    return path, inner, "", is_folder


def _cannot_read(folder: Path, error: OSError) -> WrongUsage:
    return WrongUsage(
        f"the folder {printable_name(str(folder))!r} cannot be read ({error.strerror}):"
        " fix its permissions, or give another folder"
    )


def _unreadable(folder: Path, inner: str, root: str | None) -> Source:
    """One source for all images of a folder that cannot be read. It fails like an unreadable file,
    so that the images are not skipped silently."""
    return Source(printable_name(inner), location_of(folder), root=root)


def _natural(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """A sort key: img2 before img10, ignoring case."""
    parts = re.split(r"(\d+)", name.casefold())
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts if p], name


def _expand_pattern(pattern: str, limits: ImageLimits) -> Expansion:
    images = Expansion()
    matches = map(Path, glob(pattern, recursive=True))  # noqa: PTH207 - Path.glob takes no root
    paths = sorted(matches, key=lambda path: [_natural(part) for part in path.parts])
    base = _fixed_part(pattern)
    for path in paths:
        if path.is_dir():
            continue
        inner = path.relative_to(base).as_posix() if base else path.as_posix()
        status = _status(path)
        if _is_image(path, status):
            images.sources.extend(_images_of(path, status, inner, None, limits))
        else:
            images.ignored.append(printable_name(inner))
    for folder in _unreadable_folders(pattern):
        inner = folder.relative_to(base).as_posix() if base else folder.as_posix()
        images.sources.append(_unreadable(folder, inner + "/", None))
    if not images.sources:
        raise WrongUsage(
            f"the pattern {printable_name(pattern)!r} matches no images: try it with ls"
        )
    return images


def _unreadable_folders(pattern: str) -> Iterator[Path]:
    """Folders that a pattern passes through and that cannot be read: ``glob`` skips them silently.
    Raises WrongUsage if the pattern itself names one."""
    parts, base = Path(pattern).parts, _fixed_part(pattern)
    if parts[-1] != "**":
        parts = parts[:-1]
    depths = range(len(base.parts) if base else 1, len(parts) + 1)
    folders = (f"{Path(*parts[:depth])}{os.sep}" for depth in depths)
    below = (glob(folder, recursive=True) for folder in folders)  # noqa: PTH207 - as above
    for folder in sorted({Path(name) for names in below for name in names}):
        try:
            os.scandir(folder).close()
        except FileNotFoundError:
            continue
        except OSError as error:
            if folder == base:
                raise _cannot_read(folder, error) from None
            if folder.name not in SYSTEM_FOLDERS:
                yield folder


def _fixed_part(pattern: str) -> Path | None:
    """The folders of a pattern before the first wildcard."""
    fixed: list[str] = []
    for part in Path(pattern).parts[:-1]:
        if has_magic(part):
            break
        fixed.append(part)
    return Path(*fixed) if fixed else None


def _status(path: Path) -> os.stat_result | None:
    """None if the file is missing or cannot be reached."""
    try:
        return path.stat()
    except OSError:
        return None


def _is_image(path: Path, status: os.stat_result | None) -> bool:
    """Decides by the file's extension, else by its first bytes. False for pipes and devices."""
    if status is not None and not stat.S_ISREG(status.st_mode):
        return False
    if path.suffix.lower() in IMAGE_ENDINGS:
        return True
    if status is None:
        return False
    try:
        with path.open("rb") as file:
            return sniff(file.read(SNIFF_BYTES)) is not None
    except OSError:
        return False


# --- one file


def _images_of(
    path: Path, status: os.stat_result | None, inner: str, root: str | None, limits: ImageLimits
) -> Iterator[Source]:
    """The file's pages as sources, or the file itself if it has one image or cannot be read."""
    name, location = printable_name(inner), location_of(path)
    size, changed = (status.st_size, status.st_mtime_ns) if status is not None else (None, None)
    pages = _pages(path, limits) if path.suffix.lower() in PAGED_ENDINGS else None
    if pages is None:
        yield Source(name, location, None, size, root, changed)
    for page in range(1, (pages or 0) + 1):
        yield Source(f"{name}[{page}]", location, page, size, root, changed)


def _pages(path: Path, limits: ImageLimits) -> int | None:
    """The number of pages. None if the file is one image or invalid (it then fails later)."""
    try:
        with local_files.opened(path, limits.max_file_bytes) as (file, size):
            pages = Decoder(DecoderLimits()).pages(file, size, limits)
    except ImageRefused:
        return None
    single = pages == 1 and path.suffix.lower() != ".pdf"
    return None if single or not 1 <= pages <= limits.max_pages else pages


def _lookup_error(path: Path) -> str | None:
    """Why it is unknown whether the path exists; None if it is known."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        return error.strerror
    return None


def _exists(path: Path) -> bool:
    """Also true for a broken link: then the image fails with that reason, not the job."""
    try:
        return os.path.lexists(path)
    except ValueError:
        return False
