"""Small JPEGs of prepared images, for people to look at."""

from __future__ import annotations

from io import BufferedReader, BytesIO

from clients import pixels
from core.images.formats import SNIFF_BYTES, sniff


def thumbnail(data: bytes, longest: int, quality: int) -> bytes | None:
    """``data``, a prepared image, with its longest side at most ``longest`` pixels.

    None for bytes that are no image (any more): a picture that is missing spoils no report.
    """
    kind = sniff(data[:SNIFF_BYTES])
    if kind is None or kind == "pdf":
        return None
    try:
        with pixels.opened(BufferedReader(BytesIO(data)), kind) as picture:
            scale = min(1.0, longest / max(picture.size))
            size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
            small, _ = pixels.upright(picture, size, kind)
            return pixels.encoded(small, quality)
    except (OSError, ValueError, SyntaxError):
        return None
