"""Small print: thin lines of a large JPEG are left with the contrast of a careful resize."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clients.images.prepare import prepare
from core.images.sizing import ImageLimits

PERIOD = 3.5
"""Of the lines, in pixels as sent. Letters of 6 pixels have such strokes."""
LEAST = 0.9


def encoded(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    return out.getvalue()


def contrast(data: bytes) -> float:
    with Image.open(io.BytesIO(data)) as image:
        return float(np.asarray(image.convert("L"), np.float64).std())


@pytest.mark.parametrize("width", [1600, 2000, 2800, 4000])  # what a decoder's 1/2 or 1/4 leaves
def test_thin_lines_keep_the_contrast_of_a_careful_resize(tmp_path: Path, width: int) -> None:
    wave = np.sin(2 * np.pi * np.arange(width) * 728 / width / PERIOD)
    lines = np.repeat((127 + 100 * wave)[None], width // 4, axis=0).astype(np.uint8)
    image, path = Image.fromarray(lines).convert("RGB"), tmp_path / "lines.jpg"
    image.save(path, quality=92)
    sent = prepare(path, detail="low", limits=ImageLimits())
    careful = encoded(image.resize((sent.width, sent.height), Image.Resampling.LANCZOS))
    assert contrast(sent.data) >= LEAST * contrast(careful)
