"""A prepared image. Who only receives one need not load the decoders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.images.likeness import Likeness


@dataclass(frozen=True, slots=True)
class Prepared:
    """An image ready to send: ``data`` is upright sRGB on white without metadata.

    Width and height are in pixels, as sent and as in the source (upright). Hashes are SHA-256 in
    hex, of ``data`` and of the whole source file. ``remarks`` are texts for people. ``facts``: when
    and where it was taken, by its EXIF.
    """

    data: bytes
    mime: str
    width: int
    height: int
    sha256: str
    source_sha256: str
    source_width: int
    source_height: int
    source_format: str
    remarks: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    likeness: Likeness | None = None  # if it was asked for; a page of a document has none
