"""Where an image is: a path or URL as text that a database takes, and the real file behind it."""

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


def is_url(text: str) -> bool:
    """Whether an input or location is to be fetched rather than opened."""
    return text[:8].lower().startswith(("http://", "https://"))


def location_of(path: Path) -> str:
    """An absolute path as text that a database takes; ``local_path`` reads it back."""
    text = os.path.abspath(path)  # noqa: PTH100 - resolve() would follow the links we check
    try:
        text.encode()
    except UnicodeEncodeError:
        return BYTES_SCHEME + urllib.parse.quote_from_bytes(os.fsencode(text))
    return text


def local_path(location: str) -> Path:
    """The file a non-URL location stands for, also when its name is not valid UTF-8."""
    return Path(system_path(location))


def system_path(location: str) -> str:
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
    if source.root is not None and not is_inside(real, source.root):
        reason = "it is a link that leaves the given folder"
        raise ImageRefused(RefusalCode.OUTSIDE_FOLDER, reason)
    return Path(real)


def stays_inside(source: Source) -> bool:
    place = system_path(source.location)
    linked = source.root is not None and os.path.islink(place)  # noqa: PTH114 - see _place
    return not linked or is_inside(os.path.realpath(place), source.root or "")


def is_inside(real: str, root: str | Path) -> bool:
    """Whether a file is in a folder; ``real``: its path without links."""
    return _is_below(real, str(root)) or _is_below(real, os.path.realpath(root))


def _is_below(real: str, folder: str) -> bool:
    return real == folder or real.startswith(folder.rstrip(os.sep) + os.sep)
