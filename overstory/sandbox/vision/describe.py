"""Decodes an image and describes it from its pixels."""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import mul
from typing import Any

from PIL import Image, ImageChops, ImageFilter

from overstory.sandbox.errors import Refusal, wrong_input
from overstory.sandbox.vision.colours import Names

FORMATS = {"JPEG": "jpeg", "PNG": "png", "GIF": "gif", "WEBP": "webp"}
"""Pillow's name of a format, and its name in a data URL (fact sheet 3.1)."""
SMALLEST_SIDE = 2
PIXELS_MAX = 178_956_970
LEVELS = range(256)
SQUARES = [level * level for level in LEVELS]
COARSE = bytes(level & 0xF8 | 4 for level in LEVELS)  # eight levels become one
NAMES = Names()  # of coarse colours: 32,768 at most
SAMPLE = 64  # pixels per side of the copy that is described
SMALL_BYTES, SMALL_PIXELS = 256 * 1024, 1_000_000
"""Describing so small an image takes 1 ms at most; handing it to a thread takes a third of that."""


@dataclass(frozen=True, slots=True)
class Description:
    """Size in pixels, colours by share (0..1, largest first), brightness 0..255.

    ``word``: what is written on a canary; None for all other pictures.
    """

    width: int
    height: int
    format: str
    colours: tuple[tuple[str, float], ...]
    brightness: float
    contrast: float
    roughness: float
    warmth: float  # mean red minus mean blue
    word: str | None = None

    @property
    def shape(self) -> str:
        """landscape, portrait or square, by pixels. EXIF is ignored (not documented)."""
        if self.width == self.height:
            return "square"
        return "landscape" if self.width > self.height else "portrait"

    @property
    def light(self) -> str:
        return "dark" if self.brightness < 70 else "dim" if self.brightness < 130 else "bright"

    @property
    def texture(self) -> str:
        return "flat" if self.roughness < 2.5 else "textured"

    @property
    def temperature(self) -> str:
        return "warm" if self.warmth > 12 else "cool" if self.warmth < -12 else "neutral"

    @property
    def words(self) -> tuple[str, ...]:
        """The vocabulary's words that describe it; the first is its main colour."""
        return (self.colours[0][0], self.light, self.shape, self.texture, self.temperature)

    def sentence(self) -> str:
        """The description in one line, as in a note about the image."""
        shares = ", ".join(f"{name} {share * 100:.0f} %" for name, share in self.colours[:3])
        tone = "" if self.temperature == "neutral" else f"{self.temperature} "
        return (
            f"{self.width}x{self.height} {self.shape}, mostly {tone}{shares}; {self.light}; "
            f"contrast {self.contrast:.0f}; {self.texture}"
        )


def describe_image(data: bytes) -> Description:
    """Decode and describe an image. Raises Refusal 400 if the API would refuse it."""
    with _opened(data) as image:
        return _describe(image)


def describe_if_small(data: bytes) -> Description | None:
    """The same for an image small enough for the event loop; None for a larger one."""
    if len(data) > SMALL_BYTES:
        return None
    with _opened(data) as image:
        return _describe(image) if image.width * image.height <= SMALL_PIXELS else None


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    """The image, after the checks that need no pixels.

    Raises Refusal 400 for these, and for every error inside the ``with`` block.
    """
    try:
        with Image.open(io.BytesIO(data), formats=tuple(FORMATS)) as image:
            _check(image)
            yield image
    except Refusal:
        raise
    except Exception as error:  # decoders raise anything on broken data
        raise wrong_input(f"image cannot be decoded: {type(error).__name__}") from error


def _check(image: Image.Image) -> None:
    if image.format == "GIF" and getattr(image, "is_animated", False):
        raise wrong_input("animated GIF is not supported")
    if min(image.size) < SMALLEST_SIDE:
        raise wrong_input("Request param: size is invalid, recommended val is: at least 2x2")
    if image.width * image.height > PIXELS_MAX:
        raise wrong_input("image has too many pixels")


def _describe(image: Image.Image) -> Description:
    width, height = image.size
    kind = FORMATS[image.format or ""]
    image.draft("RGB", (SAMPLE, SAMPLE))
    image.load()
    small = _on_black(image).resize((SAMPLE, SAMPLE), Image.Resampling.BOX)
    grey = small.convert("L")
    light = grey.histogram()
    edges = ImageChops.difference(grey, grey.filter(ImageFilter.BoxBlur(2))).histogram()
    shades = small.histogram()  # 256 of red, then of green, then of blue
    return Description(
        width,
        height,
        kind,
        _shares(small),
        brightness=_mean(light, LEVELS),
        contrast=math.sqrt(max(_mean(light, SQUARES) - _mean(light, LEVELS) ** 2, 0.0)),
        roughness=_mean(edges, LEVELS),
        warmth=_mean(shades[:256], LEVELS) - _mean(shades[512:], LEVELS),
    )


def _mean(histogram: Sequence[int], values: Sequence[int]) -> float:
    """The mean of ``values[level]`` over the pixels that ``histogram`` counts by level."""
    total: int = sum(map(mul, histogram, values))
    return total / sum(histogram)


def _on_black(image: Image.Image) -> Image.Image:
    """RGB; transparency becomes black (fact sheet 3.6)."""
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("RGB")
    clear = image.convert("RGBA")
    ground = Image.new("RGBA", clear.size, (0, 0, 0, 255))
    return Image.alpha_composite(ground, clear).convert("RGB")


def _shares(small: Image.Image) -> tuple[tuple[str, float], ...]:
    """Colour names with a share of at least 3 %, largest first; at least one."""
    counts: Counter[str] = Counter()
    coarse = Image.frombytes("RGB", small.size, small.tobytes().translate(COARSE))
    colours: Any = coarse.getcolors(SAMPLE * SAMPLE) or ()
    for count, pixel in colours:
        counts[NAMES[pixel]] += count
    total = counts.total()
    shares = tuple((name, count / total) for name, count in counts.most_common())
    return tuple(pair for pair in shares if pair[1] >= 0.03) or shares[:1]
