"""Decisions about an image before decoding: size, format and limits."""

from __future__ import annotations

import contextlib
import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.catalog.formulas import STEPFUN_SIZES
from core.catalog.tokens import Detail
from core.errors import ImageRefused, RefusalCode
from core.images import headers, mending, raws
from core.images.formats import sniff
from core.images.sizing import (
    MIN_SIDE,
    ImageLimits,
    check_page,
    check_size,
    may_stay,
    narrow_remark,
    pad_plan,
)

SIDES = st.integers(1, 60_000)
DETAILS = st.sampled_from(["low", "high"])


@pytest.mark.parametrize(
    ("size", "detail", "planned"),
    [
        ((4000, 3000), "low", (728, 546)),
        ((3000, 4000), "low", (546, 728)),
        ((728, 728), "low", (728, 728)),
        ((729, 729), "low", (728, 728)),
        ((640, 480), "low", (640, 480)),
        ((1, 1), "low", (1, 1)),
        ((60_000, 1), "low", (728, 1)),
        ((4000, 3000), "high", (3024, 2268)),
        ((3024, 10), "high", (3024, 10)),
        ((3023, 3023), "high", (2520, 2520)),
        ((1920, 1080), "high", (1512, 851)),
        ((504, 504), "high", (504, 504)),
        ((600, 300), "high", (504, 252)),
        ((503, 200), "high", (503, 200)),
    ],
)
def test_planned_sizes(size: tuple[int, int], detail: Detail, planned: tuple[int, int]) -> None:
    assert STEPFUN_SIZES.of(*size, detail) == planned


@given(SIDES, SIDES, DETAILS)
def test_a_plan_never_enlarges_and_never_has_zero_size(
    width: int, height: int, detail: Detail
) -> None:
    planned = STEPFUN_SIZES.of(width, height, detail)
    assert 1 <= planned[0] <= width
    assert 1 <= planned[1] <= height


@given(SIDES, SIDES, DETAILS)
def test_a_plan_keeps_the_aspect(width: int, height: int, detail: Detail) -> None:
    planned = STEPFUN_SIZES.of(width, height, detail)
    scale = max(planned) / max(width, height)
    for before, after in zip((width, height), planned, strict=True):
        assert abs(after - before * scale) <= 0.5 or after == 1


@given(SIDES, SIDES, DETAILS)
def test_a_plan_is_stable_and_independent_of_rotation(
    width: int, height: int, detail: Detail
) -> None:
    planned = STEPFUN_SIZES.of(width, height, detail)
    assert STEPFUN_SIZES.of(*planned, detail) == planned
    assert STEPFUN_SIZES.of(height, width, detail) == planned[::-1]


@given(SIDES, SIDES)
def test_longest_sides_match_the_provider(width: int, height: int) -> None:
    longest = max(width, height)
    assert max(STEPFUN_SIZES.of(width, height, "low")) == min(longest, 728)
    high = max(STEPFUN_SIZES.of(width, height, "high"))
    assert high == longest if longest < 504 else high % 504 == 0
    assert high <= 3024
    assert longest - high < 504 or high == 3024


@given(SIDES, SIDES)
def test_padding_adds_only_the_missing_pixels(width: int, height: int) -> None:
    padded = pad_plan(width, height)
    assert min(padded) >= MIN_SIDE
    assert padded == (width, height) or min(width, height) < MIN_SIDE


def test_large_files_are_encoded_again() -> None:
    assert may_stay(333_333, 700, 500)
    assert not may_stay(333_334, 700, 500)
    assert may_stay(1_000_000, 2000, 1000)


# --- limits


def test_declared_size_decides() -> None:
    limits = ImageLimits(max_pixels=100, max_aspect_ratio=4)
    check_size(10, 10, limits)
    check_size(20, 5, limits)
    for size, code in (
        ((10, 11), RefusalCode.TOO_MANY_PIXELS),
        ((9, 2), RefusalCode.ABSURD_ASPECT),
    ):
        with pytest.raises(ImageRefused) as refused:
            check_size(*size, limits)
        assert refused.value.code is code


def test_pages_count_from_one() -> None:
    limits = ImageLimits(max_pages=5)
    check_page(None, 5, limits)
    check_page(5, 5, limits)
    for page, pages, code in (
        (0, 5, RefusalCode.NO_SUCH_PAGE),
        (6, 5, RefusalCode.NO_SUCH_PAGE),
        (1, 6, RefusalCode.TOO_MANY_PAGES),
        (1, 0, RefusalCode.NO_SUCH_PAGE),
    ):
        with pytest.raises(ImageRefused) as refused:
            check_page(page, pages, limits)
        assert refused.value.code is code


@pytest.mark.parametrize(
    ("full", "detail", "pieces", "is_high_enough"),
    [
        ((1080, 24_000), "low", 12, False),  # a screenshot of a long page, sent 33 pixels wide
        ((1080, 24_000), "high", 12, False),  # 136
        ((24_000, 1_080), "low", 12, False),
        ((1_080, 1_920), "low", 0, False),  # one screen of a phone
        ((1_200, 8_000), "low", 4, True),  # a long receipt
        ((20_000, 2_000), "low", 5, True),  # a panorama
        ((1_200, 8_000), "high", 0, False),
        ((4_000, 3_000), "low", 0, False),
        ((12_000, 3_000), "low", 0, False),
        ((728, 8), "low", 0, False),  # small already
        ((1_000, 100), "low", 0, False),
    ],
)
def test_an_image_that_is_sent_too_narrow_to_read_is_told(
    full: tuple[int, int], detail: Detail, pieces: int, is_high_enough: bool
) -> None:
    sent = STEPFUN_SIZES.of(*full, detail)
    remark = narrow_remark(full, sent, detail)
    assert bool(remark) is bool(pieces)
    if pieces:
        sizes = f"{full[0]} x {full[1]} is sent as {sent[0]} x {sent[1]}"
        assert remark.startswith(sizes)
        assert f"into {pieces} pieces" in remark
        assert ("--detail high" in remark) is is_high_enough


# --- formats


def _ftyp(major: bytes, *compatible: bytes) -> bytes:
    body = major + bytes(4) + b"".join(compatible)
    return struct.pack(">I", len(body) + 8) + b"ftyp" + body


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\xff\xd8\xff\xe0", "jpeg"),
        (b"\x89PNG\r\n\x1a\n", "png"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "webp"),
        (b"RIFF\x10\0\0\0WAVEfmt ", None),
        (b"GIF87a", "gif"),
        (b"GIF89a", "gif"),
        (b"II*\0", "tiff"),
        (b"MM\0*", "tiff"),
        (b"II+\0", "tiff"),
        (b"II*\0\x10\0\0\0CR\2\0", "raw"),
        (b"IIRO\x08\0\0\0", "raw"),
        (b"IIU\0\x08\0\0\0", "raw"),
        (b"FUJIFILMCCD-RAW 0201", "raw"),
        (_ftyp(b"crx ", b"isom"), "raw"),
        (b"BM\x10\0\0\0\0\0\0\0\x36", "bmp"),
        (b"BMW is a car maker", None),
        (_ftyp(b"heic", b"mif1"), "heic"),
        (_ftyp(b"mif1", b"heic"), "heic"),
        (_ftyp(b"mif1", b"avif"), "avif"),
        (_ftyp(b"avif", b"mif1"), "avif"),
        (_ftyp(b"mif1"), "heic"),
        (_ftyp(b"isom", b"mp41"), None),
        (b"%PDF-1.7", "pdf"),
        (b"junk before" + b"%PDF-1.7", "pdf"),
        (b"<svg>", None),
        (b"", None),
    ],
)
def test_formats_are_detected_by_content(head: bytes, kind: str | None) -> None:
    assert sniff(head) == kind


@given(st.binary(max_size=300), st.sampled_from(["jpeg", "png", "webp"]))
def test_mending_accepts_any_bytes(data: bytes, kind: str) -> None:
    marks = {"jpeg": b"\xff\xd8\xff", "png": mending.PNG_MARK, "webp": b"RIFF\x20\0\0\0WEBP"}
    mend = {"jpeg": mending.jpeg, "png": mending.png, "webp": mending.webp}[kind]
    with contextlib.suppress(ImageRefused):
        mended = mend(marks[kind] + data)
        assert mended is None or mended.data


@given(st.binary(max_size=300), st.sampled_from([b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b""]))
def test_raw_files_may_hold_any_bytes(data: bytes, mark: bytes) -> None:
    file = io.BytesIO(mark + data)
    raws.is_raw(file)
    found = raws.read(file).picture
    assert found is None or found.width * found.height > 0


@given(st.binary(max_size=200), st.sampled_from(["jpeg", "png", "webp"]))
def test_container_readers_accept_any_bytes(data: bytes, kind: str) -> None:
    assert not headers.is_plain(data, kind)
    headers.webp_size(data)
    headers.jpeg_scans(io.BytesIO(data), 5)
    headers.gif_frames(io.BytesIO(data))
    for any_kind in ("webp", "heic", "png", "jpeg"):
        headers.ends_early(io.BytesIO(data), any_kind, len(data))
