"""Names of files in archives: ``zip:/folder/photos.zip!/2024/a.jpg``, or ``tar:`` likewise.

Such a name is the location of an image, and no input: a person names the archive.
"""

from __future__ import annotations

from dataclasses import dataclass

SCHEMES = ("zip:", "tar:")
SEPARATOR = "!/"
"""Between the archive's path, in which it must not stand, and the file's name."""


@dataclass(frozen=True, slots=True)
class MemberName:
    """``kind``: zip or tar. ``archive``: a location of a file on this machine."""

    kind: str
    archive: str
    inner: str

    @property
    def location(self) -> str:
        return f"{self.kind}:{self.archive}{SEPARATOR}{self.inner}"


def is_member(location: str) -> bool:
    return location.startswith(SCHEMES)


def parse_member(location: str) -> MemberName:
    kind, _, rest = location.partition(":")
    archive, _, inner = rest.partition(SEPARATOR)
    return MemberName(kind, archive, inner)


def leads_out(inner: str) -> bool:
    """Whether a name in an archive leads to a place outside the archive."""
    return inner.startswith("/") or ".." in inner.split("/")


def archive_kind(name: str, head: bytes) -> str | None:
    """zip or tar, by a file's first bytes and its name; None for anything else, such as an Office
    document, which is a ZIP file too. Whether a compressed file holds a tar is not known yet."""
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return None if head[30:].startswith(_OFFICE) else "zip"
    if head[257:262] == b"ustar" or name.lower().endswith(".tar"):
        return "tar"
    return "tar" if is_compressed(head) else None


def is_compressed(head: bytes) -> bool:
    """Whether a file begins like one of gzip, bzip2 or xz."""
    return head.startswith((GZIP, BZIP2, XZ))


GZIP, BZIP2, XZ = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0"
_OFFICE = (b"[Content_Types].xml", b"mimetype", b"_rels/", b"META-INF/")
"""The first file of Office and OpenDocument files, books and programs."""
