"""Every file of the corpus gives the expected image, or is refused with its code."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clients.images.prepare import prepare
from clients.images.prepared import Prepared
from core.catalog.formulas import STEPFUN_SIZES
from core.catalog.tokens import Detail
from core.errors import ImageRefused
from core.images.sizing import Accelerator, ImageLimits
from tests.support.corpus import Array, Bad, Good

LIMITS = ImageLimits()


def careful(truth: Array, size: tuple[int, int]) -> Array:
    """Full-size floats, one LANCZOS pass, no draft and no reducing; shape (h, w, 3)."""
    bands = [Image.fromarray(truth[..., c].astype(np.float32)) for c in range(3)]
    shrunk = [np.asarray(b.resize(size, Image.Resampling.LANCZOS)) for b in bands]
    return np.stack(shrunk, -1).clip(0, 255)


def decoded(prepared: Prepared) -> Array:
    with Image.open(io.BytesIO(prepared.data)) as image:
        assert image.size == (prepared.width, prepared.height)
        assert image.mode in ("L", "RGB")
        return np.asarray(image.convert("RGB")).astype(np.float64)


@pytest.fixture(params=["none", "vips"])
def accelerator(request: pytest.FixtureRequest) -> Accelerator:
    if request.param == "vips":
        pytest.importorskip("pyvips", reason="the optional accelerator is not installed")
    chosen: Accelerator = request.param
    return chosen


def failures(
    corpus: tuple[Path, list[Good], list[Bad]], detail: Detail, accelerator: Accelerator
) -> Iterator[str]:
    folder, goods, _ = corpus
    for good in goods:
        label = f"{good.name} page {good.page} {detail}"
        try:
            out = prepare(
                folder / good.name,
                detail=detail,
                limits=LIMITS,
                page=good.page,
                accelerator=accelerator,
            )
        except ImageRefused as refused:
            yield f"{label}: refused, {refused.code}: {refused.reason}"
            continue
        height, width = good.truth.shape[:2]
        if (out.source_width, out.source_height) != (width, height):
            yield f"{label}: source is {out.source_width} x {out.source_height}"
        if (out.width, out.height) != STEPFUN_SIZES.of(width, height, detail):
            yield f"{label}: sent as {out.width} x {out.height}"
            continue
        if len(out.remarks) != len(good.remarks) or not all(
            told.startswith(expected)
            for told, expected in zip(out.remarks, good.remarks, strict=True)
        ):
            yield f"{label}: remarks {out.remarks}"
        error = np.abs(decoded(out) - careful(good.truth, (out.width, out.height))).mean()
        if error >= good.tolerance:
            yield f"{label}: mean error {error:.2f}"


@pytest.mark.parametrize("detail", ["low", "high"])
def test_every_image_shows_the_scene(
    corpus: tuple[Path, list[Good], list[Bad]], detail: Detail, accelerator: Accelerator
) -> None:
    assert list(failures(corpus, detail, accelerator)) == []


def test_every_hostile_file_is_refused_with_its_code(
    corpus: tuple[Path, list[Good], list[Bad]], accelerator: Accelerator
) -> None:
    folder, _, bads = corpus
    wrong = []
    for bad in bads:
        try:
            prepare(
                folder / bad.name,
                detail="low",
                limits=LIMITS,
                page=bad.page,
                accelerator=accelerator,
            )
            wrong.append(f"{bad.name}: prepared")
        except ImageRefused as refused:
            if refused.code is not bad.code or not refused.reason:
                wrong.append(f"{bad.name}: {refused.code}, not {bad.code}: {refused.reason}")
    assert wrong == []
