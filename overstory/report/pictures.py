"""Pictures for a report: one small JPEG a content, sized so that the file stays reasonable."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from clients.blobs import Blobs
from clients.images.pillow import thumbnail
from clients.images.prepare import prepare
from clients.sources import location
from core.errors import ImageRefused, ServiceAway
from core.images.sizing import ImageLimits
from models.reads.inspect import ImageLine

THREADS = 4
"""Decoders let other threads run; more than this many wait for the disk."""


@dataclass(frozen=True, slots=True)
class Look:
    """Longest side in pixels, and JPEG quality."""

    side: int
    quality: int


STEPS = ((100, Look(520, 64)), (300, Look(400, 60)), (800, Look(240, 56)), (2_000, Look(144, 52)))
SMALLEST = Look(96, 50)
"""About 2 KB a picture: 12 MB of report for 5,000."""
PICTURES_MAX = 12_000
"""A browser takes a file of 40 MB well; images above are shown by name and note."""


def look_of(count: int) -> Look:
    """How large pictures are in a report with ``count`` of them."""
    return next((look for most, look in STEPS if count <= most), SMALLEST)


@dataclass(frozen=True, slots=True)
class Pictures:
    """Base64 JPEGs, and which image (by position) shows which."""

    encoded: list[str]
    index_of: dict[int, int]


def pictures(images: Sequence[ImageLine], blobs: Blobs, limits: ImageLimits) -> Pictures:
    """A picture for each image that has one; images of the same content share it."""
    first_of: dict[str, ImageLine] = {}
    for image in images:
        if image.sha256 and image.prepared_bytes:
            first_of.setdefault(image.sha256, image)
    chosen = list(first_of.values())[:PICTURES_MAX]
    look = look_of(len(chosen))
    with ThreadPoolExecutor(THREADS) as pool:
        made = list(pool.map(lambda image: _picture(image, blobs, limits, look), chosen))
    encoded: list[str] = []
    index_of_sha: dict[str, int] = {}
    for image, jpeg in zip(chosen, made, strict=True):
        if jpeg is not None:
            index_of_sha[image.sha256 or ""] = len(encoded)
            encoded.append(base64.b64encode(jpeg).decode())
    return Pictures(encoded, _by_position(images, index_of_sha))


def _by_position(images: Sequence[ImageLine], index_of_sha: dict[str, int]) -> dict[int, int]:
    """A duplicate shows what its first shows."""
    sha_of = {image.position: image.sha256 for image in images}
    found: dict[int, int] = {}
    for image in images:
        sha = image.sha256 or sha_of.get(image.duplicate_of or 0)
        if sha in index_of_sha:
            found[image.position] = index_of_sha[sha]
    return found


def _picture(image: ImageLine, blobs: Blobs, limits: ImageLimits, look: Look) -> bytes | None:
    data = _prepared(image, blobs, limits)
    return None if data is None else thumbnail(data, look.side, look.quality)


def _prepared(image: ImageLine, blobs: Blobs, limits: ImageLimits) -> bytes | None:
    """The bytes that were sent; from the source again where they are gone and it is unchanged."""
    try:
        data = blobs.get(image.sha256 or "")
    except ServiceAway:
        data = None
    if data is not None or location.is_url(image.location):
        return data
    source = location.Source(image.name, image.location, image.page, None, image.root)
    try:
        path: Path = location.check_local(source)
        made = prepare(path, detail="low", limits=limits, page=image.page)
    except ImageRefused:
        return None
    return made.data if made.source_sha256 == image.source_sha256 else None
