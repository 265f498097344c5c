"""Sent bytes: unchanged if possible, without metadata, padded if too small, bounded in size."""

from __future__ import annotations

import hashlib
import io
import resource
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from clients import local_files
from clients.images.prepare import measure, page_count, prepare
from clients.images.prepared import Prepared
from core.errors import ImageRefused, RefusalCode
from core.images.columns import plan_columns
from core.images.sizing import ImageLimits
from tests.support import corpus
from tests.support.corpus import Bad, Good

LIMITS = ImageLimits()
SIZE = (640, 480)


def small() -> Image.Image:
    return Image.fromarray(corpus.scene()).resize(SIZE)


def saved(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


def low(path: Path, **options: Any) -> Prepared:
    return prepare(path, detail="low", limits=LIMITS, **options)


def code_of(path: Path, limits: ImageLimits = LIMITS, page: int | None = None) -> RefusalCode:
    with pytest.raises(ImageRefused) as refused:
        prepare(path, detail="low", limits=limits, page=page)
    return refused.value.code


# --- unchanged


@pytest.mark.parametrize(
    ("name", "options", "mime"),
    [
        ("a.jpg", {"quality": 85}, "image/jpeg"),
        ("a.jpg", {"quality": 85, "progressive": True}, "image/jpeg"),
        ("a.jpg", {"quality": 85, "icc_profile": "srgb"}, "image/jpeg"),
        ("a.png", {}, "image/png"),
        ("a.webp", {"quality": 80}, "image/webp"),
        ("a.webp", {"lossless": True}, "image/webp"),
    ],
)
def test_a_plain_file_that_fits_is_sent_unchanged(
    tmp_path: Path, name: str, options: dict[str, Any], mime: str
) -> None:
    if "icc_profile" in options:
        from PIL import ImageCms

        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        options = options | {"icc_profile": srgb.tobytes()}
    image = small().quantize(64).convert("RGB") if "png" in name else small()
    path = saved(tmp_path / name, image, **options)
    out = low(path)
    assert out.data == path.read_bytes()
    assert (out.mime, out.width, out.height) == (mime, *SIZE)
    assert out.sha256 == out.source_sha256 == hashlib.sha256(out.data).hexdigest()


def _with_exif(path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Maker of cameras"
    exif.get_ifd(0x8825)[1] = "N"
    saved(path, small(), format="JPEG", exif=exif)


def _with_trailer(path: Path) -> None:
    saved(path, small(), format="JPEG")
    path.write_bytes(path.read_bytes() + b"Maker of cameras\xff\xd9")


def _with_xmp(path: Path) -> None:
    saved(path, small(), format="JPEG", xmp=b"<x:xmpmeta>Maker of cameras</x:xmpmeta>")


def _with_text(path: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Author", "Maker of cameras")
    saved(path, small(), format="PNG", pnginfo=info)


@pytest.mark.parametrize(
    "write",
    [
        _with_exif,
        _with_trailer,
        _with_xmp,
        _with_text,
        lambda path: saved(path, small(), format="JPEG", comment=b"Maker of cameras"),
        lambda path: saved(path, small(), format="WEBP", exif=b"Exif\0\0Maker of cameras"),
    ],
)
def test_metadata_is_removed(tmp_path: Path, write: Callable[[Path], None]) -> None:
    path = tmp_path / "image"
    write(path)
    assert b"Maker of cameras" in path.read_bytes()
    out = low(path)
    assert b"Maker of cameras" not in out.data
    assert out.mime == "image/jpeg"
    assert out.source_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    with Image.open(io.BytesIO(out.data)) as image:
        assert not image.getexif()
        assert not {"icc_profile", "comment", "xmp", "exif"} & set(image.info)


def test_a_profile_is_applied_and_removed(tmp_path: Path) -> None:
    profile = corpus.adobe_rgb_profile()
    out = low(saved(tmp_path / "a.jpg", small(), icc_profile=profile))
    assert profile not in out.data


def test_a_file_above_its_share_of_a_request_is_encoded_again(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    path = saved(tmp_path / "noise.png", Image.fromarray(noise))
    assert low(path).mime == "image/jpeg"


def test_a_truncated_file_that_fits_is_not_sent_unchanged(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", small())
    path.write_bytes(path.read_bytes()[:-2000])
    assert code_of(path) is RefusalCode.TRUNCATED


# --- tiny and strange


@pytest.mark.parametrize("size", [(1, 1), (2, 50), (31, 31), (728, 8)])
def test_tiny_images_are_padded_with_white(tmp_path: Path, size: tuple[int, int]) -> None:
    out = low(saved(tmp_path / "tiny.png", Image.new("RGB", size, "red")))
    assert (out.width, out.height) == (max(32, size[0]), max(32, size[1]))
    assert (out.source_width, out.source_height) == size
    assert out.remarks == (f"padded with white from {size[0]} x {size[1]}",)


@pytest.mark.parametrize("name", ["tall.png", "turned.jpg", "page.pdf"])
def test_a_long_screenshot_is_sent_in_columns(tmp_path: Path, name: str) -> None:
    """It is darker from top to bottom, so each row of the picture tells where it was."""
    ramp = np.linspace(255, 0, 6_000).astype(np.uint8)
    tall = Image.fromarray(np.repeat(ramp[:, None], 400, axis=1))
    options: dict[str, Any] = {"resolution": 200} if name == "page.pdf" else {}
    if name == "turned.jpg":
        exif = Image.Exif()
        exif[0x0112] = 6
        tall, options = tall.rotate(90, expand=True), {"exif": exif}
    out = low(saved(tmp_path / name, tall, **options))
    columns = plan_columns(400, 6_000, "low")
    assert columns is not None
    assert (out.width, out.height) == columns.canvas
    assert out.remarks == ("400 x 6000 is sent as 4 columns beside each other",)
    with Image.open(io.BytesIO(out.data)) as image:
        shown = np.asarray(image.convert("L")).astype(int)
    for column in range(columns.count):
        (first, end), (x, y) = columns.rows(column), columns.origin(column)
        middle = shown[y : y + end - first, x + columns.width // 2]
        expected = 255 - 255 * np.arange(first, end) / columns.scaled[1]
        assert np.abs(middle - expected).max() < 8
    assert shown[: columns.top].min() < 80  # the caption


def test_a_panorama_that_is_too_narrow_is_told(tmp_path: Path) -> None:
    out = low(saved(tmp_path / "wide.png", Image.new("RGB", (9_000, 400), "white")))
    assert (out.width, out.height) == (728, 32)
    told = "9000 x 400 is sent as 728 x 32, in which text and small things cannot be read"
    assert out.remarks[0].startswith(told)


def test_hidden_colours_do_not_bleed_through_transparency(tmp_path: Path) -> None:
    pixels = np.zeros((1600, 1600, 4), np.uint8)
    pixels[..., 0] = 255  # red, and fully transparent
    pixels[400:1200, 400:1200] = (0, 0, 255, 255)
    out = low(saved(tmp_path / "a.png", Image.fromarray(pixels)))
    with Image.open(io.BytesIO(out.data)) as image:
        shown = np.asarray(image).astype(int)
    assert shown[5, 5].min() >= 250
    edge = shown[:, 300]
    assert (edge[:, 0] - edge[:, 1]).max() < 8  # between white and blue, red equals green


def test_a_profile_for_gray_is_applied(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", small().convert("L"), icc_profile=corpus.adobe_rgb_profile())
    assert (
        low(path).width == SIZE[0]
    )  # a profile of another mode is ignored, the image is still prepared


# --- limits


def test_the_caller_sets_the_limits(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", small())
    assert code_of(path, ImageLimits(max_pixels=1000)) is RefusalCode.TOO_MANY_PIXELS
    assert code_of(path, ImageLimits(max_file_bytes=1000)) is RefusalCode.TOO_LARGE_FILE
    assert code_of(path, ImageLimits(max_aspect_ratio=1.2)) is RefusalCode.ABSURD_ASPECT


def measured(path: Path) -> tuple[int, int]:
    with local_files.opened(path, LIMITS.max_file_bytes) as (file, size):
        return measure(file, size, LIMITS, None)


def test_a_banner_of_five_metres_is_drawn_small(tmp_path: Path) -> None:
    path = tmp_path / "banner.pdf"
    path.write_bytes(corpus.pdf_of("/MediaBox [0 0 14173 5669]"))  # 5 x 2 m
    out = low(path)
    assert (out.width, out.height) == (728, 291)
    assert measured(path) == (out.source_width, out.source_height) == (39_369, 15_747)
    path.write_bytes(corpus.pdf_of("/MediaBox [0 0 14173 20]"))
    assert code_of(path) is RefusalCode.ABSURD_ASPECT


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("floats.tif", "a TIFF of 3 x 32-bit floats (RGB, uncompressed), which is not read"),
        ("two-bands.tif", "a TIFF of 2 x 8-bit integers (gray, uncompressed)"),
        ("lab16.tif", "a TIFF of 3 x 16-bit integers (CIELab, uncompressed)"),
        ("jpeg2000.tif", "(RGB, JPEG 2000)"),
        ("layers.psd", "the content is a Photoshop file, which is not read: save it as JPEG"),
    ],
)
def test_what_is_not_read_is_named(
    corpus: tuple[Path, list[Good], list[Bad]], name: str, said: str
) -> None:
    with pytest.raises(ImageRefused) as refused:
        low(corpus[0] / name)
    assert said in refused.value.reason


def test_pages_are_counted_and_capped(tmp_path: Path) -> None:
    pages = [Image.new("L", (50, 50), n) for n in range(6)]
    tiff = saved(tmp_path / "a.tif", pages[0], save_all=True, append_images=pages[1:])
    pdf = saved(tmp_path / "a.pdf", pages[0], save_all=True, append_images=pages[1:])
    tight = ImageLimits(max_pages=5)
    for path in (tiff, pdf):
        assert page_count(path, LIMITS) == 6
        assert page_count(path, tight) == 6
        assert code_of(path, tight) is RefusalCode.TOO_MANY_PAGES
        assert code_of(path, LIMITS, page=7) is RefusalCode.NO_SUCH_PAGE
        assert code_of(path, LIMITS, page=0) is RefusalCode.NO_SUCH_PAGE
    assert page_count(saved(tmp_path / "a.gif", pages[0]), LIMITS) == 1


def test_previews_and_masks_of_a_tiff_are_not_pages(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with path.open("w+b") as file:
        from PIL.TiffImagePlugin import AppendingTiffWriter

        with AppendingTiffWriter(file, True) as writer:
            for kind in (0, 1, 4, 2):
                Image.new("L", (60, 60), kind).save(writer, format="TIFF", tiffinfo={254: kind})
                writer.newFrame()
    assert page_count(path, LIMITS) == 2
    assert code_of(path, page=3) is RefusalCode.NO_SUCH_PAGE


BOMB = """
import sys
from pathlib import Path
from clients.images.prepare import prepare
from core.errors import ImageRefused
from core.images.columns import plan_columns
from core.images.sizing import ImageLimits
for name in sys.argv[1:]:
    try:
        prepare(Path(name), detail="low", limits=ImageLimits())
    except ImageRefused as refused:
        print(refused.code)
# not ru_maxrss, which starts at what the parent had when it forked
status = Path("/proc/self/status").read_text().splitlines()
print(next(line.split()[1] for line in status if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_a_bomb_is_refused_in_under_300_mb(tmp_path: Path) -> None:
    pack, rows = zlib.compressobj(1), bytes(50_001 * 100)
    body = b"".join(pack.compress(rows) for _ in range(500)) + pack.flush()
    bomb = corpus.png_of(50_000, 50_000)
    whole = bomb[:33] + corpus.png_chunk(b"IDAT", body) + corpus.png_chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(whole)
    (tmp_path / "bomb.tif").write_bytes(corpus.tiff_of(50_000, 50_000))
    (tmp_path / "bomb.webp").write_bytes(corpus.webp_of(16_384, 32_768))
    names = [str(tmp_path / name) for name in ("bomb.png", "bomb.tif", "bomb.webp")]
    run = subprocess.run(
        [sys.executable, "-c", BOMB, *names], capture_output=True, text=True, check=True
    )
    *codes, peak = run.stdout.split()
    assert codes == ["too_many_pixels"] * 3
    assert int(peak) / 1024 < 300


def test_the_bytes_of_compressed_metadata_take_no_memory(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", small())
    data = path.read_bytes()
    text = b"Comment\0\0" + zlib.compress(bytes(200_000_000), 9)
    path.write_bytes(data[:33] + corpus.png_chunk(b"zTXt", text) + data[33:])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert measured(path) == (low(path).width, low(path).height) == SIZE
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < 150


def test_threads_can_prepare_in_parallel(tmp_path: Path) -> None:
    image = Image.fromarray(corpus.scene())
    paths = [saved(tmp_path / f"a.{kind}", image) for kind in ("jpg", "png", "pdf", "heic")]
    alone = [low(path).sha256 for path in paths]
    together: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda: together.append([low(path).sha256 for path in paths]))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == [alone] * 6


# --- what a file declares, and what it holds


HUGE = (100_000, 100_000)


def gif_of(screen: tuple[int, int], frame: tuple[int, int], extra: bytes = b"") -> bytes:
    """A GIF whose frame may be larger than its screen; ``extra`` stands before the frame."""
    out = io.BytesIO()
    Image.new("P", (30, 20)).save(out, "GIF")
    data = out.getvalue()
    at = data.index(b"\x2c", 13)
    descriptor = b"\x2c" + struct.pack("<HHHH", 0, 0, *frame)
    return (
        data[:6] + struct.pack("<HH", *screen) + data[10:at] + extra + descriptor + data[at + 9 :]
    )


def test_a_gif_frame_larger_than_its_screen_counts_with_its_own_size(tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(gif_of((1, 1), (60_000, 60_000)))
    assert code_of(tmp_path / "a.gif") == RefusalCode.TOO_MANY_PIXELS
    (tmp_path / "b.gif").write_bytes(gif_of((1, 1), (30, 20)))
    made = prepare(tmp_path / "b.gif", detail="low", limits=LIMITS)
    assert (made.source_width, made.source_height) == (30, 20)


def test_comments_of_a_gif_cost_little(tmp_path: Path) -> None:
    """One of 25 MB, and 50,000 short ones, which Pillow joins."""
    for number, extra in enumerate(
        (b"\x21\xfe" + (b"\xff" + b"a" * 255) * 100_000 + b"\0", b"\x21\xfe\x01a\0" * 50_000)
    ):
        path = tmp_path / f"{number}.gif"
        path.write_bytes(gif_of((30, 20), (30, 20), extra))
        began = time.process_time()
        made = prepare(path, detail="low", limits=LIMITS)
        assert time.process_time() - began < 5.0
        assert b"aaaa" not in made.data


@pytest.mark.parametrize("declared", [(64, 48), (6_400, 4_800), HUGE])
@pytest.mark.parametrize("form", ["HEIF", "AVIF"])
def test_a_picture_is_never_larger_than_its_container_declares(
    tmp_path: Path, form: str, declared: tuple[int, int]
) -> None:
    """libheif compares the two sizes; libavif scales to the declared one. Neither is trusted."""
    out = io.BytesIO()
    Image.effect_noise((640, 480), 60).convert("RGB").save(out, form)
    data = bytearray(out.getvalue())
    assert data.count(b"ispe") == 1
    at = data.index(b"ispe") + 8
    data[at : at + 8] = struct.pack(">II", *declared)
    path = tmp_path / "a.bin"
    path.write_bytes(data)
    if form == "AVIF" and declared != HUGE:
        made = prepare(path, detail="low", limits=LIMITS)
        assert (made.source_width, made.source_height) == declared
    else:
        assert code_of(path) in (RefusalCode.CORRUPT, RefusalCode.TOO_MANY_PIXELS)


def test_a_picture_that_decodes_to_another_size_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (1_000, 800), "red").save(tmp_path / "a.png")
    load = PngImageFile.load

    def grows(picture: PngImageFile) -> object:
        loaded = load(picture)
        picture._size = (2_000, 800)
        return loaded

    monkeypatch.setattr(PngImageFile, "load", grows)
    assert code_of(tmp_path / "a.png") == RefusalCode.CORRUPT
