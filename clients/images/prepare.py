"""Turns any image file into the bytes that suit the provider best.

``prepare`` returns a Prepared or raises ImageRefused, whatever is on disk. Cheap checks come first:
stat, first bytes, declared size, and only then the pixels (``clients.images.pillow``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from io import BufferedReader, BytesIO
from typing import Final, TypeVar

from clients import local_files
from clients.images import pdf, pillow, vips
from clients.images.pillow import Picture, Pixels, Size
from clients.images.prepared import Prepared
from clients.local_files import AnyPlace
from core.catalog.formulas import STEPFUN_SIZES, SentSizes
from core.catalog.tokens import Detail
from core.errors import ImageRefused, RefusalCode
from core.images import headers, mending, raws, tiff
from core.images.columns import columns_remark, plan_columns
from core.images.formats import SNIFF_BYTES, known_as, sniff
from core.images.likeness import Likeness
from core.images.mending import Mended
from core.images.raws import Raw
from core.images.sizing import (
    Accelerator,
    ImageLimits,
    check_aspect,
    check_page,
    check_size,
    is_too_narrow,
    may_stay,
    narrow_remark,
    pad_plan,
)

MAX_SCANS = 200
"""Progressive photos have about 10. Thousands in a large frame keep a decoder busy for hours."""
Result = TypeVar("Result")
Mender = Callable[[bytes], Mended | None]
MENDERS: Final[Mapping[str, Mender]] = {
    "png": mending.png,
    "jpeg": mending.jpeg,
    "webp": mending.webp,
}
HEADER_MENDERS: Final[Mapping[str, Mender]] = {
    "png": partial(mending.png, is_shown=False),
    "webp": mending.webp,
}
"""For a file whose header alone is read: no pixel is unpacked."""
MENDED_BYTES = 200_000_000
"""The largest file that is copied into memory to mend it."""
UNREAD = (50001,)
"""Compressions of TIFF that the decoder knows by name and is built without: WebP."""
METADATA_BYTES = 4_000_000
"""Room for what a JPEG has beside its pixels."""
LESS = 0.8
"""An embedded picture with this share of the sensor's pixels is in full size: the sensor has a rim
that cameras cut off."""
MIMES: Final = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp"}


@dataclass(frozen=True, slots=True)
class _Job:
    """The arguments of one call, after the checks that need no decoder."""

    file: BufferedReader
    file_bytes: int
    kind: str
    limits: ImageLimits
    detail: Detail
    page: int | None
    accelerator: Accelerator
    no_webp: bool = False  # a WebP file is encoded anew
    sizes: SentSizes = STEPFUN_SIZES
    compares: bool = False  # the picture's likeness is wanted
    profile: bytes | None = None  # of colours, if it is not in the file
    remarks: tuple[str, ...] = ()  # about the file itself


def prepare(
    path: AnyPlace,
    *,
    detail: Detail,
    limits: ImageLimits,
    page: int | None = None,
    accelerator: Accelerator = "none",
    compares: bool = False,
) -> Prepared:
    """Read, check, turn upright, shrink and encode one image; ``page`` counts from 1.

    Raises only ImageRefused, with a code and a sentence, whatever is on disk.
    """
    with local_files.opened(path, limits.max_file_bytes) as (file, size):
        return prepare_file(file, size, detail, limits, page, accelerator, compares=compares)


def prepare_file(
    file: BufferedReader,
    size: int,
    detail: Detail,
    limits: ImageLimits,
    page: int | None,
    accelerator: Accelerator,
    no_webp: bool = False,
    sizes: SentSizes = STEPFUN_SIZES,
    compares: bool = False,
) -> Prepared:
    """The same for an open file of ``size`` bytes, at its start. ``no_webp``: the result is no
    WebP. ``sizes``: in which images are sent to the model. ``compares``: with its likeness."""
    with _job(file, size, limits, detail, page, accelerator, no_webp, sizes, compares) as job:
        digest = hashlib.file_digest(job.file, "sha256").hexdigest()
        if job.kind == "pdf":
            return _prepare_pdf(job, digest)
        return _or_mended(job, lambda job: _prepare(job, digest))


def page_count(path: AnyPlace, limits: ImageLimits) -> int:
    """Number of images in a file: pages of a PDF or TIFF, 1 for every other format.

    Stops counting at one above ``limits.max_pages``. Raises ImageRefused.
    """
    with local_files.opened(path, limits.max_file_bytes) as (file, size):
        return pages_of(file, size, limits)


def pages_of(file: BufferedReader, size: int, limits: ImageLimits) -> int:
    """The same for an open file of ``size`` bytes, at its start."""
    with _job(file, size, limits) as job:
        if job.kind == "pdf":
            with pdf.opened(job.file) as document:
                return min(document.pages, limits.max_pages + 1)
        if job.kind != "tiff":
            return 1
        return len(_pages(_open(job), job))


def measure(file: BufferedReader, size: int, limits: ImageLimits, page: int | None) -> Size:
    """Width and height in pixels, upright, from the header of an open file alone.

    Raises ImageRefused for anything that ``prepare`` refuses before it decodes.
    """
    with _job(file, size, limits, page=page) as job:
        if job.kind == "pdf":
            with pdf.opened(job.file) as document:
                check_page(page, document.pages, limits)
                full = document.size(page or 1)
                check_aspect(*full, limits)
        else:
            full = _or_mended(job, _upright_size, HEADER_MENDERS)
            check_size(*full, limits)
        return full


def recorded(file: BufferedReader, size: int, limits: ImageLimits) -> dict[str, str]:
    """When and where a picture was taken, from the header of an open file alone. Raises
    ImageRefused."""
    with _job(file, size, limits) as job:
        if job.kind == "pdf":
            return {}
        return pillow.recorded(None if job.kind == "raw" else _open(job), job.file)


def _upright_size(job: _Job) -> Size:
    inner, picture, _ = _chosen(job)
    return pillow.upright_size(picture, inner.kind)


@contextmanager
def _job(
    file: BufferedReader,
    size: int,
    limits: ImageLimits,
    detail: Detail = "low",
    page: int | None = None,
    accelerator: Accelerator = "none",
    no_webp: bool = False,
    sizes: SentSizes = STEPFUN_SIZES,
    compares: bool = False,
) -> Iterator[_Job]:
    """Turns every error inside into ImageRefused: decoders may raise anything."""
    kind = _kind(file)
    job = _Job(file, size, kind, limits, detail, page, accelerator, no_webp, sizes, compares)
    try:
        yield job
    except ImageRefused:
        raise
    except MemoryError:
        reason = "it does not fit into memory"
        raise ImageRefused(RefusalCode.TOO_MANY_PIXELS, reason) from None
    except Exception as error:
        raise _refusal(error, job) from None


def _kind(file: BufferedReader) -> str:
    try:
        head = file.read(SNIFF_BYTES)
        kind = sniff(head)
        if kind == "tiff" and raws.is_raw(file):
            kind = "raw"
        file.seek(0)
    except OSError as error:
        reason = f"the file cannot be read ({error.strerror})"
        raise ImageRefused(RefusalCode.UNREADABLE, reason) from None
    if kind is None:
        raise _not_an_image(head)
    return kind


def _not_an_image(head: bytes) -> ImageRefused:
    if not head.strip(b"\0"):
        return ImageRefused(
            RefusalCode.NOT_DOWNLOADED,
            "it begins with zeros only, like a file that a cloud service has not downloaded, or a"
            " copy that was cut off: download or copy it again",
        )
    reason = "the content is not an image format we read"
    if known := known_as(head):
        reason = f"the content is {known}, which is not read: save it as JPEG, PNG or PDF"
    return ImageRefused(RefusalCode.NOT_AN_IMAGE, reason)


# --- from a file to a Prepared


def _prepare(job: _Job, digest: str) -> Prepared:
    inner, picture, remarks = _chosen(job)
    check_size(*picture.size, job.limits)
    facts = pillow.recorded(picture, job.file)
    return replace(_drawn(inner, picture, digest, remarks), facts=facts)


def _drawn(job: _Job, picture: Picture, digest: str, remarks: tuple[str, ...]) -> Prepared:
    _check_scans(job)
    planned = _planned(picture, job)
    untouched = None if remarks else _untouched(picture, planned, job)
    if untouched is not None and not job.compares:
        pillow.prove_whole(picture)
        return _prepared(job, digest, untouched, planned, planned, ())
    decoded = None if remarks else _accelerated(picture, planned, job)
    upright, full, noticed = pillow.upright(picture, planned, job.kind, decoded)
    likeness = _likeness(job, picture, upright, full)
    if untouched is not None:
        return _prepared(job, digest, untouched, planned, planned, (), likeness)
    return _finished(job, digest, upright, full, remarks + noticed, likeness)


def _likeness(job: _Job, picture: Picture, upright: Pixels, full: Size) -> Likeness | None:
    """What tells whether another photograph is nearly the same, if that is wanted."""
    if not job.compares or job.page is not None:
        return None
    return pillow.likeness(upright, full, pillow.taken_at(picture))


def _prepare_pdf(job: _Job, digest: str) -> Prepared:
    with pdf.opened(job.file) as document:
        check_page(job.page, document.pages, job.limits)
        page = job.page or 1
        full = document.size(page)
        check_aspect(*full, job.limits)  # a page is drawn at the size that is sent
        columns = plan_columns(*full, job.detail, job.sizes)
        planned = job.sizes.of(*full, job.detail) if columns is None else columns.scaled
        raster = document.render(page, planned)
    remarks = _first_of(document.pages, "pages") if job.page is None else ()
    return _finished(job, digest, pillow.from_raster(raster, planned), full, remarks)


def _planned(picture: Picture, job: _Job) -> Size:
    """The size to which a picture is scaled before it is turned upright."""
    planned = job.sizes.of(*picture.size, job.detail)
    if not is_too_narrow(picture.size, planned):
        return planned
    upright = pillow.upright_size(picture, job.kind)
    columns = plan_columns(*upright, job.detail, job.sizes)
    if columns is None:
        return planned
    return columns.scaled if upright == picture.size else columns.scaled[::-1]


def _accelerated(picture: Picture, planned: Size, job: _Job) -> bytes | None:
    """RGB rows of a plain picture from libvips, if it is enabled and faster; else None.

    The file is in memory meanwhile, so it may not be larger than its pixels.
    """
    width, height = picture.size
    if (
        job.accelerator == "none"
        or not vips.wins(job.kind, picture.size, planned)
        or not pillow.is_plain_rgb(picture)
        or job.file_bytes > 4 * width * height
    ):
        return None
    with _from_start(job.file):
        data = job.file.read()
    return vips.shrunk(data, job.kind, planned) if headers.ends_plainly(data, job.kind) else None


def _finished(
    job: _Job,
    digest: str,
    upright: Pixels,
    full: Size,
    remarks: tuple[str, ...],
    likeness: Likeness | None = None,
) -> Prepared:
    """Cut a tall image into columns, pad a tiny one, encode and describe it."""
    columns = plan_columns(*full, job.detail, job.sizes)
    if columns is not None and upright.size == columns.scaled:
        remarks += (columns_remark(full, columns, job.detail, job.sizes),)
        upright = pillow.in_columns(upright, columns)
    elif narrow := narrow_remark(full, upright.size, job.detail, job.sizes):
        remarks += (narrow,)
    canvas = pad_plan(*upright.size)
    if canvas != upright.size:
        remarks += (f"padded with white from {upright.width} x {upright.height}",)
        upright = pillow.centred(upright, canvas)
    return _prepared(job, digest, pillow.encoded(upright), upright.size, full, remarks, likeness)


def _prepared(
    job: _Job,
    digest: str,
    data: bytes,
    size: Size,
    full: Size,
    remarks: tuple[str, ...],
    likeness: Likeness | None = None,
) -> Prepared:
    return Prepared(
        data=data,
        mime=MIMES[sniff(data[:SNIFF_BYTES]) or "jpeg"],
        width=size[0],
        height=size[1],
        sha256=hashlib.sha256(data).hexdigest(),
        source_sha256=digest,
        source_width=full[0],
        source_height=full[1],
        source_format=job.kind,
        remarks=remarks,
        likeness=likeness,
    )


def _untouched(picture: Picture, planned: Size, job: _Job) -> bytes | None:
    """The file's own bytes, if nothing in them needs a change."""
    fits = planned == picture.size == pad_plan(*picture.size)
    if job.no_webp and job.kind == "webp":
        return None
    if not fits or not may_stay(job.file_bytes, *picture.size) or not pillow.is_srgb(picture):
        return None
    with _from_start(job.file):
        data = job.file.read()
    return data if headers.is_plain(data, job.kind) else None


# --- opening and choosing


def _chosen(job: _Job) -> tuple[_Job, Picture, tuple[str, ...]]:
    """The picture to use, the job that holds it, and remarks about the choice."""
    if job.kind == "raw":
        check_page(job.page, 1, job.limits)
        return _embedded(raws.read(job.file), job)
    picture = _open(job)
    return job, picture, job.remarks + _choose(picture, job)


def _embedded(raw: Raw, job: _Job) -> tuple[_Job, Picture, tuple[str, ...]]:
    """The largest picture in a RAW file. Raises ImageRefused if it is a thumbnail."""
    inner = raw.picture
    if inner is None or max(inner.width, inner.height) < raws.THUMBNAIL:
        raise ImageRefused(RefusalCode.UNSUPPORTED, _only_a_thumbnail(raw))
    job.file.seek(inner.offset)
    data = job.file.read(3 * inner.width * inner.height + METADATA_BYTES)
    data = data[: headers.jpeg_end(data)]
    job = replace(job, file=_buffer(data), file_bytes=len(data), kind="jpeg")
    picture = _open(job)
    if raw.orientation is not None:
        pillow.orient(picture, raw.orientation)
    size = f"{inner.width} x {inner.height}"
    remark = f"RAW file: its embedded picture of {size} is used"
    across, down = raw.sensor
    if inner.width * inner.height < LESS * across * down:
        remark += f"; the sensor has {across} x {down}, which an exported JPEG keeps"
    return job, picture, (remark,)


def _only_a_thumbnail(raw: Raw) -> str:
    what = "no JPEG of the photo"
    if raw.picture is not None:
        what = (
            f"only a thumbnail of {raw.picture.width} x {raw.picture.height}, too small to see what"
            f" the photo shows (a longest side of {raws.THUMBNAIL} pixels is needed)"
        )
    return f"a RAW file that embeds {what}: export it as JPEG, or with a full-size preview"


def _open(job: _Job) -> Picture:
    if job.kind == "webp":  # its decoder allocates the canvas on opening
        with _from_start(job.file):
            declared = headers.webp_size(job.file.read(64))
        check_size(*(declared or (1, 1)), job.limits)
    picture = pillow.opened(job.file, job.kind)
    if job.profile is not None:
        picture.info["icc_profile"] = job.profile
    return picture


def _pages(picture: Picture, job: _Job) -> list[int]:
    return pillow.tiff_pages(picture, job.limits.max_pages + 1) if job.kind == "tiff" else [0]


def _choose(picture: Picture, job: _Job) -> tuple[str, ...]:
    """Seek to the wanted page. Returns a remark if only the first of several images is used."""
    pages = _pages(picture, job)
    check_page(job.page, len(pages), job.limits)
    if job.kind == "tiff":
        picture.seek(pages[(job.page or 1) - 1])
        return _first_of(len(pages), "pages") if job.page is None else ()
    return _first_of(_frames(picture, job), "frames")


def _first_of(count: int | None, what: str) -> tuple[str, ...]:
    if count is None:
        return (f"first of very many {what}",)
    return (f"first of {count} {what}",) if count > 1 else ()


def _frames(picture: Picture, job: _Job) -> int | None:
    if job.kind in ("jpeg", "heic"):  # the others are previews, depth maps or frames of a burst
        return 1
    if job.kind == "gif":
        with _from_start(job.file):
            return headers.gif_frames(job.file)
    return pillow.frame_count(picture)


def _check_scans(job: _Job) -> None:
    if job.kind == "jpeg":
        with _from_start(job.file):
            scans = headers.jpeg_scans(job.file, MAX_SCANS)
        if scans > MAX_SCANS:
            raise ImageRefused(RefusalCode.CORRUPT, f"a JPEG of more than {MAX_SCANS} scans")


@contextmanager
def _from_start(file: BufferedReader) -> Iterator[None]:
    """Seek to the file's start, and afterwards back to where the decoder left it."""
    at = file.tell()
    file.seek(0)
    yield
    file.seek(at)


# --- files that break the rules


def _or_mended(
    job: _Job, use: Callable[[_Job], Result], menders: Mapping[str, Mender] = MENDERS
) -> Result:
    """What ``use`` makes of the file; if that fails, of a mended copy in memory."""
    try:
        return use(job)
    except (ImageRefused, MemoryError):
        raise
    except Exception:
        mended = _mended(job, menders)
        if mended is None:
            raise
        with suppress(OSError, ValueError, SyntaxError):
            return use(mended)
        raise


def _mended(job: _Job, menders: Mapping[str, Mender]) -> _Job | None:
    """Raises ImageRefused if too much of the picture is missing."""
    mend = menders.get(job.kind)
    if mend is None or job.file_bytes > MENDED_BYTES:
        return None
    job.file.seek(0)
    mended = mend(job.file.read())
    if mended is None:
        return None
    remark = mended.remark
    if job.kind == "jpeg" and not remark:
        check_size(*pillow.opened(_buffer(mended.data), "jpeg").size, job.limits)
        height = pillow.opened(_buffer(mended.data), "jpeg").height
        remark = mending.missing_rows(pillow.gray_rows(mended.data), height, "gray")
    return replace(
        job,
        file=_buffer(mended.data),
        file_bytes=len(mended.data),
        profile=mended.profile,
        remarks=(remark,) if remark else (),
    )


def _buffer(data: bytes) -> BufferedReader:
    return BufferedReader(BytesIO(data))


# --- refusing


def _refusal(error: Exception, job: _Job) -> ImageRefused:
    if kind := _unread(error, job):
        advice = "save it as an ordinary JPEG or PNG"
        return ImageRefused(RefusalCode.UNSUPPORTED, f"{kind}, which is not read: {advice}")
    message = " ".join(str(error).split())[:200] or type(error).__name__
    if _is_truncated(message, job):
        reason = f"the {job.kind} data ends early ({message}): copy or download the file again"
        return ImageRefused(RefusalCode.TRUNCATED, reason)
    return ImageRefused(RefusalCode.CORRUPT, f"the {job.kind} data cannot be decoded ({message})")


def _unread(error: Exception, job: _Job) -> str:
    """The kind of a TIFF or JPEG that the decoder does not know; empty if it knows it."""
    with suppress(OSError, ValueError):
        if job.kind == "jpeg":
            return headers.jpeg_kind(job.file)
        if job.kind != "tiff":
            return ""
        pages = tiff.directories(job.file)
        page = pages[min(job.page or 1, len(pages)) - 1] if pages else None
        if page is not None and (
            isinstance(error, pillow.Unidentified) or page.one(tiff.COMPRESSION) in UNREAD
        ):
            return tiff.described(page)
    return ""


def _is_truncated(message: str, job: _Job) -> bool:
    if "truncated" in message.lower() or "end of file" in message.lower():
        return True
    try:
        return headers.ends_early(job.file, job.kind, job.file_bytes)
    except (OSError, ValueError):
        return False
