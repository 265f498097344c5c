"""File formats by first bytes, and the file endings that mark an image."""

from __future__ import annotations

IMAGE_ENDINGS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".tif", ".tiff"}
    | {".bmp", ".dib", ".heic", ".heif", ".hif", ".avif", ".pdf"}
    | {".dng", ".nef", ".nrw", ".cr2", ".cr3", ".crw", ".arw", ".sr2", ".srf", ".raf", ".orf"}
    | {".rw2", ".rwl", ".pef", ".srw", ".3fr", ".fff", ".iiq", ".dcr", ".kdc", ".mef", ".mos"}
    | {".erf", ".x3f", ".mrw", ".gpr"}
)
"""A file in a folder with such an ending (lower case) is taken as an image, whatever its bytes."""
PAGED = ("pdf", "tiff")
"""Formats of documents: a file of theirs may have several pages."""
DOCUMENT_ENDINGS = frozenset({".pdf", ".tif", ".tiff"})
PLACEHOLDERS = (".icloud", ".nextcloud", ".owncloud")
"""Endings of small files that stand for files which are kept by a cloud service alone."""
SNIFF_BYTES = 1024
"""How many first bytes ``sniff`` needs: the mark of a PDF may come that late."""


ARCHIVE_ENDINGS = (".zip", ".tar", ".tgz", ".tbz2", ".txz", ".tar.gz", ".tar.bz2", ".tar.xz")


def has_image_ending(name: str) -> bool:
    """Whether a file of this name is taken as an image."""
    return name[name.rfind(".") :].lower() in IMAGE_ENDINGS


def has_archive_ending(name: str) -> bool:
    return name.lower().endswith(ARCHIVE_ENDINGS)


def stands_for(name: str) -> str | None:
    """The name of the file that a placeholder stands for, such as ``a.jpg`` for ``.a.jpg.icloud``;
    None if ``name`` is not the name of a placeholder."""
    if not name.endswith(PLACEHOLDERS):
        return None
    real = name.rpartition(".")[0]
    if name.endswith(".icloud"):
        real = real.removeprefix(".")
    return real or None


def sniff(head: bytes) -> str | None:
    """The format by the first bytes (up to SNIFF_BYTES): jpeg, png, webp, gif, tiff, bmp, heic,
    avif, pdf or raw; None for anything else. The file's ending is not used. Most RAW files begin
    like a TIFF: ``core.images.raws.is_raw`` tells them apart.
    """
    for mark, name in _MARKS:
        if head.startswith(mark):
            return "raw" if name == "tiff" and head[8:10] == b"CR" else name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp":
        return _sniff_brands(head)
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0":
        return "bmp"
    return "pdf" if b"%PDF-" in head[:SNIFF_BYTES] else None


_MARKS = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"IIRO", "raw"),  # Olympus
    (b"IIRS", "raw"),
    (b"MMOR", "raw"),
    (b"IIU\0", "raw"),  # Panasonic, Leica
    (b"FUJIFILMCCD-RAW", "raw"),
    (b"II\x1a\0\0\0HEAPCCDR", "raw"),  # Canon's first
    (b"FOVb", "raw"),  # Sigma
    (b"\0MRM", "raw"),  # Minolta
)
_KNOWN = (
    (b"\xff\x0a", "a JPEG XL"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000"),
    (b"8BPS", "a Photoshop file"),
    (b"gimp xcf", "a GIMP file"),
    (b"\0\0\1\0", "an icon file"),
    (b"v/1\1", "an OpenEXR file"),
    (b"#?RADIANCE", "a Radiance file"),
    (b"%!PS", "a PostScript file"),
    (b"PK\3\4", "a ZIP archive or an Office document"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\xd0\xcf\x11\xe0", "an old Office document"),
    (b"RIFF", "a video or sound"),
    (b"\x1aE\xdf\xa3", "a video"),
    (b"{\\rtf", "an RTF document"),
)


def known_as(head: bytes) -> str:
    """What a file without an image is, by its first bytes, for people; empty if unknown."""
    for mark, name in _KNOWN:
        if head.startswith(mark):
            return name
    if head[4:8] == b"ftyp":
        return "a video"
    if head[128:132] == b"DICM":
        return "a DICOM file"
    text = head[:SNIFF_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page"
    return "an SVG drawing" if b"<svg" in text and text.startswith(b"<") else ""


_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs"}
_ANY_BRANDS = {b"mif1", b"msf1", b"mif2", b"miaf"}


def _sniff_brands(head: bytes) -> str | None:
    """AVIF and HEIC share a container: the major brand decides, then the compatible brands."""
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[i : i + 4] for i in range(16, end - 3, 4))]
    for brand in brands:
        if brand == b"crx ":  # Canon
            return "raw"
        if brand in _AVIF_BRANDS:
            return "avif"
        if brand in _HEIC_BRANDS:
            return "heic"
    return "heic" if _ANY_BRANDS.intersection(brands) else None
