"""The size at which an image is sent, and the limits on accepted images.

Sizes: fact sheet 3.4 and 3.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from core.catalog.formulas import STEPFUN_SIZES, SentSizes
from core.catalog.tokens import Detail
from core.errors import ImageRefused, RefusalCode

Accelerator = Literal["none", "vips"]
"""Library that decodes plain pictures instead of Pillow where it is faster."""
MIN_SIDE = 32
"""Smaller images are padded with white to this many pixels per side. The API answers 400 to a 1 x 1
image, and other vision models refuse sides under 10 to 28 pixels."""

READABLE_SIDE = 160
"""Pixels of the shorter side as sent. A line on a phone has about 40 characters, so each is left
with 4 pixels; text recognition needs 10 to 20 (tesseract-ocr.github.io/tessdoc/ImproveQuality)."""
NOTABLE_SHRINK = 2
"""An image that is less reduced than this was small already."""
PIECE_ASPECT = 2
"""Of pieces that are worth cutting: longer by shorter side."""

REQUEST_BYTES = 20_000_000
REQUEST_IMAGES = 60


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Limits on accepted images: declared pixels, file bytes, longer by shorter side, pages."""

    max_pixels: int = 300_000_000
    max_file_bytes: int = 512_000_000
    max_aspect_ratio: float = 100.0
    max_pages: int = 2_000


@dataclass(frozen=True, slots=True)
class DecoderLimits:
    """What one image may take: seconds of wall clock and of CPU time, and bytes of memory."""

    seconds: float = 60.0
    memory_bytes: int = 4_000_000_000


def narrow_remark(
    full: tuple[int, int],
    sent: tuple[int, int],
    detail: Detail,
    sizes: SentSizes = STEPFUN_SIZES,
) -> str:
    """What to tell about an image of size ``full`` that is too narrow as ``sent``; empty if it is
    wide enough, or was hardly wider before."""
    if not is_too_narrow(full, sent):
        return ""
    across, down = full
    is_high_enough = detail == "low" and not is_too_narrow(full, sizes.of(across, down, "high"))
    return (
        f"{across} x {down} is sent as {sent[0]} x {sent[1]}, in which text and small things cannot"
        f" be read: {pieces_advice(full, is_high_enough)}"
    )


def pieces_advice(full: tuple[int, int], is_high_enough: bool) -> str:
    """What to do about an image of size ``full`` that cannot be read as it is sent."""
    pieces = math.ceil(max(full) / (PIECE_ASPECT * min(full)))
    advice = f"cut it into {pieces} pieces and give those"
    return f"{advice}, or use --detail high" if is_high_enough else advice


def is_too_narrow(full: tuple[int, int], sent: tuple[int, int]) -> bool:
    """Whether an image of size ``full`` loses too much as it is ``sent``."""
    return min(sent) < READABLE_SIDE and min(full) >= NOTABLE_SHRINK * min(sent)


def pad_plan(width: int, height: int) -> tuple[int, int]:
    """Size of the white canvas that makes no side too small to send; the image is centred on it."""
    return max(width, MIN_SIDE), max(height, MIN_SIDE)


def may_stay(file_bytes: int, width: int, height: int) -> bool:
    """Whether a file that needs no resizing is small enough to be sent unchanged.

    The limit is its share of a full request, or half a byte per pixel if that is more. Re-encoding
    a larger file (a lossless PNG of a photo) saves whole requests.
    """
    return file_bytes <= max(REQUEST_BYTES // REQUEST_IMAGES, width * height // 2)


def check_size(width: int, height: int, limits: ImageLimits) -> None:
    """Check the declared size before any pixel is decoded.

    Raises ImageRefused: TOO_MANY_PIXELS, ABSURD_ASPECT.
    """
    if width * height > limits.max_pixels:
        raise ImageRefused(
            RefusalCode.TOO_MANY_PIXELS,
            f"it declares {width} x {height} pixels, more than the {limits.max_pixels} allowed"
            " (OVERSTORY_MAX_IMAGE_PIXELS)",
        )
    check_aspect(width, height, limits)


def check_aspect(width: int, height: int, limits: ImageLimits) -> None:
    """Raises ImageRefused: ABSURD_ASPECT."""
    if max(width, height) > limits.max_aspect_ratio * min(width, height):
        raise ImageRefused(
            RefusalCode.ABSURD_ASPECT,
            f"{width} x {height} is too long and thin, more than {limits.max_aspect_ratio:g} to 1"
            " (OVERSTORY_MAX_ASPECT_RATIO)",
        )


def check_page(page: int | None, pages: int, limits: ImageLimits) -> None:
    """Check that a page is in 1..pages and that the document is not too long.

    Raises ImageRefused: TOO_MANY_PAGES, NO_SUCH_PAGE.
    """
    if pages > limits.max_pages:
        raise ImageRefused(
            RefusalCode.TOO_MANY_PAGES,
            f"the document has more than {limits.max_pages} pages (OVERSTORY_MAX_PAGES)",
        )
    if page is not None and not 1 <= page <= pages:
        raise ImageRefused(
            RefusalCode.NO_SUCH_PAGE, f"there is no page {page}: the document has {pages}"
        )
