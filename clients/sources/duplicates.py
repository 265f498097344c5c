"""Duplicates within a job: files with the same bytes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from clients import local_files
from clients.sources.location import Source, is_url, local_path, stays_inside, system_path
from core.errors import ImageRefused

SAMPLE_BYTES = 16 * 1024
"""Scans and bursts come in files of one size: thousands of them are told apart by this much."""


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
    sizes = {s.location: s.bytes for s in sources if not is_url(s.location) and stays_inside(s)}
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
    wanted = [(system_path(at), places) for at, places in samples.items()]
    read = local_files.samples(wanted, SAMPLE_BYTES)
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
        with local_files.opened(local_path(location)) as (file, _):
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (ImageRefused, OSError):
        return None
