"""What people point at, as a list of single images: files, folders, globs, documents, URLs.

``expand`` decides what belongs to a job, in an order people expect, and raises before anything is
submitted. What is wrong with one file is found later, by ``check_local`` and ``prepare``, and
fails that image alone.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import urllib.parse
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from glob import glob, has_magic
from pathlib import Path

from clients import disk, imaging
from clients.download import FetchRules, fetch
from core.errors import ImageRefused, RefusalCode, WrongUsage
from core.images.formats import IMAGE_ENDINGS, SNIFF_BYTES, sniff
from core.images.sizing import ImageLimits
from core.text.printable import printable_name

__all__ = [
    "Expansion",
    "FetchRules",
    "Source",
    "check_local",
    "content_twins",
    "expand",
    "fetch",
    "is_url",
    "local_path",
]

SAMPLE_BYTES = 16 * 1024
"""Scans and bursts come in files of one size: thousands of them are told apart by this much."""
SYSTEM_FOLDERS = frozenset({"lost+found", "System Volume Information", "$RECYCLE.BIN"})
"""Closed to people at the root of a disk, and of no concern to them."""
PAGED_ENDINGS = (".pdf", ".tif", ".tiff")
BYTES_SCHEME = "file-bytes:"
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Source:
    """One image of a job: ``name`` for people, ``location`` for ``local_path`` or ``fetch``.

    ``page`` counts from 1 and is None for files of one image; ``bytes`` is the file's size and
    ``changed_ns`` the time of its last change, None for URLs and missing files; ``root`` is the
    given folder, which a symlink may not leave.
    """

    name: str
    location: str
    page: int | None = None
    bytes: int | None = None
    root: str | None = None
    changed_ns: int | None = None


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
    return Expansion(_distinct(found.sources), found.ignored)


def _expand_one(text: str, limits: ImageLimits) -> Expansion:
    if is_url(text):
        return Expansion([Source(_url_name(text), _url(text))])
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


def is_url(text: str) -> bool:
    """Whether an input or location is to be fetched rather than opened."""
    return text[:8].lower().startswith(("http://", "https://"))


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
    if is_folder and entry.is_symlink() and not _inside(os.path.realpath(path), root):
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
    return Source(printable_name(inner), _location(folder), root=root)


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
    name, location = printable_name(inner), _location(path)
    size, changed = (status.st_size, status.st_mtime_ns) if status is not None else (None, None)
    pages = _pages(path, limits) if path.suffix.lower() in PAGED_ENDINGS else None
    if pages is None:
        yield Source(name, location, None, size, root, changed)
    for page in range(1, (pages or 0) + 1):
        yield Source(f"{name}[{page}]", location, page, size, root, changed)


def _pages(path: Path, limits: ImageLimits) -> int | None:
    """None where the file is one image, or none at all: then it fails later, with its reason."""
    try:
        pages = imaging.page_count(path, limits)
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


def _location(path: Path) -> str:
    """An absolute path as text that a database takes; ``local_path`` reads it back."""
    text = os.path.abspath(path)  # noqa: PTH100 - resolve() would follow the links we check
    try:
        text.encode()
    except UnicodeEncodeError:
        return BYTES_SCHEME + urllib.parse.quote_from_bytes(os.fsencode(text))
    return text


def local_path(location: str) -> Path:
    """The file a non-URL location stands for, also when its name is not valid UTF-8."""
    return Path(_place(location))


def _place(location: str) -> str:
    """The same as the system takes it: planning asks for it twice a file, and a Path takes longer
    to make than to use."""
    if location.startswith(BYTES_SCHEME):
        return os.fsdecode(urllib.parse.unquote_to_bytes(location.removeprefix(BYTES_SCHEME)))
    return location


def check_local(source: Source) -> Path:
    """The real file behind a source, which may be none that can be read: who opens it finds out.

    Raises ImageRefused: MISSING, UNREADABLE, OUTSIDE_FOLDER.
    """
    try:
        real = os.path.realpath(local_path(source.location), strict=True)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise ImageRefused(RefusalCode.MISSING, "there is no such file (any more)") from None
    except (OSError, RuntimeError) as error:
        reason = f"the file cannot be reached ({getattr(error, 'strerror', error)})"
        raise ImageRefused(RefusalCode.UNREADABLE, reason) from None
    if source.root is not None and not _inside(real, source.root):
        reason = "it is a link that leaves the given folder"
        raise ImageRefused(RefusalCode.OUTSIDE_FOLDER, reason)
    return Path(real)


def _stays_inside(source: Source) -> bool:
    place = _place(source.location)
    linked = source.root is not None and os.path.islink(place)  # noqa: PTH114 - see _place
    return not linked or _inside(os.path.realpath(place), source.root or "")


def _inside(real: str, root: str | Path) -> bool:
    """Whether a file is in a folder; ``real``: its path without links."""
    return _is_below(real, str(root)) or _is_below(real, os.path.realpath(root))


def _is_below(real: str, folder: str) -> bool:
    return real == folder or real.startswith(folder.rstrip(os.sep) + os.sep)


# --- names


def _url_name(url: str) -> str:
    """Host and path: queries hold signatures and secrets."""
    try:
        parts = urllib.parse.urlsplit(url)
        return printable_name(f"{parts.hostname}{urllib.parse.unquote(parts.path)}".rstrip("/"))
    except ValueError:
        return printable_name(url)


def _distinct(sources: list[Source]) -> list[Source]:
    """Different files under one name get as many parent folders in front as tell them apart."""
    locations: defaultdict[str, set[str]] = defaultdict(set)
    for source in sources:
        locations[source.name].add(source.location)
    shared = {name for name, where in locations.items() if len(where) > 1}
    if not shared:
        return sources
    longer = {name: _told_apart(name, locations[name]) for name in shared}
    return [replace(s, name=longer[s.name][s.location]) if s.name in shared else s for s in sources]


def _told_apart(name: str, locations: Iterable[str]) -> dict[str, str]:
    """location -> a name of its own."""
    where = sorted(locations)
    parents = {at: _parents(at, name) for at in where}
    for depth in range(1, 1 + max(len(p) for p in parents.values())):
        names = {at: "/".join((*parents[at][-depth:], name)) for at in where}
        if max(Counter(names.values()).values()) == 1:
            return names
    return {at: f"{name}#{number}" for number, at in enumerate(where, 1)}


def _parents(location: str, name: str) -> list[str]:
    if is_url(location):
        return []
    parts = [printable_name(p) for p in local_path(location).parts[1:]]
    return parts[: len(parts) - 1 - name.count("/")]


# --- twins


def content_twins(sources: Sequence[Source]) -> dict[int, int]:
    """index -> index of the first source with the same bytes and page.

    Of files of equal size a sample is read, then two more, then the whole, as long as they are
    alike; a file that cannot be read is no twin.
    """
    first: dict[tuple[str, int | None], int] = {}
    twins: dict[int, int] = {}
    contents = _contents(sources)
    for index, source in enumerate(sources):
        content = contents.get(source.location)
        if content is None:
            continue
        earlier = first.setdefault((content, source.page), index)
        if earlier != index:
            twins[index] = earlier
    return twins


def _contents(sources: Sequence[Source]) -> dict[str, str]:
    """location -> what stands for its bytes: the URL, the location where no other file is like it,
    else the hash. Files that are going to be refused have none: a good file must not be the
    duplicate of one that fails.
    """
    contents = {s.location: s.location for s in sources if is_url(s.location)}
    sizes = {s.location: s.bytes for s in sources if not is_url(s.location) and _stays_inside(s)}
    alike: dict[str, object] = {at: size for at, size in sizes.items() if size is not None}
    for samples in (_head, _middle_and_end):
        crowd = Counter(alike.values())
        contents |= {at: at for at, look in alike.items() if crowd[look] == 1}
        rest = [at for at, look in alike.items() if crowd[look] > 1]
        looks = _looks({at: samples(sizes[at] or 0) for at in rest})
        alike = {at: (alike[at], look) for at, look in looks.items() if look is not None}
    crowd = Counter(alike.values())
    for at, look in alike.items():
        content = _hash(at) if crowd[look] > 1 else at
        if content is not None:
            contents[at] = content
    return contents


def _looks(samples: dict[str, list[int]]) -> dict[str, str | None]:
    """location -> hash of its samples; None where they cannot be read."""
    wanted = [(_place(at), places) for at, places in samples.items()]
    read = disk.samples(wanted, SAMPLE_BYTES)
    return {
        at: None if pieces is None else hashlib.sha256(b"".join(pieces)).hexdigest()
        for at, pieces in zip(samples, read, strict=True)
    }


def _head(size: int) -> list[int]:
    """Where to read SAMPLE_BYTES first: cameras write the time there, and a small picture."""
    return [0]


def _middle_and_end(size: int) -> list[int]:
    last = max(size - SAMPLE_BYTES, 0)
    return [last // 2, last]


def _hash(location: str) -> str | None:
    """Of the whole file; None where it cannot be read."""
    try:
        with disk.opened(local_path(location)) as (file, _):
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (ImageRefused, OSError):
        return None
