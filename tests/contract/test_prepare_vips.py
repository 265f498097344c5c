"""libvips instead of Pillow: same picture where it is used, not imported where it is not."""

from __future__ import annotations

import importlib.util
import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clients.images import vips
from clients.images.prepare import prepare
from clients.images.prepared import Prepared
from core.catalog.tokens import Detail
from core.errors import ImageRefused, RefusalCode, WrongUsage
from core.images.headers import ends_plainly
from core.images.sizing import Accelerator, ImageLimits
from core.settings import load
from tests.support import corpus

LIMITS = ImageLimits()
SIZE = (2400, 1750)


def pictured(path: Path, **options: Any) -> Path:
    Image.fromarray(corpus.scene()).resize(SIZE).save(path, **options)
    return path


def pixels_of(path: Path, detail: Detail, accelerator: Accelerator) -> tuple[Prepared, Any]:
    made = prepare(path, detail=detail, limits=LIMITS, accelerator=accelerator)
    with Image.open(io.BytesIO(made.data)) as image:
        return made, np.asarray(image.convert("RGB")).astype(int)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each call of libvips, whether it returned a picture."""
    pytest.importorskip("pyvips", reason="the optional accelerator is not installed")
    given: list[bool] = []
    shrunk = vips.shrunk

    def noted(*args: Any) -> bytes | None:
        rows = shrunk(*args)
        given.append(rows is not None)
        return rows

    monkeypatch.setattr(vips, "shrunk", noted)
    return given


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


ADOBE = corpus.adobe_rgb_profile()


@pytest.mark.parametrize(
    ("name", "options", "detail"),
    [
        ("a.png", {}, "low"),
        ("a.png", {}, "high"),
        ("a.png", {"exif": turned(), "icc_profile": ADOBE}, "low"),
        ("a.webp", {"quality": 90}, "low"),
        ("a.webp", {"quality": 90, "exif": turned(), "icc_profile": ADOBE}, "low"),
    ],
)
def test_libvips_and_pillow_give_the_same_picture(
    tmp_path: Path, answers: list[bool], name: str, options: dict[str, Any], detail: Detail
) -> None:
    path = pictured(tmp_path / name, **options)
    with_vips, seen = pixels_of(path, detail, "vips")
    without, expected = pixels_of(path, detail, "none")
    assert answers == [True]
    assert (with_vips.width, with_vips.height) == (without.width, without.height)
    assert (with_vips.source_width, with_vips.remarks) == (without.source_width, without.remarks)
    assert np.abs(seen - expected).mean() < 2


def _cut(data: bytes) -> bytes:
    return data[: len(data) * 6 // 10]


def _bent(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes(50) + data[len(data) // 2 + 50 :]


@pytest.mark.parametrize("break_it", [_cut, _bent])
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_files_that_libvips_rejects_are_judged_by_pillow(
    tmp_path: Path, answers: list[bool], name: str, break_it: Callable[[bytes], bytes]
) -> None:
    path = pictured(tmp_path / name)
    path.write_bytes(break_it(path.read_bytes()))
    detail: Detail = "high" if name == "a.jpg" else "low"
    assert _code(path, detail, "vips") == _code(path, detail, "none")


def _code(path: Path, detail: Detail, accelerator: Accelerator) -> RefusalCode | None:
    try:
        prepare(path, detail=detail, limits=LIMITS, accelerator=accelerator)
    except ImageRefused as refused:
        return refused.code
    return None


@pytest.mark.parametrize(
    ("kind", "size", "planned", "wins"),
    [
        ("jpeg", (4000, 3000), (728, 546), False),  # Pillow's reduced decode is as fast
        ("jpeg", (4000, 3000), (3024, 2268), False),
        ("jpeg", (1200, 900), (728, 546), False),
        ("png", (4000, 3000), (728, 546), True),
        ("png", (300, 200), (300, 200), False),
        ("webp", (4000, 3000), (728, 546), True),
        ("webp", (4000, 3000), (3024, 2268), False),
        *((kind, (4000, 3000), (728, 546), False) for kind in ("gif", "tiff", "bmp", "avif")),
    ],
)
def test_libvips_is_used_where_it_is_clearly_faster(
    kind: str, size: tuple[int, int], planned: tuple[int, int], wins: bool
) -> None:
    assert vips.wins(kind, size, planned) is wins


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "LA"])
def test_other_modes_are_not_given_to_libvips(
    tmp_path: Path, answers: list[bool], mode: str
) -> None:
    path = tmp_path / "a.png"
    Image.new(mode, SIZE).save(path)
    assert prepare(path, detail="low", limits=LIMITS, accelerator="vips").width == 728
    assert answers == []


def test_a_chunk_behind_the_pixels_is_left_to_pillow(tmp_path: Path) -> None:
    data = pictured(tmp_path / "a.png").read_bytes()
    late = data[:-12] + corpus.png_chunk(b"tEXt", b"Author\0me") + data[-12:]
    assert ends_plainly(data, "png")
    assert not ends_plainly(late, "png")
    assert not ends_plainly(data + b"\0", "png")
    assert not ends_plainly(data[:-4], "png")


FORKED = """
import os, sys
from pathlib import Path
from clients.images import vips
from clients.images.prepare import prepare
from core.images.sizing import ImageLimits

def made():
    asked = vips.shrunk(Path(sys.argv[1]).read_bytes(), "png", (728, 531)) is not None
    out = prepare(Path(sys.argv[1]), detail="low", limits=ImageLimits(), accelerator="vips")
    print(asked, out.width, flush=True)

made()
child = os.fork()
if not child:
    made()
    os._exit(0)
sys.exit(os.waitpid(child, 0)[1])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_process_forked_after_the_first_use_does_not_use_libvips(tmp_path: Path) -> None:
    pytest.importorskip("pyvips", reason="the optional accelerator is not installed")
    path = pictured(tmp_path / "a.png")
    run = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKED, str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert [line for line in run.stdout.splitlines() if "accelerator" not in line] == [
        "True 728",
        "False 728",
    ]
    assert "accelerator.forked" in run.stdout + run.stderr


def test_without_the_setting_pyvips_is_never_imported(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from clients.images.prepare import prepare;"
        "from core.images.sizing import ImageLimits;"
        f"prepare(Path({str(pictured(tmp_path / 'a.png'))!r}), detail='low', limits=ImageLimits());"
        "sys.exit('pyvips' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_accelerator_that_is_not_installed_is_a_wrong_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OVERSTORY_ACCELERATOR", "vips")
    monkeypatch.setattr("core.settings.find_spec", lambda name: None)
    with pytest.raises(WrongUsage, match=r"OVERSTORY_ACCELERATOR.*pip install pyvips"):
        load()
    monkeypatch.setattr("core.settings.find_spec", importlib.util.find_spec)
    monkeypatch.setenv("OVERSTORY_ACCELERATOR", "gpu")
    with pytest.raises(WrongUsage, match="OVERSTORY_ACCELERATOR"):
        load()


def test_an_accelerator_that_cannot_be_loaded_only_costs_speed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyvips", None)  # importing it now fails
    monkeypatch.setattr(vips, "_users", [])
    vips._library.cache_clear()
    try:
        made, _ = pixels_of(pictured(tmp_path / "a.png"), "low", "vips")
    finally:
        vips._library.cache_clear()
    assert made.width == 728
