"""Small pictures, all different."""

from __future__ import annotations

from pathlib import Path

from PIL import Image


def draw_image(path: Path, number: int) -> Path:
    """A small picture that differs from that of every other number, in size and colour."""
    size = (40 + number % 40, 30 + number // 40)
    colour = (number * 37 % 256, number * 91 % 256, number * 13 % 256)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path
