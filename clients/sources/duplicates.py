"""Duplicates within a job: files with the same bytes."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence

from clients import archives, local_files
from clients.sources.location import Source, is_url, place_of, system_path
from core.errors import ImageRefused
from core.images.members import is_member, parse_member
from core.images.objects import is_object
from core.images.uploaded import is_upload

_MD5 = re.compile(r'"?([0-9a-f]{32})"?')
"""The ETag of an object that came in one part, unless it is encrypted with a key of its own."""
SAMPLE_BYTES = 16 * 1024
"""Scans and bursts can be thousands of files of equal size; this much distinguishes them."""


def content_twins(sources: Sequence[Source]) -> dict[int, int]:
    """index -> index of the first source with the same bytes and page, for each duplicate.

    Among files of equal size it reads one sample, then two more, then the whole file, as long as
    they are equal. A file that cannot be read is never a duplicate.
    """
    first: dict[tuple[str, int | None], int] = {}
    duplicates: dict[int, int] = {}
    contents = _contents(sources)
    for index, source in enumerate(sources):
        content = contents.get(source.location)
        if content is None:
            continue
        earlier = first.setdefault((content, source.page), index)
        if earlier != index:
            duplicates[index] = earlier
    return duplicates


def _contents(sources: Sequence[Source]) -> dict[str, str]:
    """location -> what identifies its bytes: the URL; the location of an upload; the MD5 of an
    object; the location if no other file is like it; else the hash. Files without a known size are
    missing: they will be refused, and a good file must not become the duplicate of one that fails.
    """
    contents = {s.location: name for s in sources if (name := _named(s)) is not None}
    contents |= _of_members([s for s in sources if is_member(s.location)])
    roots = {s.location: s.root for s in sources}
    sizes = {s.location: s.bytes for s in sources if s.location not in contents}
    prints: dict[str, object] = {at: size for at, size in sizes.items() if size is not None}
    for offsets in (_head, _middle_and_end):
        counts = Counter(prints.values())
        contents |= {at: at for at, print_ in prints.items() if counts[print_] == 1}
        rest = [at for at, print_ in prints.items() if counts[print_] > 1]
        hashes = _sample_hashes({at: offsets(sizes[at] or 0) for at in rest}, roots)
        prints = {at: (prints[at], hash_) for at, hash_ in hashes.items() if hash_ is not None}
    counts = Counter(prints.values())
    for at, print_ in prints.items():
        content = _hash(at, roots[at]) if counts[print_] > 1 else at
        if content is not None:
            contents[at] = content
    return contents


def _named(source: Source) -> str | None:
    """What identifies the bytes of an image that is not to be read; None for a file. An object is
    known by the MD5 of its bytes, where its ETag is one: nothing is downloaded."""
    at = source.location
    if is_object(at):
        digest = _MD5.fullmatch(source.version or "")
        return f"{digest[1]} {source.bytes}" if digest and source.bytes else at
    return at if is_url(at) or is_upload(at) else None


def _of_members(sources: Sequence[Source]) -> dict[str, str]:
    """The same for files in archives. A ZIP tells their CRC-32, so few are read to compare them."""
    first = {source.location: source for source in sources}
    counts = Counter((source.bytes or 0, _crc(source)) for source in first.values())
    contents = {}
    for source in first.values():
        alike = counts[(source.bytes or 0, _crc(source))] > 1
        content = _member_hash(source) if alike else source.location
        contents[source.location] = content or source.location
    return contents


def _crc(source: Source) -> str:
    version = source.version or ""
    return version if version.startswith("crc32:") else ""


def _member_hash(source: Source) -> str | None:
    member = parse_member(source.location)
    return archives.digest(place_of(member.archive, source.root), system_path(member.inner))


def _sample_hashes(
    offsets: dict[str, list[int]], roots: dict[str, str | None]
) -> dict[str, str | None]:
    """location -> hash of its samples at the offsets; None if they cannot be read."""
    wanted = [(place_of(at, roots[at]), places) for at, places in offsets.items()]
    samples = local_files.samples(wanted, SAMPLE_BYTES)
    return {
        at: None if pieces is None else hashlib.sha256(b"".join(pieces)).hexdigest()
        for at, pieces in zip(offsets, samples, strict=True)
    }


def _head(size: int) -> list[int]:
    """The first sample's offset: cameras write the time and a thumbnail there."""
    return [0]


def _middle_and_end(size: int) -> list[int]:
    last = max(size - SAMPLE_BYTES, 0)
    return [last // 2, last]


def _hash(location: str, root: str | None) -> str | None:
    """The hash of the whole file; None if it cannot be read."""
    try:
        with local_files.opened(place_of(location, root)) as (file, _):
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (ImageRefused, OSError):
        return None
