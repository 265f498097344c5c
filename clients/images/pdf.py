"""Renders PDF pages. The only module that uses pypdfium2, which the first document imports.

PDFium is not thread-safe, so a lock guards each call as a whole.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from core.errors import ImageRefused, RefusalCode

DOTS_PER_POINT = 200 / 72
"""A page has no pixel size. We treat it as a scan of 200 dots per inch."""

CRISP = 1024
"""Above this longest side in pixels, a page is rendered at its final size."""

_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Raster:
    """A rendered page: 8-bit BGR rows of ``stride`` bytes on white."""

    width: int
    height: int
    stride: int
    data: bytes


class Document:
    """An open PDF; use it inside ``opened`` only."""

    def __init__(self, pdf: Any) -> None:
        self._pdf = pdf
        self.pages: int = len(pdf)

    def size(self, page: int) -> tuple[int, int]:
        """Width and height in pixels of page 1..pages at 200 dots per inch, upright."""
        width, height = self._pdf.get_page_size(page - 1)
        return max(1, round(width * DOTS_PER_POINT)), max(1, round(height * DOTS_PER_POINT))

    def render(self, page: int, size: tuple[int, int]) -> Raster:
        """Page 1..pages at ``size`` pixels, or at twice a small size: small print stays readable
        when the caller averages it down."""
        sheet = self._pdf[page - 1]
        longest = max(size) if max(size) > CRISP else 2 * max(size)
        bitmap = sheet.render(scale=longest / max(sheet.get_size()))
        try:
            return Raster(bitmap.width, bitmap.height, bitmap.stride, bytes(bitmap.buffer))
        finally:
            bitmap.close()
            sheet.close()


@contextmanager
def opened(file: BinaryIO) -> Iterator[Document]:
    """The document in an open file. The file is read as needed, never as a whole.

    Raises ImageRefused: ENCRYPTED, CORRUPT.
    """
    import pypdfium2

    with _lock:
        try:
            pdf = pypdfium2.PdfDocument(file)
        except pypdfium2.PdfiumError as error:
            raise _refused(error) from None
        try:
            pdf.init_forms()
            yield Document(pdf)
        except pypdfium2.PdfiumError as error:
            raise _refused(error) from None
        finally:
            pdf.close()


def _refused(error: Exception) -> ImageRefused:
    if "password" in str(error).lower():
        return ImageRefused(RefusalCode.ENCRYPTED, "the document needs a password")
    return ImageRefused(RefusalCode.CORRUPT, f"the document cannot be read ({error})")
