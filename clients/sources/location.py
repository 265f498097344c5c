"""Locations of images: a path or URL as text that a database can store, and its real file."""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clients.local_files import Place
from core.images.uploaded import is_upload

BYTES_SCHEME = "file-bytes:"


@dataclass(frozen=True, slots=True)
class Source:
    """One image of a job: ``name`` for people, ``location`` for ``original`` or ``fetch``.

    ``page`` counts from 1 and is None for files with one image. ``bytes`` is the file's size and
    ``changed_ns`` its modification time; both are None for URLs, and for files that are missing or
    not to be opened. ``root`` is the folder beneath which the file is opened (``storable``, in the
    form of ``local_files.Place``). ``version`` tells whether an object of a bucket has changed (its
    ETag). ``facts`` are what a table says of it: text, numbers, true or false, by column.
    """

    name: str
    location: str
    page: int | None = None
    bytes: int | None = None
    root: str | None = None
    changed_ns: int | None = None
    version: str | None = None
    facts: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Expansion:
    """The images of a job in order; the names of other files in their folders; and the folders and
    files of systems and photo programs that were passed over."""

    sources: list[Source] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)


def is_url(text: str) -> bool:
    """Whether an input or location is an http(s) URL, not a path."""
    return text[:8].lower().startswith(("http://", "https://"))


def known_as(name: str, location: str, page: int | None) -> str:
    """What people call an image: a file by its path, a page and an upload by their names."""
    return name if page or is_upload(location) else location


def absolute(path: str | Path) -> str:
    """The path from ``/`` on, without ``.`` and ``..``. No link is followed: they are checked when
    the file is opened."""
    text = os.path.abspath(path)  # noqa: PTH100 - resolve() would follow the links
    return "/" + text.lstrip("/") if text.startswith("//") else text


def location_of(path: str | Path) -> str:
    """An absolute path as text that a database can store. ``local_path`` reverses it."""
    return storable(absolute(path))


def storable(text: str) -> str:
    """A path as text that a database can store, also if it is not valid UTF-8."""
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


def place_of(location: str, root: str | None, private: tuple[str, ...] = ()) -> Place:
    """Where a file is, and how it may be opened: what ``local_files.opened`` takes."""
    return Place(system_path(location), None if root is None else system_path(root), private)
