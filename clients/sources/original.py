"""The file of an image as it was submitted, wherever it is: on this machine, or uploaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader

from clients import local_files, uploads
from clients.local_files import AnyPlace
from clients.sources.location import is_url, place_of
from clients.sources.refused_rows import check_row
from clients.uploads import Uploads
from core.images.uploaded import is_upload, parse_location


@contextmanager
def opened(
    location: str, root: str | None, store: Uploads, max_bytes: int | None = None
) -> Iterator[tuple[BufferedReader, int]]:
    """Like ``local_files.opened``, for any location that is not a URL. An upload of a bucket is
    copied for the block."""
    check_row(location)
    if is_upload(location):
        with (
            uploads.local(store, *parse_location(location), max_bytes) as path,
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
    return None if is_url(location) else place_of(location, root)
