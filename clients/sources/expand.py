"""What people point at, as a list of single images: files, folders, globs, documents, URLs.

``expand`` decides what belongs to a job, in an order people expect, and raises before anything is
submitted. What is wrong with one file is found later, by ``check_local`` and ``prepare``, and
fails that image alone.
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

from clients.images.prepare import page_count
from clients.sources.location import Source, is_inside, is_url, location_of
from clients.sources.names import url_name, with_distinct_names
from core.errors import ImageRefused, WrongUsage
from core.images.formats import IMAGE_ENDINGS, SNIFF_BYTES, sniff
from core.images.sizing import ImageLimits
from core.text.printable import printable_name

SYSTEM_FOLDERS = frozenset({"lost+found", "System Volume Information", "$RECYCLE.BIN"})
"""Closed to people at the root of a disk, and of no concern to them."""
PAGED_ENDINGS = (".pdf", ".tif", ".tiff")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Expansion:
    """The images of a job in order, and what lay beside them in folders and was left out."""

    sources: list[Source] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)


def expand(inputs: Sequence[str], limits: ImageLimits) -> Expansion:
    """Every image the inputs stand for, in input order, folders in natural order.

    Raises WrongUsage naming the input that is missing, out of reach, empty or without images.
    """
    if not inputs:
        raise WrongUsage("no images: name files, folders, patterns like 'photos/*.jpg', or URLs")
    found = Expansion()
    for text in inputs:
        one = _expand_one(text, limits)
        found.sources.extend(one.sources)
        found.ignored.extend(one.ignored)
    return Expansion(with_distinct_names(found.sources), found.ignored)


def _expand_one(text: str, limits: ImageLimits) -> Expansion:
    if is_url(text):
        return Expansion([Source(url_name(text), _url(text))])
    path = Path(text)
    if text and (barred := _barred(path)):
        raise WrongUsage(
            f"{printable_name(text)!r} cannot be reached ({barred}): mend the folders above it,"
            " or name another place"
        )
    if text and path.is_dir():
        return _expand_folder(path, limits)
    if text and _exists(path):
        return Expansion(list(_images_of(path, _status(path), path.name, None, limits)))
    shown = printable_name(text)
    if _SCHEME.match(text):
        raise WrongUsage(
            f"{shown!r} cannot be fetched: URLs begin with http:// or https://, and files are named"
            " by their paths"
        )
    if has_magic(text):
        return _expand_pattern(text, limits)
    raise WrongUsage(f"{shown!r} does not exist: check the path and the current folder")


def _url(text: str) -> str:
    """A URL with its scheme in small letters, as all who are sent it know it."""
    try:
        host = urllib.parse.urlsplit(text).hostname
    except ValueError:
        host = None
    if not host:
        shown = printable_name(text)
        raise WrongUsage(f"{shown!r} names no host: a URL is like https://host/photo.jpg")
    scheme, _, rest = text.partition(":")
    return f"{scheme.lower()}:{rest}"


# --- folders and patterns


def _expand_folder(folder: Path, limits: ImageLimits) -> Expansion:
    found, seen_any = Expansion(), False
    root = os.path.abspath(folder)  # noqa: PTH100 - resolve() would follow the links we check
    for path, inner, remark in _walk(Path(root)):
        seen_any = True
        if remark is None:
            found.sources.append(_unlisted(path, inner, root))
            continue
        status = None if remark else _status(path)
        if remark or not _is_image(path, status):
            found.ignored.append(printable_name(inner) + remark)
        else:
            found.sources.extend(_images_of(path, status, inner, root, limits))
    if found.sources:
        return found
    shown = printable_name(str(folder))
    if not seen_any:
        raise WrongUsage(f"the folder {shown!r} is empty: name one that holds images")
    raise WrongUsage(
        f"the folder {shown!r} holds no images among its {len(found.ignored)} entries:"
        " name one that does, or name the files themselves"
    )


def _walk(root: Path) -> Iterator[tuple[Path, str, str | None]]:
    """(path, path inside the root, remark) of everything in a folder, naturally ordered.

    A remark names a folder that is not entered; None: one that may not be looked into. Each real
    folder is entered once. Raises WrongUsage where that is ``root``.
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
                raise _closed(root, error) from None
            passed = isinstance(error, FileNotFoundError) or path.name in SYSTEM_FOLDERS
            yield path, inner + "/", f" ({error.strerror})" if passed else None
            continue
        if (status.st_dev, status.st_ino) in entered:
            continue
        entered.add((status.st_dev, status.st_ino))
        below.sort(key=lambda entry: _natural(entry.name), reverse=True)
        stack.extend(_step(root, entry, f"{inner}/" if inner else "") for entry in below)


def _step(root: Path, entry: os.DirEntry[str], above: str) -> tuple[Path, str, str, bool]:
    """What ``_walk`` needs to know of an entry. Listing the folder has told what it is; only what a
    link leads to takes a call more."""
    path, inner = Path(entry.path), above + entry.name
    is_folder = path.is_dir() if entry.is_symlink() else entry.is_dir()
    if is_folder and entry.is_symlink() and not is_inside(os.path.realpath(path), root):
        return path, inner + "/", " (a link out of the folder)", is_folder
    return path, inner, "", is_folder


def _closed(folder: Path, error: OSError) -> WrongUsage:
    return WrongUsage(
        f"the folder {printable_name(str(folder))!r} cannot be looked into ({error.strerror}):"
        " mend its permissions, or name another"
    )


def _unlisted(folder: Path, inner: str, root: str | None) -> Source:
    """Stands for the images of a folder that nobody may look into: it fails as a file does that
    nobody may read, so that they are not left out in silence."""
    return Source(printable_name(inner), location_of(folder), root=root)


def _natural(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """img2 before img10, whatever the case."""
    parts = re.split(r"(\d+)", name.casefold())
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts if p], name


def _expand_pattern(pattern: str, limits: ImageLimits) -> Expansion:
    found = Expansion()
    matches = map(Path, glob(pattern, recursive=True))  # noqa: PTH207 - Path.glob wants no root
    paths = sorted(matches, key=lambda path: [_natural(part) for part in path.parts])
    base = _fixed_part(pattern)
    for path in paths:
        if path.is_dir():
            continue
        inner = path.relative_to(base).as_posix() if base else path.as_posix()
        status = _status(path)
        if _is_image(path, status):
            found.sources.extend(_images_of(path, status, inner, None, limits))
        else:
            found.ignored.append(printable_name(inner))
    for folder in _closed_folders(pattern):
        inner = folder.relative_to(base).as_posix() if base else folder.as_posix()
        found.sources.append(_unlisted(folder, inner + "/", None))
    if not found.sources:
        raise WrongUsage(
            f"the pattern {printable_name(pattern)!r} matches no images: try it with ls"
        )
    return found


def _closed_folders(pattern: str) -> Iterator[Path]:
    """Folders that a pattern leads through and nobody may look into, which ``glob`` passes over in
    silence. Raises WrongUsage where one is named by the pattern itself."""
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
                raise _closed(folder, error) from None
            if folder.name not in SYSTEM_FOLDERS:
                yield folder


def _fixed_part(pattern: str) -> Path | None:
    """The folders of a pattern before the first that holds a wildcard."""
    fixed: list[str] = []
    for part in Path(pattern).parts[:-1]:
        if has_magic(part):
            break
        fixed.append(part)
    return Path(*fixed) if fixed else None


def _status(path: Path) -> os.stat_result | None:
    """None where the file is missing or cannot be reached."""
    try:
        return path.stat()
    except OSError:
        return None


def _is_image(path: Path, status: os.stat_result | None) -> bool:
    """By its ending, or else by its first bytes. Pipes and devices never are."""
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
    """The file's pages as sources, or the file where it has one image or cannot be read."""
    name, location = printable_name(inner), location_of(path)
    size, changed = (status.st_size, status.st_mtime_ns) if status is not None else (None, None)
    pages = _pages(path, limits) if path.suffix.lower() in PAGED_ENDINGS else None
    if pages is None:
        yield Source(name, location, None, size, root, changed)
    for page in range(1, (pages or 0) + 1):
        yield Source(f"{name}[{page}]", location, page, size, root, changed)


def _pages(path: Path, limits: ImageLimits) -> int | None:
    """None where the file is one image, or none at all: then it fails later, with its reason."""
    try:
        pages = page_count(path, limits)
    except ImageRefused:
        return None
    single = pages == 1 and path.suffix.lower() != ".pdf"
    return None if single or not 1 <= pages <= limits.max_pages else pages


def _barred(path: Path) -> str | None:
    """Why nobody can tell whether there is such a path; None where one can."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        return error.strerror
    return None


def _exists(path: Path) -> bool:
    """Also for links that lead nowhere: the image fails with that reason, not the job."""
    try:
        return os.path.lexists(path)
    except ValueError:
        return False


# --- names


# --- twins
