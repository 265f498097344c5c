"""Locations of images: a path or URL as text that a database can store, and its real file."""

from __future__ import annotations

import os
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from core.errors import ImageRefused, RefusalCode

BYTES_SCHEME = "file-bytes:"


@dataclass(frozen=True, slots=True)
class Source:
    """One image of a job: ``name`` for people, ``location`` for ``local_path`` or ``fetch``.

    ``page`` counts from 1 and is None for files with one image. ``bytes`` is the file's size and
    ``changed_ns`` its modification time; both are None for URLs and missing files. ``root`` is
    the input folder, which a symlink may not leave.
    """

    name: str
    location: str
    page: int | None = None
    bytes: int | None = None
    root: str | None = None
    changed_ns: int | None = None


def is_url(text: str) -> bool:
    """Whether an input or location is an http(s) URL, not a path."""
    return text[:8].lower().startswith(("http://", "https://"))


def location_of(path: Path) -> str:
    """An absolute path as text that a database can store. ``local_path`` reverses it."""
    text = os.path.abspath(path)  # noqa: PTH100 - resolve() would follow the links we check
    try:
        text.encode()
    except UnicodeEncodeError:
        return BYTES_SCHEME + urllib.parse.quote_from_bytes(os.fsencode(text))
    return text


def local_path(location: str) -> Path:
    """The file of a location that is not a URL, also if its name is not valid UTF-8."""
    return Path(system_path(location))


def system_path(location: str) -> str:
    """``local_path`` as a string: planning needs it twice a file, and making a Path is slower than
    using it."""
    if location.startswith(BYTES_SCHEME):
        return os.fsdecode(urllib.parse.unquote_to_bytes(location.removeprefix(BYTES_SCHEME)))
    return location


def check_local(source: Source) -> Path:
    """The real path of a source's file. Whether the file can be read is not checked.

    Raises ImageRefused: MISSING, UNREADABLE, OUTSIDE_FOLDER.
    """
    try:
        real = os.path.realpath(local_path(source.location), strict=True)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise ImageRefused(RefusalCode.MISSING, "there is no such file") from None
    except (OSError, RuntimeError) as error:
        reason = f"the file cannot be reached ({getattr(error, 'strerror', error)})"
        raise ImageRefused(RefusalCode.UNREADABLE, reason) from None
    if source.root is not None and not is_inside(real, source.root):
        reason = "it is a link that leaves the input folder"
        raise ImageRefused(RefusalCode.OUTSIDE_FOLDER, reason)
    return Path(real)


def stays_inside(source: Source) -> bool:
    """Whether the source's file is in the input folder, or there is no such folder."""
    path = system_path(source.location)
    linked = source.root is not None and os.path.islink(path)  # noqa: PTH114 - see system_path
    return not linked or is_inside(os.path.realpath(path), source.root or "")


def is_inside(real: str, root: str | Path) -> bool:
    """Whether a file is inside a folder; ``real``: the file's path without links."""
    return _is_below(real, str(root)) or _is_below(real, os.path.realpath(root))


def _is_below(real: str, folder: str) -> bool:
    return real == folder or real.startswith(folder.rstrip(os.sep) + os.sep)
