"""The file of an image as it was submitted, wherever it is: on this machine, uploaded, in a bucket,
or in an archive."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from clients import archives, local_files, uploads
from clients.local_files import AnyPlace
from clients.objects import bucket_of
from clients.sources.location import is_url, place_of, system_path
from clients.sources.refused_rows import check_row
from clients.uploads import Uploads
from core.images.members import is_member, parse_member
from core.images.objects import is_object, parse_object
from core.images.uploaded import is_upload, parse_location


@contextmanager
def opened(
    location: str, root: str | None, store: Uploads, max_bytes: int | None = None
) -> Iterator[tuple[BufferedReader, int]]:
    """Like ``local_files.opened``, for any location that is not a URL. What is in a bucket or an
    archive is copied for the block, as it is now."""
    check_row(location)
    if is_upload(location):
        with (
            uploads.local(store, *parse_location(location), max_bytes) as path,
            local_files.opened(path, max_bytes) as file,
        ):
            yield file
    elif is_kept_apart(location):
        with (
            copied(location, root, max_bytes) as path,
            local_files.opened(path, max_bytes) as file,
        ):
            yield file
    else:
        with local_files.opened(place_of(location, root), max_bytes) as file:
            yield file


def on_disk(location: str, root: str | None, store: Uploads) -> AnyPlace | None:
    """Where the file is; None if it is on no disk of ours."""
    if is_upload(location):
        return store.path(*parse_location(location))
    if is_url(location) or is_kept_apart(location):
        return None
    return place_of(location, root)


def is_kept_apart(location: str) -> bool:
    """Whether the image has no file of its own, so that ``save`` writes one."""
    return is_object(location) or is_member(location)


def save(
    location: str,
    root: str | None,
    path: Path,
    max_bytes: int | None,
    version: str | None = None,
    private: tuple[str, ...] = (),
) -> None:
    """Write a copy of an image that is kept apart to a new file. ``version``: that it must have
    still. Raises ImageRefused; ObjectAway if it may be tried again."""
    if is_object(location):
        name = parse_object(location)
        bucket_of(name).save(name.key, path, max_bytes, version)
    else:
        member = parse_member(location)
        place = place_of(member.archive, root, private)
        archives.save(place, system_path(member.inner), path, max_bytes, version)


@contextmanager
def copied(
    location: str,
    root: str | None,
    max_bytes: int | None,
    version: str | None = None,
    private: tuple[str, ...] = (),
) -> Iterator[Path]:
    """What ``save`` writes, for the block, in a folder that nobody else can read."""
    with tempfile.TemporaryDirectory(prefix="overstory-") as folder:
        path = Path(folder) / "image"
        save(location, root, path, max_bytes, version, private)
        yield path


def first_bytes(location: str, most: int) -> bytes:
    """The first bytes of an object, by one request. Raises ImageRefused."""
    name = parse_object(location)
    return bucket_of(name).first(name.key, most)
