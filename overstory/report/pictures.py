"""Pictures for a report: one small JPEG for each distinct image, sized by how many there are."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from clients.blobs import Blobs
from clients.images.decoder import Decoder
from clients.sources import location, original
from clients.uploads import Uploads
from core.errors import ImageRefused, ServiceAway
from core.images.sizing import ImageLimits
from models.reads.inspect import ImageLine

THREADS = min(4, os.cpu_count() or 1)
"""Each has a decoding process; more threads than this only wait for the disk."""


@dataclass(frozen=True, slots=True)
class PictureSize:
    """Longest side in pixels, and JPEG quality."""

    side: int
    quality: int


STEPS = (
    (100, PictureSize(520, 64)),
    (300, PictureSize(400, 60)),
    (800, PictureSize(240, 56)),
    (2_000, PictureSize(144, 52)),
)
"""(largest number of pictures, their size)."""
SMALLEST = PictureSize(96, 50)
"""About 2 KB a picture: 12 MB of report for 5,000."""
PICTURES_MAX = 12_000
"""A browser handles a file of 40 MB well; further images are shown by name and note only."""


def size_for(count: int) -> PictureSize:
    """The size of pictures in a report with ``count`` of them."""
    return next((size for most, size in STEPS if count <= most), SMALLEST)


@dataclass(frozen=True, slots=True)
class Pictures:
    """Base64 JPEGs, and the index of each image's picture by the image's position."""

    encoded: list[str]
    index_of: dict[int, int]


def pictures(
    images: Sequence[ImageLine],
    blobs: Blobs,
    uploads: Uploads,
    limits: ImageLimits,
    decoder: Decoder,
    size: PictureSize | None = None,
) -> Pictures:
    """A picture of each image whose content is available; duplicates share one. Without ``size``,
    their number decides."""
    chosen = _distinct(images)[:PICTURES_MAX]
    size = size or size_for(len(chosen))
    with ThreadPoolExecutor(THREADS) as pool:
        jpegs = list(
            pool.map(lambda image: picture(image, blobs, uploads, limits, decoder, size), chosen)
        )
    encoded: list[str] = []
    index_of_sha: dict[str, int] = {}
    for image, jpeg in zip(chosen, jpegs, strict=True):
        if jpeg is not None:
            index_of_sha[image.sha256 or ""] = len(encoded)
            encoded.append(base64.b64encode(jpeg).decode())
    return Pictures(encoded, _by_position(images, index_of_sha))


def positions_of_pictures(images: Sequence[ImageLine]) -> dict[int, int]:
    """For each image of which a picture can be drawn, the position of one with that picture."""
    return _by_position(images, {image.sha256 or "": image.position for image in _distinct(images)})


def _distinct(images: Sequence[ImageLine]) -> list[ImageLine]:
    first_of: dict[str, ImageLine] = {}
    for image in images:
        if image.sha256 and image.prepared_bytes:
            first_of.setdefault(image.sha256, image)
    return list(first_of.values())


def _by_position(images: Sequence[ImageLine], index_of_sha: dict[str, int]) -> dict[int, int]:
    """A duplicate shows the picture of its original."""
    sha_of = {image.position: image.sha256 for image in images}
    index_of: dict[int, int] = {}
    for image in images:
        sha = image.sha256 or sha_of.get(image.duplicate_of or 0)
        if sha in index_of_sha:
            index_of[image.position] = index_of_sha[sha]
    return index_of


def picture(
    image: ImageLine,
    blobs: Blobs,
    uploads: Uploads,
    limits: ImageLimits,
    decoder: Decoder,
    size: PictureSize,
) -> bytes | None:
    """A JPEG of one image; None if its content is gone."""
    data = _prepared(image, blobs, uploads, limits, decoder)
    return None if data is None else decoder.thumbnail(data, size.side, size.quality)


def _prepared(
    image: ImageLine, blobs: Blobs, uploads: Uploads, limits: ImageLimits, decoder: Decoder
) -> bytes | None:
    """The bytes that were sent. If they are pruned: prepared again, if the source is unchanged."""
    try:
        data = blobs.get(image.sha256 or "")
    except ServiceAway:
        data = None
    if data is not None or location.is_url(image.location):
        return data
    try:
        with original.opened(image.location, image.root, uploads, limits.max_file_bytes) as found:
            prepared = decoder.prepare(*found, detail="low", limits=limits, page=image.page)
    except (ImageRefused, ServiceAway):
        return None
    return prepared.data if prepared.source_sha256 == image.source_sha256 else None
