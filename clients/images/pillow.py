"""Decoding, shrinking, colour and encoding. The only module that uses Pillow and pillow-heif.

The JPEG decoder reduces the scale while it reads. Other formats are decoded once and shrunk in
strips, so peak memory is the decoded image (4 bytes a pixel) and one strip. Functions here raise
whatever the decoders raise; ``clients.images.prepare`` turns that into refusals.
"""

from __future__ import annotations

import functools
import io
import math
import sys
import warnings
from collections.abc import Callable
from datetime import datetime
from io import BufferedReader, BytesIO
from operator import mul
from typing import Any, Final, cast

from PIL import (
    Image,
    ImageChops,
    ImageCms,
    ImageFile,
    ImageFilter,
    ImageMath,
    UnidentifiedImageError,
)

from clients.images.pdf import Raster
from clients.images.resampling import resized
from core.images import depth, exif
from core.images.columns import GAP, Columns
from core.images.formats import SNIFF_BYTES, sniff
from core.images.likeness import GRID, HASH_SIDE, HUES, Likeness, made_of

Size = tuple[int, int]
Picture = ImageFile.ImageFile
Pixels = Image.Image
_Normaliser = Callable[[Pixels], Pixels]

QUALITY = 80
"""The provider's advice (fact sheet 3.5)."""
STRIP_PIXELS = 2_000_000
GENEROUS_PIXELS = 32_000_000
"""Up to this size, averaging leaves LANCZOS a factor of 2 to 4; above, 1 to 2, to save memory."""
HEIF_HEAD_BYTES = 1 << 18
ORIENTATION = 0x0112
EXIF, GPS = 0x8769, 0x8825
DATE_TIME_ORIGINAL, SUBSEC_TIME_ORIGINAL = 0x9003, 0x9291
SUBFILE_TYPE, BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLE_FORMAT = 254, 258, 262, 339
WHITE_IS_ZERO = 0
BLOCK, MISSING_VALUE = 8, 128
FLOAT_MAX = 3.4e38
DEEP = 64
"""A picture of 16 bits whose upper bytes stay under this holds at most 14 bits."""
OTHER_ORDER: Final = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
"""Byte order of 16-bit values -> the order in which Pillow takes their lower bytes."""
PREVIEW_OR_MASK = 1 | 4
TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# core.images.sizing.check_size checks the same declared sizes and refuses with a code
Image.MAX_IMAGE_PIXELS = None
# keep two blocks of up to 16 MB for the next image: new pages cost 3 ms for a 12-megapixel JPEG
Image.core.set_blocks_max(2)  # type: ignore[attr-defined]


# --- in


class Unidentified(ValueError):
    """The decoder does not know this kind, or the header is malformed."""


def opened(file: BufferedReader, kind: str) -> Picture:
    """The file with its header read, by the decoder for ``kind`` alone. No pixels are decoded."""
    _silence_decoders()
    file.seek(0)
    if kind == "heic":
        return _opened_heif(file)
    try:
        return Image.open(file, formats=[kind.upper()])
    except UnidentifiedImageError:
        raise Unidentified("its header is malformed") from None


def _opened_heif(file: BufferedReader) -> Picture:
    """libheif rotates as the container says, and pillow-heif then drops the EXIF orientation. Some
    writers set only the EXIF one, so it is kept if the container has none."""
    _register_heif()
    head = file.read(HEIF_HEAD_BYTES)
    file.seek(0)
    picture = Image.open(file, formats=["HEIF"])
    if b"irot" in head or b"imir" in head:
        picture.info["original_orientation"] = None
    return picture


@functools.cache
def _register_heif() -> None:
    import pillow_heif

    pillow_heif.options.THUMBNAILS = False
    pillow_heif.options.DEPTH_IMAGES = False
    pillow_heif.options.AUX_IMAGES = False
    pillow_heif.options.DECODE_THREADS = 1  # there is one worker for each core already
    pillow_heif.register_heif_opener()


def _silence_decoders() -> None:
    """Ignore warnings about odd metadata, which we strip. Idempotent, so it is thread-safe."""
    warnings.filterwarnings("ignore", module=r"(PIL|pillow_heif)\b")


def frame_count(picture: Picture) -> int:
    """Frames by the header. Not for GIF, where Pillow reads the whole file to count."""
    return int(getattr(picture, "n_frames", 1))


def tiff_pages(picture: Picture, most: int) -> list[int]:
    """Numbers of up to ``most`` frames that are pages, not previews or masks."""
    pages: list[int] = []
    for frame in range(4 * most):
        try:
            picture.seek(frame)
        except EOFError:
            break
        if not int(picture.tag_v2.get(SUBFILE_TYPE, 0)) & PREVIEW_OR_MASK:  # type: ignore[attr-defined]
            pages.append(frame)
        if len(pages) == most:
            break
    return pages or [0]


def is_srgb(picture: Picture) -> bool:
    """Whether the pixels are sRGB or gray without conversion."""
    return picture.mode != "CMYK" and _transform(_profile(picture), picture.mode) is None


def upright_size(picture: Picture, kind: str) -> Size:
    """The full size after rotation, from the header. A TIFF reports it rotated already."""
    turned = kind != "tiff" and _orientation(picture) >= 5
    return picture.size[::-1] if turned else picture.size


def recorded(picture: Picture | None, file: BufferedReader) -> dict[str, str]:
    """When and where a picture was taken, by its EXIF: see core.images.exif. Nothing where it is
    broken. Read it before the pixels. ``file``: of a TIFF or a RAW file, which is read where
    ``picture`` (None: none is opened) has no EXIF of its own; it stays where it is."""
    data = picture.info.get("exif") if picture is not None else None
    at = file.tell()
    try:
        tags = Image.Exif()
        data = data or (exif.png_block(file) if exif.is_png(file) else None)
        if data:
            tags.load(data)
        else:
            file.seek(0)
            tags.load_from_fp(file)
        return exif.facts_of(tags, tags.get_ifd(EXIF), tags.get_ifd(GPS))
    except Exception:  # a picture is good without it
        return {}
    finally:
        file.seek(at)


def orient(picture: Picture, orientation: int) -> None:
    """Turn the picture as its container says (an EXIF orientation), whatever its own EXIF says."""
    picture.info["original_orientation"] = orientation


def gray_rows(data: bytes) -> int:
    """How many rows at the bottom of a JPEG are not there: its decoder makes missing blocks gray.

    The last block of each row tells, as blocks are stored from left to right.
    """
    picture = opened(BufferedReader(BytesIO(data)), "jpeg")
    picture.load()
    edge = picture.crop((max(0, picture.width - BLOCK), 0, picture.width, picture.height))
    gray = bytes([MISSING_VALUE]) * (edge.width * len(edge.getbands()))
    rows = edge.tobytes()
    starts = range(len(rows) - len(gray), -1, -len(gray))
    there = (n for n, start in enumerate(starts) if rows[start : start + len(gray)] != gray)
    return next(there, picture.height)


def prove_whole(picture: Picture) -> None:
    """Decode all data at the lowest cost (a JPEG at 1/8) to detect a damaged file."""
    picture.draft(None, (1, 1))
    picture.load()


def from_raster(raster: Raster, size: Size) -> Pixels:
    """A rendered page at ``size``."""
    drawn = (raster.width, raster.height)
    page = Image.frombuffer("RGB", drawn, raster.data, "raw", "BGR", raster.stride, 1)
    return resized(page, size)


# --- out


def encoded(pixels: Pixels, quality: int = QUALITY) -> bytes:
    """L or RGB pixels as a JPEG without metadata."""
    pixels.info = {}  # Pillow would copy a comment
    out = io.BytesIO()
    pixels.save(out, "JPEG", quality=quality)
    return out.getvalue()


def centred(pixels: Pixels, size: Size) -> Pixels:
    """The pixels in the middle of a white canvas of ``size``."""
    canvas = Image.new(pixels.mode, size, "white")
    canvas.paste(pixels, ((size[0] - pixels.width) // 2, (size[1] - pixels.height) // 2))
    return canvas


def in_columns(pixels: Pixels, columns: Columns) -> Pixels:
    """The pixels of a tall image in columns on a white canvas, with lines between them and the
    caption above."""
    from PIL import ImageDraw, ImageFont  # few images need them

    canvas = Image.new(pixels.mode, columns.canvas, "white")
    draw = ImageDraw.Draw(canvas)
    for column in range(columns.count):
        (first, end), (x, y) = columns.rows(column), columns.origin(column)
        canvas.paste(pixels.crop((0, first, pixels.width, end)), (x, y))
        if column:
            draw.line((x - GAP // 2 - 1, y, x - GAP // 2 - 1, canvas.height), fill="gray")
    font = ImageFont.load_default(columns.top * 2 / 3)
    draw.text((2, columns.top / 2), columns.caption, fill="black", font=font, anchor="lm")
    return canvas


# --- pixels


def is_plain_rgb(picture: Picture) -> bool:
    """Whether the header declares 3 colours and no transparency."""
    return picture.mode == "RGB" and "transparency" not in picture.info


def upright(
    picture: Picture, planned: Size, kind: str, decoded: bytes | None = None
) -> tuple[Pixels, Size, tuple[str, ...]]:
    """L or RGB pixels of the planned size, upright, sRGB on white; the upright full size; and
    remarks.

    ``planned`` is the size before rotation, which comes last because few pixels are left then.
    ``decoded``: RGB rows of the planned size, if another library has decoded the picture.
    """
    profile, full = _profile(picture), picture.size
    remarks: tuple[str, ...] = ()
    if decoded is not None:
        pixels = Image.frombuffer("RGB", planned, decoded, "raw", "RGB", 0, 1)
    elif kind == "jpeg":
        pixels = _shrunk_jpeg(picture, planned)
    else:
        pixels, remarks = _shrunk(picture, planned)
    pixels = _in_srgb(_on_white(pixels), profile)
    orientation = _orientation(picture)
    if orientation not in TURNS:
        return pixels, full, remarks
    return pixels.transpose(TURNS[orientation]), full if orientation < 5 else full[::-1], remarks


def _profile(picture: Picture) -> bytes | None:
    profile = picture.info.get("icc_profile")
    return profile if isinstance(profile, bytes) else None


def _orientation(image: Pixels) -> int:
    """The EXIF orientation. Read it after the pixels: decoders that rotate by themselves unset it.

    The base class reads it: the PNG class's getexif decodes all pixels if it finds no EXIF.
    """
    try:
        tags = Image.Image.getexif(image)
        stored = image.info.get("original_orientation") or tags.get(ORIENTATION, 1)
        return int(stored)
    except Exception:
        return 1  # broken EXIF: use the image without rotation


def _shrunk_jpeg(image: Picture, planned: Size) -> Pixels:
    """The decoder reduces to 1/2, 1/4 or 1/8 while it reads; one small resize does the rest."""
    drafted = image.draft(None, planned)
    image.load()
    return resized(image, planned, drafted[1] if drafted else None)


def _shrunk(picture: Picture, planned: Size) -> tuple[Pixels, tuple[str, ...]]:
    declared = picture.size
    image, remark = _decoded(picture)
    if image.size != declared:  # the limits were held against what it declares
        width, height = image.size
        raise ValueError(f"it declares {declared[0]} x {declared[1]}, and has {width} x {height}")
    scale = min(image.width / planned[0], image.height / planned[1])
    gap = 2.0 if image.width * image.height <= GENEROUS_PIXELS else 1.0
    factor = max(1, int(scale / gap))
    levels = None
    if image.mode == "F":
        image = _finite(image)
    if image.mode.startswith("I") or image.mode == "F":
        levels, remark = _levels(image)
    normal = _normaliser(image, levels)
    remarks = (remark,) if remark else ()
    if factor == 1:
        return resized(normal(image), planned), remarks
    box = (0.0, 0.0, image.width / factor, image.height / factor)
    return resized(_reduced(image, factor, normal), planned, box), remarks


def _decoded(picture: Picture) -> tuple[Pixels, str]:
    """The pixels, and a remark if they are 8 of 16 bits and not the upper ones.

    Pillow keeps the upper 8 of 16 bits a colour. Of a camera's 12 bits those are the upper 4, so
    the lower 8 are decoded too, by reading the bytes in the other order.
    """
    low = _low_bytes(picture)
    picture.load()
    if low is None or (highest := _brightest(picture)) >= DEEP:
        return picture, ""
    low.load()
    fine = [low.getchannel("G")] * 3 if low.info.get("gray") else low.split()[:3]
    top = 256 * highest + 255 if highest else _brightest(low)
    _, white = depth.levels(0, top, "I;16")
    if not white:
        return picture, ""
    scale = 255.0 / white
    bands = [
        ImageChops.add(
            coarse.point([min(255, round(256 * value * scale)) for value in range(256)]),
            lower.point([min(255, round(value * scale)) for value in range(256)]),
        )
        for coarse, lower in zip(picture.split()[:3], fine, strict=True)
    ]
    alpha = [picture.getchannel("A")] if picture.mode == "RGBA" else []
    return Image.merge(picture.mode, [*bands, *alpha]), depth.remark(0, white, "I;16")


def _brightest(image: Pixels) -> int:
    extrema = cast("tuple[tuple[int, int], ...]", image.getextrema())
    return max(high for _, high in extrema[:3])


def _low_bytes(picture: Picture) -> Picture | None:
    """The same picture, to be decoded to the lower bytes of its colours; None if they have 8 bits.
    Of gray with alpha, the second band is the lower byte."""
    tile = picture.tile[0] if picture.tile and picture.fp else None
    rawmode = _rawmode(tile) if tile else ""
    colours, _, order = rawmode.partition(";16")
    if order not in OTHER_ORDER or colours not in ("RGB", "RGBA", "RGBX", "RGBa", "LA"):
        return None
    other = "RGBA" if colours == "LA" else f"{colours};16{OTHER_ORDER[order]}"
    frame = picture.tell()
    file = cast("BufferedReader", picture.fp)
    at = file.tell()
    again = opened(file, str(picture.format).lower())
    again.seek(frame)
    again.tile = [tile._replace(args=_with_rawmode(tile, other)) for tile in again.tile]
    if colours == "LA":
        again.info["gray"] = True
    file.seek(at)
    return again


def _reduced(image: Pixels, factor: int, normal: _Normaliser) -> Pixels:
    """Average ``factor`` x ``factor`` pixels, strip by strip, to avoid a second full-size copy."""
    if normal is _unchanged:
        return image.reduce(factor)
    rows = factor * max(1, STRIP_PIXELS // (image.width * factor))
    canvas: Pixels | None = None
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        small = normal(strip).reduce(factor)
        if canvas is None:
            canvas = Image.new(small.mode, (small.width, math.ceil(image.height / factor)))
        canvas.paste(small, (0, top // factor))
    assert canvas is not None
    return canvas


def _rawmode(tile: ImageFile._Tile) -> str:
    return str(tile.args[0]) if isinstance(tile.args, tuple) else str(tile.args)


def _with_rawmode(tile: ImageFile._Tile, rawmode: str) -> str | tuple[Any, ...]:
    return (rawmode, *tile.args[1:]) if isinstance(tile.args, tuple) else rawmode


def _normaliser(image: Pixels, levels: tuple[float, float] | None) -> _Normaliser:
    """A conversion of the pixels to L, La, RGB, RGBa or CMYK, which can be averaged.

    Alpha is premultiplied, so that colours of fully transparent pixels do not bleed into edges.
    """
    if image.mode == "1":
        return lambda strip: strip.convert("L")
    if image.mode == "L" and getattr(image, "tag_v2", {}).get(SAMPLE_FORMAT) == (2,):
        return lambda strip: strip.point([(value + 128) % 256 for value in range(256)])  # signed
    if image.mode in ("L", "RGB", "CMYK") and "transparency" not in image.info:
        return _unchanged
    if levels is not None:
        return functools.partial(_eight_bit, levels=levels)
    if image.mode == "LA":
        return lambda strip: strip.convert("La")
    if image.mode == "LAB":
        return _lab_to_srgb
    if image.has_transparency_data:
        return lambda strip: strip.convert("RGBA").convert("RGBa")
    return lambda strip: strip.convert("RGB")


def _unchanged(strip: Pixels) -> Pixels:
    return strip


def _finite(image: Pixels) -> Pixels:
    """Floats with 0 where there is no number, as measurements mark what is missing."""
    if all(map(math.isfinite, image.getextrema())):  # type: ignore[arg-type]
        return image
    known = ImageMath.lambda_eval(
        lambda values: (values["x"] > -FLOAT_MAX) * (values["x"] < FLOAT_MAX), x=image
    )
    finite = Image.new("F", image.size)
    finite.paste(image, mask=known.convert("L").point([0, *[255] * 255]))
    return finite


def _levels(image: Pixels) -> tuple[tuple[float, float], str]:
    """The values of black and white in a picture of more than 8 bits, and a remark."""
    mode = "I;16" if image.mode.startswith("I;16") else image.mode
    low, high = (float(value) for value in image.getextrema() if not isinstance(value, tuple))
    black, white = depth.levels(low, high, mode)
    tags = getattr(image, "tag_v2", {})
    declared = int(tags.get(BITS_PER_SAMPLE, (16,))[0])
    if mode == "I;16" and declared < 16:
        white = 2.0**declared - 1
    remark = depth.remark(black, white, mode)
    is_negative = mode == "I;16" and tags.get(PHOTOMETRIC) == WHITE_IS_ZERO
    return (white, black) if is_negative else (black, white), remark


def _eight_bit(strip: Pixels, levels: tuple[float, float]) -> Pixels:
    black, white = levels
    spread = white - black
    scale = 255.0 / spread if math.isfinite(spread) and spread else 1.0
    floats = strip.convert("I").convert("F") if strip.mode.startswith("I;") else strip.convert("F")
    return floats.point(lambda value: value * scale + (0.5 - black * scale)).convert("L")


def _on_white(pixels: Pixels) -> Pixels:
    if pixels.mode not in ("RGBa", "La"):
        return pixels
    straight = pixels.convert("RGBA" if pixels.mode == "RGBa" else "LA")
    canvas = Image.new("RGB" if pixels.mode == "RGBa" else "L", pixels.size, "white")
    canvas.paste(straight.convert(canvas.mode), mask=straight.getchannel("A"))
    return canvas


# --- colour


def _in_srgb(pixels: Pixels, profile: bytes | None) -> Pixels:
    transform = _transform(profile, pixels.mode)
    if transform is not None:
        return ImageCms.applyTransform(pixels, transform) or pixels
    return pixels if pixels.mode in ("L", "RGB") else pixels.convert("RGB")


@functools.lru_cache(maxsize=32)
def _transform(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From the profile to sRGB. None if the profile is absent, sRGB, broken or for another mode.

    Relative colorimetric: white stays white, and colours that both spaces hold stay exact.
    """
    if not profile:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if mode == "RGB" and ImageCms.getProfileDescription(source).startswith("sRGB"):
            return None
        return ImageCms.buildTransform(
            source, _srgb(), mode, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


@functools.cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _lab_to_srgb(pixels: Pixels) -> Pixels:
    lab = ImageCms.createProfile("LAB")
    return ImageCms.applyTransform(
        pixels, ImageCms.buildTransform(lab, _srgb(), "LAB", "RGB")
    ) or pixels.convert("RGB")


def thumbnail(data: bytes, longest: int, quality: int) -> bytes | None:
    """A JPEG of ``data``, a prepared image, whose longest side is at most ``longest`` pixels.

    None if ``data`` cannot be decoded: a report then omits the picture.
    """
    kind = sniff(data[:SNIFF_BYTES])
    if kind is None or kind == "pdf":
        return None
    try:
        with opened(BufferedReader(BytesIO(data)), kind) as picture:
            scale = min(1.0, longest / max(picture.size))
            size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
            small, _, _ = upright(picture, size, kind)
            return encoded(small, quality)
    except (OSError, ValueError, SyntaxError):
        return None


# --- likeness

SAMPLED = 256
"""Longest side in pixels of what the cells of a likeness are the means of."""
MIDDLE, MIDDLE_SMALL = 208, 104
"""Longest side of the part that tells how sharp a picture is, before and after it is reduced."""
SQUARES = [level * level for level in range(256)]
LAPLACIAN = ImageFilter.Kernel((3, 3), [0, 1, 0, 1, -4, 1, 0, 1, 0], scale=1, offset=128)


def likeness(pixels: Pixels, full: Size, taken: float | None) -> Likeness:
    """What tells whether another picture is nearly the same as ``pixels`` (L or RGB, upright).
    ``full``: width and height of the source. Samples, so that it costs a third of a millisecond."""
    gray = _sampled(pixels, SAMPLED).convert("L")
    cells = gray.resize((GRID, GRID), Image.Resampling.BOX)
    steps = ImageChops.difference(gray, ImageChops.offset(gray, 1, 0))
    detail = steps.resize((GRID, GRID), Image.Resampling.BOX)
    _, blue, red = _sampled(pixels, SAMPLED // 4).convert("RGB").convert("YCbCr").split()
    hues = [hue.resize((HUES, HUES), Image.Resampling.BOX).tobytes() for hue in (blue, red)]
    return made_of(
        cells.resize((HASH_SIDE + 1, HASH_SIDE), Image.Resampling.BOX).tobytes(),
        b"".join([cells.tobytes(), detail.tobytes(), *hues]),
        _sharpness(pixels),
        full[0] * full[1],
        taken,
    )


def _sampled(pixels: Pixels, longest: int) -> Pixels:
    scale = longest / max(pixels.size)
    if scale >= 1:
        return pixels
    size = (max(1, round(pixels.width * scale)), max(1, round(pixels.height * scale)))
    return pixels.resize(size, Image.Resampling.NEAREST)


def _sharpness(pixels: Pixels) -> float:
    """The variance of the Laplacian in the middle (Pech-Pacheco et al. 2000): of pictures of one
    scene, the sharpest has the largest."""
    side = min(max(3, min(pixels.size) // 2), MIDDLE)
    left, top = (pixels.width - side) // 2, (pixels.height - side) // 2
    factor = math.ceil(side / MIDDLE_SMALL)
    middle = pixels.reduce(factor, (left, top, left + side, top + side)).convert("L")
    edges = middle.filter(LAPLACIAN)
    edges = edges.crop((1, 1, edges.width - 1, edges.height - 1))  # its rim is not filtered
    counts = edges.histogram()
    total = max(1, sum(counts))
    mean = sum(map(mul, counts, range(256))) / total
    return float(sum(map(mul, counts, SQUARES)) / total - mean * mean)


def taken_at(picture: Picture) -> float | None:
    """When the camera says that it took the picture: EXIF DateTimeOriginal with SubSecTimeOriginal,
    as seconds since 1970 as if its clock ran by UTC. None if the picture does not say."""
    try:
        tags = Image.Image.getexif(picture).get_ifd(EXIF)
        date = f"{tags[DATE_TIME_ORIGINAL]}".strip("\0 ")
        at = datetime.strptime(f"{date}+0000", "%Y:%m:%d %H:%M:%S%z").timestamp()
        part = str(tags.get(SUBSEC_TIME_ORIGINAL, "")).strip("\0 ")
        return at + (float(f"0.{part}") if part.isdigit() else 0.0)
    except Exception:
        return None  # absent or broken EXIF


def warm() -> None:
    """Load what most pictures need, before the first one comes."""
    Image.preinit()


# --- our own


def word_picture(word: str, width: int, height: int) -> bytes:
    """A PNG of width x height pixels with ``word`` in black on white."""
    from PIL import ImageDraw, ImageFont  # only jobs with a canary need them

    picture = Image.new("L", (width, height), 255)
    font = ImageFont.load_default(width / 6)
    ImageDraw.Draw(picture).text((width / 2, height / 2), word, fill=0, font=font, anchor="mm")
    out = io.BytesIO()
    # a canary is sent with each request, and its hash is in keys; a large picture is drawn once
    picture.save(out, "PNG", **({"optimize": True} if width == height else {"compress_level": 1}))
    return out.getvalue()
