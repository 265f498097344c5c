"""The image corpus, built by code: every format and mode people have, and every hostile file.

``build(folder)`` writes it and returns what must come of each file. All readable images show the
same scene, so the truth is an array and not another decoder's opinion. Run it to look at the
files: ``python -m tests.support.corpus FOLDER``.
"""

from __future__ import annotations

import io
import os
import struct
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from core.errors import RefusalCode
from tests.support import raws

pillow_heif.register_heif_opener()

Array = NDArray[Any]
WIDTH, HEIGHT = 960, 700
ADOBE_RGB = ((0.60974, 0.20528, 0.14919), (0.31111, 0.62567, 0.06322), (0.01947, 0.06087, 0.74457))
"""Adobe RGB (1998) to XYZ at D50, columns red, green, blue; its curve is a power of 563/256."""


QUICK_HEIC: dict[str, Any] = {"quality": 95, "enc_params": {"preset": "ultrafast"}}
QUICK_AVIF: dict[str, Any] = {"quality": 95, "speed": 10}
"""As close to the scene, in larger files; the usual search for small files takes most CPU."""


@dataclass(frozen=True)
class Good:
    """A file that is prepared; ``truth`` is the upright picture on white, 0..255 (h, w, 3)."""

    name: str
    truth: Array
    page: int | None = None
    remarks: tuple[str, ...] = ()
    tolerance: float = 2.0


@dataclass(frozen=True)
class Bad:
    """A file that is refused."""

    name: str
    code: RefusalCode
    page: int | None = None


@cache
def scene() -> Array:
    """Gradients, discs and thick letters, uint8 (HEIGHT, WIDTH, 3); no two corners are alike."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    red, green = 40 + 170 * x / WIDTH, 60 + 150 * y / HEIGHT
    blue = 128 + 60 * np.sin(x / 90) * np.cos(y / 70)
    image = Image.fromarray(np.stack([red, green, blue], -1).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    draw.ellipse((60, 60, 260, 260), fill=(200, 120, 90))
    draw.rectangle((600, 420, 900, 640), fill=(90, 110, 160))
    draw.text((300, 100), "Overstory", font=ImageFont.load_default(110), fill=(30, 40, 50))
    draw.text((80, 480), "up", font=ImageFont.load_default(140), fill=(230, 225, 210))
    return np.asarray(image)


@cache
def gray() -> Array:
    return np.asarray(Image.fromarray(scene()).convert("L"))


def alpha() -> Array:
    """A soft ramp, fully transparent on the left quarter."""
    ramp = (np.arange(WIDTH) - WIDTH / 4) / (WIDTH / 2)
    return np.broadcast_to((ramp.clip(0, 1) * 255).round().astype(np.uint8), (HEIGHT, WIDTH))


def on_white(rgb: Array, opacity: Array) -> Array:
    share = opacity.astype(np.float64)[..., None] / 255
    return rgb * share + 255 * (1 - share)


def three(values: Array) -> Array:
    return np.repeat(values.astype(np.float64)[..., None], 3, axis=2)


# --- images


def _save(image: Image.Image, path: Path, **options: Any) -> None:
    image.save(path, **options)


def _jpegs(to: Path) -> list[Good]:
    rgb, truth = Image.fromarray(scene()), scene()
    ink = Image.merge("CMYK", (*(Image.fromarray(255 - truth).split()), Image.new("L", rgb.size)))
    _save(rgb, to / "baseline.jpg", quality=95)
    _save(rgb, to / "progressive.jpg", quality=95, progressive=True)
    _save(Image.fromarray(gray()), to / "gray.jpg", quality=95)
    _save(ink, to / "cmyk.jpg", quality=95)
    (to / "ycck.jpg").write_bytes(_ycck(truth))
    _save(rgb, to / "metadata.jpg", quality=95, exif=_exif(1), comment=b"secret", dpi=(300, 300))
    wide = Image.fromarray(adobe_encoded(truth))
    _save(wide, to / "adobe-rgb.jpg", quality=95, icc_profile=adobe_rgb_profile())
    _save(rgb, to / "broken-profile.jpg", quality=95, icc_profile=b"no profile" * 20)
    _save(rgb, to / "wrong-ending.gif", format="JPEG", quality=95)
    goods = [Good(n, truth) for n in ("baseline.jpg", "progressive.jpg", "cmyk.jpg", "ycck.jpg")]
    goods += [Good(n, truth) for n in ("metadata.jpg", "broken-profile.jpg", "wrong-ending.gif")]
    goods += [Good("gray.jpg", three(gray())), Good("adobe-rgb.jpg", truth)]
    for orientation in range(1, 9):
        name = f"exif-{orientation}.jpg"
        stored = stored_for(orientation)
        _save(Image.fromarray(stored), to / name, quality=95, exif=_exif(orientation))
        goods.append(Good(name, truth))
    return goods


def stored_for(orientation: int) -> Array:
    """The pixels that show the scene once turned as EXIF says, by the definition of each value."""
    s = scene()
    turned = {
        1: s,
        2: s[:, ::-1],
        3: s[::-1, ::-1],
        4: s[::-1],
        5: s.transpose(1, 0, 2),
        6: s.transpose(1, 0, 2)[::-1],
        7: s.transpose(1, 0, 2)[::-1, ::-1],
        8: s.transpose(1, 0, 2)[:, ::-1],
    }
    return np.ascontiguousarray(turned[orientation])


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Maker of cameras"
    return exif


def _ycck(rgb: Array) -> bytes:
    """Four components, the first three as YCbCr of the inks: Adobe's transform 2."""
    y, cb, cr = Image.fromarray(255 - rgb).convert("YCbCr").split()
    inverted = [Image.fromarray(255 - np.asarray(band)) for band in (y, cb, cr)]
    image = Image.merge("CMYK", (*inverted, Image.new("L", y.size)))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=95)
    data = bytearray(out.getvalue())
    data[data.index(b"Adobe") + 11] = 2
    return bytes(data)


def _pngs(to: Path) -> list[Good]:
    rgb, lum, see = scene(), gray(), alpha()
    bits = Image.fromarray(lum).point(lambda v: 255 * (v > 120)).convert("1")
    palette = Image.fromarray(rgb).quantize(200)
    flat = np.asarray(palette.convert("RGB"))
    rgba = np.dstack([rgb, see])
    _save(Image.fromarray(rgb), to / "rgb.png")
    _save(Image.fromarray(rgba), to / "rgba.png")
    _save(Image.merge("LA", [Image.fromarray(lum), Image.fromarray(see)]), to / "la.png")
    _save(palette, to / "palette.png")
    _save(bits, to / "1bit.png")
    _save(palette, to / "palette-trns.png", transparency=bytes(range(56, 256)))
    _save(Image.fromarray(np.uint16(lum) * 257), to / "gray16.png")
    (to / "rgb16.png").write_bytes(png16(np.uint16(rgb) * 257))
    _save(
        Image.fromarray(np.where(rgb == rgb, rgb, 0)),
        to / "rgb-trns.png",
        transparency=(30, 40, 50),
    )
    indexes = np.asarray(palette)
    keyed = np.where((rgb == (30, 40, 50)).all(-1), 0, 255)
    return [
        Good("rgb.png", rgb),
        Good("rgba.png", on_white(rgb, see)),
        Good("la.png", on_white(three(lum), see)),
        Good("palette.png", flat),
        Good("1bit.png", three(np.asarray(bits) * 255.0)),
        Good("palette-trns.png", on_white(flat, indexes + 56)),
        Good("gray16.png", three(lum)),
        Good("rgb16.png", rgb),
        Good("rgb-trns.png", on_white(rgb, keyed)),
    ]


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png16(values: Array) -> bytes:
    """A PNG of 16 bits with these values (h, w, channels), which Pillow cannot write."""
    raw = b"".join(b"\0" + row.tobytes() for row in values.astype(">u2"))
    colour = {2: 4, 3: 2, 4: 6}[values.shape[2]]
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, colour, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(raw, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*c) for c in chunks)


def tiff_with(values: Array, sample_format: int = 1, **more: Any) -> bytes:
    """A TIFF with these values (h, w) or (h, w, channels); ``deflate``: compressed."""
    height, width, count = (*values.shape, 1)[:3]
    data = values.astype(values.dtype.newbyteorder(more.get("order", "<"))).tobytes()
    tags = {256: width, 257: height, 258: (8 * values.dtype.itemsize,) * count, 277: count}
    tags |= {259: 1, 262: 2 if count > 2 else 1, 278: height, 339: (sample_format,) * count}
    if more.get("deflate"):
        tags, data = tags | {259: 8}, zlib.compress(data, 1)
    tags |= more.get("tags", {})
    return raws.tiff([{**tags, 273: data}], more.get("order", "<"))


def _deep(to: Path) -> list[Good]:
    """What cameras and instruments store: fewer bits than the file has room for."""
    rgb, lum, see = np.uint16(scene()), np.uint16(gray()), np.uint16(alpha())
    ten, twelve = np.uint16(gray() * (1023 / 255)), np.uint16(scene() * (4095 / 255))
    opaque = np.full_like(lum, 65535)
    floats = np.float32(lum) / 100
    gaps = np.where(lum < 25, np.float32(np.nan), floats)
    over = 255 / floats.max()
    negative = {"tags": {262: 0}}
    files: dict[str, tuple[bytes, Array, str]] = {
        "rgb12.png": (png16(twelve), rgb, "12"),
        "rgba12.png": (png16(np.dstack([twelve, see * 257])), on_white(rgb, see), "12"),
        "la10.png": (png16(np.dstack([ten, opaque])), three(lum), "10"),
        "rgb12.tif": (tiff_with(twelve), rgb, "12"),
        "rgb12-big-endian.tif": (tiff_with(twelve, order=">"), rgb, "12"),
        "rgb12-deflate.tif": (tiff_with(twelve, deflate=True), rgb, "12"),
        "gray10.tif": (tiff_with(ten), three(lum), "10"),
        "gray8-in-16.tif": (tiff_with(lum), three(lum), "8"),
        "gray12-of-32.tif": (tiff_with(np.uint32(lum) * 16), three(lum), "12"),
        "signed8.tif": (tiff_with(np.int8(np.int16(lum) - 128), 2), three(lum), ""),
        "white-is-zero.tif": (tiff_with(65535 - lum * 257, **negative), three(lum), ""),
        "signed.tif": (tiff_with(np.int16(lum) * 16 - 1000, 2), _stretched(lum), "-"),
        "float-over-1.tif": (tiff_with(floats, 3), three(floats * over), "+"),
        "float-gaps.tif": (tiff_with(gaps, 3), three(np.nan_to_num(gaps) * over), "+"),
    }  # fmt: skip
    low, high = int(lum.min()) * 16 - 1000, int(lum.max()) * 16 - 1000
    remarks: dict[str, tuple[str, ...]] = {
        "": (),
        "-": (f"its values from {low} to {high} are spread from black to white",),
        "+": (f"brightened: its largest value, {lum.max() / 100:g}, is shown as white",),
    }
    for name, (data, _, _) in files.items():
        (to / name).write_bytes(data)
    return [
        Good(
            name,
            truth,
            None,
            remarks.get(bits, (f"brightened: its values are those of {bits}-bit data",)),
        )
        for name, (_, truth, bits) in files.items()
    ]


def _stretched(values: Array) -> Array:
    least, most = int(values.min()), int(values.max())
    return three((values.astype(np.float64) - least) * 255 / (most - least))


def _careless(to: Path) -> list[Good]:
    """Files that break the rules beside their pixels, or lack their last bytes."""
    image = Image.fromarray(scene())
    png, jpeg = saved(image, "PNG"), saved(image, "JPEG", quality=95)
    progressive = saved(image, "JPEG", quality=95, progressive=True)
    webp = saved(image, "WEBP", quality=95)
    long = b"Comment\0" + b"x" * 2_000_000
    packed = b"Comment\0\0" + zlib.compress(b"y" * 2_000_000)
    many = b"Comment\0\0" + zlib.compress(b"y" * 900_000)
    noise = np.random.default_rng(3).bytes(1_500_000)
    wide = saved(Image.fromarray(adobe_encoded(scene())), "PNG")
    profile = adobe_rgb_profile().ljust(3_000_000, b"\0")
    files = {
        "long-text.png": with_chunk(png, png_chunk(b"tEXt", long)),
        "long-packed-text.png": with_chunk(png, png_chunk(b"zTXt", packed)),
        "many-texts.png": with_chunk(png, png_chunk(b"zTXt", many) * 90),
        "huge-profile.png": with_chunk(wide, png_chunk(b"iCCP", b"p\0\0" + zlib.compress(profile))),
        "noisy-profile.png": with_chunk(png, png_chunk(b"iCCP", b"p\0\0" + zlib.compress(noise))),
        "broken-profile.png": with_chunk(png, png_chunk(b"iCCP", b"p\0\0" + b"garbage" * 20)),
        "profile-of-another-kind.png": with_chunk(png, png_chunk(b"iCCP", b"p\0\5abc")),
        "broken-text.png": with_chunk(png, png_chunk(b"tEXt", b"Comment\0hi")[:-1] + b"?"),
        "broken-size.png": with_chunk(png, png_chunk(b"pHYs", bytes(9))[:-1] + b"?"),
        "short-gamma.png": with_chunk(png, png_chunk(b"gAMA", b"\0")),
        "no-transparency.png": with_chunk(png, png_chunk(b"tRNS", b"")),
        "without-its-end.png": png[:-12],
        "without-its-end.jpg": jpeg[:-2],
        "half-an-end.jpg": jpeg[:-1],
        "zeros-at-its-end.jpg": jpeg[:-2] + bytes(3_000),
        "more-behind-its-end.jpg": jpeg + noise[:3_000],
        "more-behind-its-end.png": png + noise[:3_000],
    }
    early = "the file ends early: "
    told = {
        "without-20-bytes.png": (png[:-32], early + "1 of 700 rows missing"),
        "without-200-bytes.jpg": (jpeg[:-200], early + "11 of 700 rows missing"),
        "without-its-end-progressive.jpg": (progressive[:-2], early + "some of its finest"),
        "without-2-bytes.webp": (webp[:-2], "the file lacks its last bytes (2)"),
    }
    for name, data in (files | {name: data for name, (data, _) in told.items()}).items():
        (to / name).write_bytes(data)
    return [
        *(Good(name, scene()) for name in files),
        *(Good(name, scene(), None, (remark,), 3.0) for name, (_, remark) in told.items()),
    ]


def with_chunk(png: bytes, chunk: bytes) -> bytes:
    """A PNG with one more chunk behind its header."""
    return png[:33] + chunk + png[33:]


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def _others(to: Path) -> list[Good]:
    rgb, see = scene(), alpha()
    image, rgba = Image.fromarray(rgb), Image.fromarray(np.dstack([rgb, see]))
    _save(image, to / "lossy.webp", quality=95)
    _save(rgba, to / "alpha.webp", lossless=True)
    _save(image, to / "plain.bmp")
    turned = Image.fromarray(stored_for(6))
    _save(image, to / "photo.heic", **QUICK_HEIC)
    _save(turned, to / "turned.heic", **QUICK_HEIC, exif=_exif(6))
    _save(image, to / "photo.avif", **QUICK_AVIF)
    _save(turned, to / "turned.avif", **QUICK_AVIF, exif=_exif(6))
    _save(rgba, to / "alpha.avif", **QUICK_AVIF)
    gif = image.quantize(256)
    flat = np.asarray(gif.convert("RGB"))
    _save(gif, to / "static.gif")
    hole = Image.fromarray(
        np.where(see == 0, 255, np.asarray(image.quantize(200))).astype(np.uint8)
    )
    hole.putpalette(image.quantize(200).getpalette() or [])
    _save(hole, to / "hole.gif", transparency=255)
    holed = on_white(np.asarray(image.quantize(200).convert("RGB")), np.where(see == 0, 0, 255))
    frames = [Image.new("P", image.size, n) for n in range(11)]
    _save(gif, to / "animated.gif", save_all=True, append_images=frames)
    _save(image, to / "animated.webp", save_all=True, append_images=[rgba], quality=95)
    return [
        *(Good(n, rgb) for n in ("lossy.webp", "plain.bmp", "photo.heic", "photo.avif")),
        *(Good(n, rgb) for n in ("turned.heic", "turned.avif")),
        Good("alpha.webp", on_white(rgb, see)),
        Good("alpha.avif", on_white(rgb, see)),
        Good("static.gif", flat),
        Good("hole.gif", holed),
        Good("animated.gif", flat, remarks=("first of 12 frames",)),
        Good("animated.webp", rgb, remarks=("first of 2 frames",)),
    ]


def _tiffs(to: Path) -> list[Good]:
    rgb, lum = scene(), gray()
    image, bits = (
        Image.fromarray(rgb),
        Image.fromarray(lum).point(lambda v: 255 * (v > 120)).convert("1"),
    )
    pages = [image, Image.fromarray(255 - rgb), bits]
    _save(image, to / "lzw.tif", compression="tiff_lzw")
    _save(image.convert("CMYK"), to / "cmyk.tif")
    _save(image.convert("YCbCr"), to / "jpeg.tif", compression="jpeg", quality=95)
    _save(bits, to / "fax.tif", compression="group4")
    _save(Image.fromarray(np.uint16(lum) * 257), to / "gray16.tif")
    _save(Image.fromarray(lum.astype(np.float32) / 255), to / "float.tif")
    _save(Image.fromarray(np.int32(lum) * 257), to / "int32.tif")
    _save(Image.fromarray(stored_for(8)), to / "turned.tif", tiffinfo={274: 8})
    _save(image, to / "pages.tif", save_all=True, append_images=pages[1:])
    return [
        *(Good(n, rgb) for n in ("lzw.tif", "cmyk.tif", "jpeg.tif", "turned.tif")),
        *(Good(n, three(lum)) for n in ("gray16.tif", "float.tif", "int32.tif")),
        Good("fax.tif", three(np.asarray(bits) * 255.0)),
        Good("pages.tif", rgb, remarks=("first of 3 pages",)),
        Good("pages.tif", 255.0 - rgb, page=2),
        Good("pages.tif", three(np.asarray(bits) * 255.0), page=3),
    ]


def _pdfs(to: Path) -> list[Good]:
    image = Image.fromarray(scene())
    second = Image.fromarray(255 - scene())
    _save(image, to / "scan.pdf", save_all=True, append_images=[second], resolution=200, quality=95)
    return [
        Good("scan.pdf", scene(), remarks=("first of 2 pages",)),
        Good("scan.pdf", 255.0 - scene(), page=2),
    ]


def _raws(to: Path) -> list[Good]:
    """A camera stores the scene as the sensor saw it and says how it was held."""
    turned, small = jpeg_of(stored_for(6)), jpeg_of(scene(), (160, 120))
    upright = jpeg_of(scene())
    own = jpeg_of(stored_for(8), exif=_exif(8))
    files = {
        "camera.dng": raws.dng(turned, 6, small),
        "camera.nef": raws.nef(turned, 6),
        "camera.cr2": raws.cr2(turned, small, 6),
        "camera.arw": raws.arw(turned, small, 6),
        "camera.orf": raws.orf(turned, 6),
        "camera.rw2": raws.rw2(turned, 6),
        "camera.cr3": raws.cr3(turned, small, 6),
        "camera.raf": raws.raf(own),  # nothing but the picture's own EXIF says it
        "level.dng": raws.dng(upright, 1, small),
        "without-an-ending": raws.nef(upright, 1),
    }
    for name, data in files.items():
        (to / name).write_bytes(data)
    (to / "turned-already.dng").write_bytes(raws.dng(turned, 6, size=(1200, 900)))
    said = {name: _raw_remark(700, 960, (900, 1200)) for name in files}
    said |= {name: _raw_remark(700, 960) for name in ("camera.rw2", "camera.cr3", "camera.raf")}
    for name in ("level.dng", "without-an-ending"):
        said[name] = _raw_remark(960, 700, (900, 1200))
    return [
        Good("turned-already.dng", stored_for(6), None, (_raw_remark(700, 960, (1200, 900)),), 2.5),
        *(Good(name, scene(), remarks=(remark,), tolerance=2.5) for name, remark in said.items()),
    ]


def _raw_remark(width: int, height: int, sensor: tuple[int, int] | None = None) -> str:
    remark = f"RAW file: its embedded picture of {width} x {height} is used"
    if sensor is None:
        return remark
    return f"{remark}; the sensor has {sensor[0]} x {sensor[1]}, which an exported JPEG keeps"


def jpeg_of(pixels: Array, size: tuple[int, int] | None = None, **options: Any) -> bytes:
    image = Image.fromarray(pixels)
    return saved(image.resize(size) if size else image, "JPEG", quality=95, **options)


# --- colour


def adobe_encoded(rgb: Array) -> Array:
    """sRGB values as the Adobe RGB values of the same colours, by the formulas."""
    linear = np.where(rgb <= 10, rgb / 255 / 12.92, ((rgb / 255 + 0.055) / 1.055) ** 2.4)
    srgb_d50 = np.array(
        [(0.43607, 0.38515, 0.14307), (0.22249, 0.71687, 0.06061), (0.01392, 0.09708, 0.71410)]
    )
    wide = linear @ (np.linalg.inv(np.array(ADOBE_RGB)) @ srgb_d50).T
    encoded: Array = (wide.clip(0, 1) ** (256 / 563) * 255).round().astype(np.uint8)
    return encoded


def adobe_rgb_profile() -> bytes:
    """A minimal matrix profile, version 2."""
    curve = b"curv" + struct.pack(">IIHxx", 0, 1, 563)
    text = b"desc" + struct.pack(">II", 0, 10) + b"Adobe RGB\0" + bytes(78)
    tags = {b"desc": text, b"cprt": b"text\0\0\0\0none\0\0\0\0", b"wtpt": _xyz(0.9642, 1, 0.8249)}
    for index, colour in enumerate((b"r", b"g", b"b")):
        tags[colour + b"XYZ"] = _xyz(*(row[index] for row in ADOBE_RGB))
        tags[colour + b"TRC"] = curve
    table, body, at = b"", b"", 132 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(
        ">I4sI4s4s4s", at + len(body), b"none", 0x02100000, b"mntr", b"RGB ", b"XYZ "
    )
    head += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(28)
    head += _xyz(0.9642, 1, 0.8249)[8:] + bytes(48)
    return head + struct.pack(">I", len(tags)) + table + body


def _xyz(x: float, y: float, z: float) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in (x, y, z)))


# --- hostile files


def _unread(to: Path) -> list[Bad]:
    """Kinds that people have and that are not read."""
    rgb, lum = scene(), gray()
    strip = {256: WIDTH, 257: HEIGHT, 258: (8, 8, 8), 262: 2, 273: rgb.tobytes(), 277: 3}
    unread = {
        "floats.tif": tiff_with(np.float32(rgb[:9]), 3),
        "double.tif": tiff_with(np.float64(lum[:9]), 3),
        "two-bands.tif": tiff_with(rgb[..., :2]),
        "lab16.tif": tiff_with(np.uint16(rgb[:9]), tags={262: 8}),
        "jpeg2000.tif": raws.tiff([{**strip, 259: 34712}]),
        "lerc.tif": raws.tiff([{**strip, 259: 34887}]),
        "webp.tif": raws.tiff([{**strip, 259: 50001}]),
    }
    jpeg = jpeg_of(rgb)
    at = jpeg.index(b"\xff\xc0") + 1
    unread["12-bit.jpg"] = jpeg[: at + 3] + b"\x0c" + jpeg[at + 4 :]
    unread["lossless.jpg"] = jpeg[:at] + b"\xc3" + jpeg[at + 1 :]
    others = {"video.mp4": b"\0\0\0\x18ftypmp42" + bytes(99), "layers.psd": b"8BPS\0\1" + bytes(99)}
    for name, data in (unread | others | {"zeros.jpg": bytes(5_000)}).items():
        (to / name).write_bytes(data)
    return [
        *(Bad(name, RefusalCode.UNSUPPORTED) for name in unread),
        *(Bad(name, RefusalCode.NOT_AN_IMAGE) for name in others),
        Bad("zeros.jpg", RefusalCode.NOT_DOWNLOADED),
    ]


def _broken(to: Path) -> list[Bad]:
    (to / "zero.jpg").write_bytes(b"")
    (to / "text.jpg").write_text("This is a text with the ending of an image. " * 50)
    (to / "page.png").write_text("<html><body>404</body></html>")
    (to / "drawing.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (to / "noise.gif").write_bytes(b"GIF89a" + b"\xa5" * 3000)
    (to / "head-only.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (to / "folder.jpg").mkdir()
    progressive = saved(Image.fromarray(scene()), "JPEG", progressive=True)
    (to / "half-progressive.jpg").write_bytes(progressive[: len(progressive) // 2])
    whole = saved(Image.fromarray(scene()), "JPEG")
    (to / "half-zeros.jpg").write_bytes(whole[: len(whole) // 2].ljust(len(whole), b"\0"))
    (to / "directory-missing.tif").write_bytes(b"II*\0" + struct.pack("<I", 9_000) + bytes(500))
    (to / "thumbnail.dng").write_bytes(raws.dng(jpeg_of(scene(), (320, 240)), 1))
    (to / "no-picture.dng").write_bytes(raws.dng(b"", 1))
    (to / "cut-picture.raf").write_bytes(raws.raf(jpeg_of(scene()))[:9_000])
    bads = [
        Bad("zero.jpg", RefusalCode.EMPTY),
        *(Bad(n, RefusalCode.NOT_AN_IMAGE) for n in ("text.jpg", "page.png", "drawing.svg")),
        Bad("noise.gif", RefusalCode.CORRUPT),
        Bad("head-only.png", RefusalCode.TRUNCATED),
        Bad("folder.jpg", RefusalCode.UNREADABLE),
        Bad("nowhere.jpg", RefusalCode.MISSING),
        Bad("pages.tif", RefusalCode.NO_SUCH_PAGE, page=4),
        Bad("scan.pdf", RefusalCode.NO_SUCH_PAGE, page=3),
        Bad("rgb.png", RefusalCode.NO_SUCH_PAGE, page=2),
        *(Bad(n, RefusalCode.TRUNCATED) for n in ("half-progressive.jpg", "half-zeros.jpg")),
        Bad("directory-missing.tif", RefusalCode.TRUNCATED),
        Bad("thumbnail.dng", RefusalCode.UNSUPPORTED),
        Bad("no-picture.dng", RefusalCode.UNSUPPORTED),
        Bad("cut-picture.raf", RefusalCode.TRUNCATED),
        Bad("camera.dng", RefusalCode.NO_SUCH_PAGE, page=2),
    ]
    if hasattr(os, "mkfifo"):
        os.mkfifo(to / "pipe.jpg")
        bads.append(Bad("pipe.jpg", RefusalCode.UNREADABLE))
    return bads


WHOLE = ("baseline.jpg", "progressive.jpg", "rgb.png", "lossy.webp", "photo.heic", "photo.avif")


def _cut(to: Path) -> list[Bad]:
    """Files that end at 60 %, as an aborted copy leaves them."""
    for name in (*WHOLE, "static.gif", "plain.bmp", "lzw.tif"):
        data = (to / name).read_bytes()
        (to / f"cut-{name}").write_bytes(data[: len(data) * 6 // 10])
    bads = [Bad(f"cut-{name}", RefusalCode.TRUNCATED) for name in (*WHOLE, "plain.bmp")]
    return [*bads, Bad("cut-static.gif", RefusalCode.TRUNCATED)]


def _bombs(to: Path) -> list[Bad]:
    (to / "bomb.png").write_bytes(png_of(50_000, 50_000))
    (to / "bomb.gif").write_bytes(
        b"GIF89a" + struct.pack("<HHBBB", 50_000, 50_000, 0, 0, 0) + GIF_END
    )
    (to / "bomb.bmp").write_bytes(bmp_of(50_000, 50_000))
    (to / "bomb.webp").write_bytes(webp_of(16_384, 16_384 * 2))
    (to / "bomb.tif").write_bytes(tiff_of(50_000, 50_000))
    (to / "bomb.jpg").write_bytes(resized_jpeg((to / "baseline.jpg").read_bytes(), 50_000))
    (to / "sliver.png").write_bytes(png_of(30_000, 20))
    (to / "scans.jpg").write_bytes(many_scans((to / "progressive.jpg").read_bytes(), 500))
    (to / "locked.pdf").write_bytes(pdf_of("/MediaBox [0 0 100 100]", locked=True))
    (to / "no-pages.pdf").write_bytes(b"%PDF-1.4\n" + b"garbage " * 100)
    names = ("png", "gif", "bmp", "webp", "tif", "jpg")
    return [
        *(Bad(f"bomb.{name}", RefusalCode.TOO_MANY_PIXELS) for name in names),
        Bad("sliver.png", RefusalCode.ABSURD_ASPECT),
        Bad("scans.jpg", RefusalCode.CORRUPT),
        Bad("locked.pdf", RefusalCode.ENCRYPTED),
        Bad("no-pages.pdf", RefusalCode.CORRUPT),
    ]


GIF_END = b"," + struct.pack("<HHHHB", 0, 0, 50_000, 50_000, 0) + b"\x08\x02\x01\x00\x00;"


def png_of(width: int, height: int) -> bytes:
    """A grayscale PNG that declares a size and holds next to nothing."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(100_000))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*c) for c in chunks)


def bmp_of(width: int, height: int) -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + info


def webp_of(width: int, height: int) -> bytes:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + size
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tiff_of(width: int, height: int) -> bytes:
    tags = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1)]
    tags += [(273, 4, 8), (277, 3, 1), (278, 4, height), (279, 4, 100)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(104)


def resized_jpeg(data: bytes, size: int) -> bytes:
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", size, size) + data[at + 4 :]


def many_scans(data: bytes, count: int) -> bytes:
    """The last scan of a progressive JPEG, over and over."""
    at = data.rindex(b"\xff\xda")
    return data[:at] + data[at:-2] * count + b"\xff\xd9"


def pdf_of(page: str, *, locked: bool = False, pages: int = 1) -> bytes:
    kids = " ".join(["3 0 R"] * pages)
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {pages} >>",
        f"<< /Type /Page /Parent 2 0 R {page} >>",
        f"<< /Filter /Standard /V 1 /R 2 /P -4 /O <{'ab' * 32}> /U <{'cd' * 32}> >>",
    ]
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode()
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    lock = f"/Encrypt 4 0 R /ID [<{'00' * 16}> <{'00' * 16}>]" if locked else ""
    trailer = f"trailer << /Size 5 /Root 1 0 R {lock} >>\nstartxref\n{len(out)}\n%%EOF\n"
    return out + f"xref\n0 5\n0000000000 65535 f \n{table}{trailer}".encode()


# --- all of it

GOOD: tuple[Callable[[Path], list[Good]], ...] = (
    _jpegs,
    _pngs,
    _others,
    _tiffs,
    _deep,
    _careless,
    _pdfs,
    _raws,
)
BAD: tuple[Callable[[Path], list[Bad]], ...] = (_broken, _unread, _cut, _bombs)


def build(folder: Path) -> tuple[list[Good], list[Bad]]:
    """Write the corpus into an empty folder; what becomes of each file."""
    goods = [good for make in GOOD for good in make(folder)]
    return goods, [bad for make in BAD for bad in make(folder)]


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True)
    build(target)
