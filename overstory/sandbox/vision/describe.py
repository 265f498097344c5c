"""What an image looks like: decoded for real, then described from its pixels."""

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
"""What Pillow calls a format, and what a data URL calls it (fact sheet 3.1)."""
SMALLEST_SIDE = 2
PIXELS_MAX = 178_956_970
LEVELS = range(256)
SQUARES = [level * level for level in LEVELS]
COARSE = bytes(level & 0xF8 | 4 for level in LEVELS)  # eight shades as one
NAMES = Names()  # of coarse colours: 32,768 at most
GLANCE = 64  # pixels a side of the copy that is described
QUICK_BYTES, QUICK_PIXELS = 256 * 1024, 1_000_000
"""Looking at so little takes a millisecond at most, and handing it to a thread a third of one."""


@dataclass(frozen=True, slots=True)
class Description:
    """What is seen: size in pixels, colours by share (0..1, largest first), brightness 0..255."""

    width: int
    height: int
    format: str
    colours: tuple[tuple[str, float], ...]
    brightness: float
    contrast: float
    roughness: float
    warmth: float  # mean red minus mean blue

    @property
    def shape(self) -> str:
        """landscape, portrait or square, by pixels: EXIF is not followed (not documented)."""
        if self.width == self.height:
            return "square"
        return "landscape" if self.width > self.height else "portrait"

    @property
    def light(self) -> str:
        """dark, dim or bright."""
        return "dark" if self.brightness < 70 else "dim" if self.brightness < 130 else "bright"

    @property
    def texture(self) -> str:
        """flat or textured."""
        return "flat" if self.roughness < 2.5 else "textured"

    @property
    def temperature(self) -> str:
        """warm, cool or neutral."""
        return "warm" if self.warmth > 12 else "cool" if self.warmth < -12 else "neutral"

    @property
    def words(self) -> tuple[str, ...]:
        """The vocabulary's words that are true of it; the first is its main colour."""
        return (self.colours[0][0], self.light, self.shape, self.texture, self.temperature)

    def sentence(self) -> str:
        """One line, as a note about the image would say it."""
        shares = ", ".join(f"{name} {share * 100:.0f} %" for name, share in self.colours[:3])
        tone = "" if self.temperature == "neutral" else f"{self.temperature} "
        return (
            f"{self.width}x{self.height} {self.shape}, mostly {tone}{shares}; {self.light}; "
            f"contrast {self.contrast:.0f}; {self.texture}"
        )


def look_at(data: bytes) -> Description:
    """Decode and describe an image. Raises Refusal 400 for what the API would not take."""
    with _opened(data) as image:
        return _describe(image)


def quick_look(data: bytes) -> Description | None:
    """The same for an image so small that nobody needs to wait for it elsewhere, else None."""
    if len(data) > QUICK_BYTES:
        return None
    with _opened(data) as image:
        return _describe(image) if image.width * image.height <= QUICK_PIXELS else None


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    """The image, past the checks that need no pixel. Raises Refusal 400, also for what fails
    inside the block."""
    try:
        with Image.open(io.BytesIO(data), formats=tuple(FORMATS)) as image:
            _check(image)
            yield image
    except Refusal:
        raise
    except Exception as error:  # decoders raise whatever they like on broken data
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
    image.draft("RGB", (GLANCE, GLANCE))
    image.load()
    small = _on_black(image).resize((GLANCE, GLANCE), Image.Resampling.BOX)
    grey = small.convert("L")
    light = grey.histogram()
    rough = ImageChops.difference(grey, grey.filter(ImageFilter.BoxBlur(2))).histogram()
    shades = small.histogram()  # 256 of red, then of green, then of blue
    return Description(
        width,
        height,
        kind,
        _shares(small),
        brightness=_mean(light, LEVELS),
        contrast=math.sqrt(max(_mean(light, SQUARES) - _mean(light, LEVELS) ** 2, 0.0)),
        roughness=_mean(rough, LEVELS),
        warmth=_mean(shades[:256], LEVELS) - _mean(shades[512:], LEVELS),
    )


def _mean(histogram: Sequence[int], values: Sequence[int]) -> float:
    """Over the pixels counted by level, of what ``values`` has for each level."""
    total: int = sum(map(mul, histogram, values))
    return total / sum(histogram)


def _on_black(image: Image.Image) -> Image.Image:
    """RGB; transparency becomes black, as the fact sheet (3.6) says."""
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("RGB")
    clear = image.convert("RGBA")
    ground = Image.new("RGBA", clear.size, (0, 0, 0, 255))
    return Image.alpha_composite(ground, clear).convert("RGB")


def _shares(small: Image.Image) -> tuple[tuple[str, float], ...]:
    """Colour names by share, those of at least 3 %, largest first."""
    counts: Counter[str] = Counter()
    coarse = Image.frombytes("RGB", small.size, small.tobytes().translate(COARSE))
    found: Any = coarse.getcolors(GLANCE * GLANCE) or ()
    for count, pixel in found:
        counts[NAMES[pixel]] += count
    total = counts.total()
    shares = tuple((name, count / total) for name, count in counts.most_common())
    return tuple(pair for pair in shares if pair[1] >= 0.03) or shares[:1]
