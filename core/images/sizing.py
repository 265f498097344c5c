"""Images, decided: how large one is sent, what its bytes are, and how much we accept.

Pure functions of values; no decoder is imported here. Sizes: fact sheet 3.4 and 3.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.catalog.tokens import Detail
from core.errors import ImageRefused, RefusalCode

Family = Literal["step-1o", "step-1v"]
Accelerator = Literal["none", "vips"]
"""Which library may decode plain pictures in Pillow's place, where it is faster."""
MIN_SIDE = 32
"""Sent images are padded with white up to this many pixels a side: the API answers 400 to a 1 x 1
image, and other vision models refuse sides under 10 to 28 pixels."""

LONGEST_LOW: dict[Family, int] = {"step-1o": 728, "step-1v": 1280}
LONGEST_HIGH: dict[Family, int] = {"step-1o": 3024, "step-1v": 2688}
STEP_HIGH: dict[Family, int] = {"step-1o": 504, "step-1v": 1}

REQUEST_BYTES = 20_000_000
REQUEST_IMAGES = 60


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What we accept: pixels by declared size, bytes of a file, longer by shorter side, pages."""

    max_pixels: int = 300_000_000
    max_file_bytes: int = 512_000_000
    max_aspect_ratio: float = 100.0
    max_pages: int = 2_000


def plan_resize(
    width: int, height: int, detail: Detail, family: Family = "step-1o"
) -> tuple[int, int]:
    """The size in pixels at which an image of width x height is sent.

    Never larger than the original, each side at least 1, aspect kept to half a pixel. ``low``
    caps the longest side; ``high`` takes it down to the next multiple of the model's tile, where
    pixels in between would be resampled away by the provider.
    """
    longest = max(width, height)
    target = _longest_sent(longest, detail, family)
    if target >= longest:
        return width, height
    return _scaled(width, target, longest), _scaled(height, target, longest)


def _longest_sent(longest: int, detail: Detail, family: Family) -> int:
    if detail == "low":
        return min(longest, LONGEST_LOW[family])
    capped = min(longest, LONGEST_HIGH[family])
    step = STEP_HIGH[family]
    return capped - capped % step if capped >= step else capped


def _scaled(side: int, target: int, longest: int) -> int:
    return max(1, (2 * side * target + longest) // (2 * longest))


def pad_plan(width: int, height: int) -> tuple[int, int]:
    """The size of the white canvas an image is centred on so that no side is too small to send."""
    return max(width, MIN_SIDE), max(height, MIN_SIDE)


def may_stay(file_bytes: int, width: int, height: int) -> bool:
    """Whether a fitting file is light enough to be sent as it is.

    It may weigh its share of a full request, or half a byte a pixel where many pixels were asked
    for; above that (a lossless PNG of a photo) re-encoding saves whole requests.
    """
    return file_bytes <= max(REQUEST_BYTES // REQUEST_IMAGES, width * height // 2)


def check_size(width: int, height: int, limits: ImageLimits) -> None:
    """Refuse by declared size, before a pixel is decoded.

    Raises ImageRefused: TOO_MANY_PIXELS, ABSURD_ASPECT.
    """
    if width * height > limits.max_pixels:
        raise ImageRefused(
            RefusalCode.TOO_MANY_PIXELS,
            f"it declares {width} x {height} pixels, more than the {limits.max_pixels} allowed"
            " (OVERSTORY_MAX_IMAGE_PIXELS)",
        )
    if max(width, height) > limits.max_aspect_ratio * min(width, height):
        raise ImageRefused(
            RefusalCode.ABSURD_ASPECT,
            f"{width} x {height} is a sliver, longer than {limits.max_aspect_ratio:g} to 1"
            " (OVERSTORY_MAX_ASPECT_RATIO)",
        )


def check_page(page: int | None, pages: int, limits: ImageLimits) -> None:
    """Refuse a page that is not in 1..pages, and documents of too many.

    Raises ImageRefused: TOO_MANY_PAGES, NO_SUCH_PAGE.
    """
    if pages > limits.max_pages:
        raise ImageRefused(
            RefusalCode.TOO_MANY_PAGES,
            f"the document has more than {limits.max_pages} pages (OVERSTORY_MAX_PAGES)",
        )
    if page is not None and not 1 <= page <= pages:
        raise ImageRefused(RefusalCode.NO_SUCH_PAGE, f"there is no page {page}: it has {pages}")
