"""OCR of an image's bytes: PP-OCR models from the wheel of rapidocr, kept on disk by hash."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import math
import os
import threading
from dataclasses import astuple
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.eyes.rows import Row, Word, rows_of

LONGEST = 2000
"""The longest side that recognition takes (its own default). Larger images are shrunk with care."""
_one_at_a_time = threading.Lock()


class Reader:
    """Reads images and keeps what it read in ``folder``, one file for each content."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self._folder = folder / f"rapidocr-{version('rapidocr')}"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._threads = threads

    def rows(self, data: bytes) -> list[Row]:
        """The rows of text in an image of these bytes. Raises OSError if they are of none."""
        return rows_of(self.words(data))

    def words(self, data: bytes) -> list[Word]:
        """The words in an image of these bytes. Raises OSError if they are of none."""
        kept = self._folder / f"{hashlib.sha256(data).hexdigest()}.json"
        if kept.exists():
            return [Word(*values) for values in json.loads(kept.read_text("utf-8"))]
        with Image.open(io.BytesIO(data)) as image:
            seen = image.convert("RGB")
        seen.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS, reducing_gap=None)
        pixels = np.asarray(seen)[:, :, ::-1]
        with _one_at_a_time:
            words = _words(_engine(self._threads)(np.ascontiguousarray(pixels)))
        aside = kept.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
        aside.write_text(json.dumps([astuple(word) for word in words]), encoding="utf-8")
        aside.replace(kept)
        return words


@cache
def _engine(threads: int) -> Any:
    from rapidocr import RapidOCR

    logging.getLogger("RapidOCR").setLevel(logging.ERROR)
    return RapidOCR(
        params={
            "Global.log_level": "error",
            "Global.max_side_len": LONGEST,
            "Global.use_cls": False,  # no page is upside down: preparation turns it upright
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )


def _words(result: Any) -> list[Word]:
    if result.boxes is None or result.txts is None:
        return []
    return [
        _word(str(text), float(score), np.asarray(box, np.float64))
        for text, score, box in zip(result.txts, result.scores, result.boxes, strict=True)
    ]


def _word(text: str, score: float, box: np.ndarray[Any, Any]) -> Word:
    """``box``: four corners from the upper left, clockwise."""
    along, up = box[1] - box[0], box[3] - box[0]
    x, y = box.mean(axis=0)
    return Word(
        text,
        round(score, 4),
        round(float(x), 1),
        round(float(y), 1),
        round(float(np.hypot(*along)), 1),
        round(float(np.hypot(*up)), 1),
        round(math.atan2(along[1], along[0]), 4),
    )
