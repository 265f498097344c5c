"""libvips: an optional, faster decoder for plain pictures. The only module that uses pyvips.

It only decodes and shrinks. Colours, orientation, padding and encoding stay in ``prepare`` and
``pillow``, so both decoders give the same picture. It returns None for anything unreadable or
unusual: Pillow then reads the file and decides.
"""

from __future__ import annotations

import functools
import logging
import os
from typing import Any

from clients.images.pillow import Size

MIN_PIXELS = 400_000
"""Below this size, starting libvips costs as much as it saves."""


def wins(kind: str, size: Size, planned: Size) -> bool:
    """Whether libvips is clearly faster on opaque RGB (figures: docs/images.md).

    It is not if decoding takes all the time: both use the same libraries for JPEG and WebP, and a
    resize takes little in either (``resampling``).
    """
    if size[0] * size[1] < MIN_PIXELS:
        return False
    halves = min(size[0] // planned[0], size[1] // planned[1]) >= 2
    return kind == "png" or (kind == "webp" and halves)


def shrunk(data: bytes, kind: str, planned: Size) -> bytes | None:
    """The picture in ``data`` as 8-bit RGB rows of the planned size, not rotated.

    None if libvips is missing, if the picture is not 8-bit RGB, or if libvips reports an error or
    a warning.
    """
    pyvips = _library(os.getpid())
    if pyvips is None:
        return None
    try:
        image = _loaded(pyvips, data, kind, planned)
        if (image.bands, image.format) != (3, "uchar"):
            return None
        across, down = planned[0] / image.width, planned[1] / image.height
        image = image.resize(across, vscale=down, kernel="lanczos3")
        return _rows(image, planned)
    except pyvips.Error:
        return None


def _rows(image: Any, planned: Size) -> bytes | None:
    return bytes(image.write_to_memory()) if (image.width, image.height) == planned else None


def _loaded(pyvips: Any, data: bytes, kind: str, planned: Size) -> Any:
    """Read from top to bottom, at the smallest scale that the decoder supports."""
    load = getattr(pyvips.Image, f"{kind}load_buffer")
    # fail on any warning, not only on truncation: Pillow decides about unusual files
    options = {"access": "sequential", "fail_on": "warning"}
    image = load(data, **options)
    return image if kind == "png" else load(data, scale=planned[0] / image.width, **options)


_users: list[int] = []
"""The process that loaded libvips. A forked child inherits this and must not use libvips: its
threads did not survive the fork, and the child would wait for them forever."""


@functools.cache
def _library(process: int) -> Any:
    """pyvips, loaded on first use. None if it is broken, or in a process forked after the load."""
    _users.append(process)
    if _users[0] != process:
        _log().warning("accelerator.forked", loaded_by=_users[0])
        return None
    try:
        import pyvips
    except Exception as error:  # the module or libvips is missing, or has another version
        _log().warning("accelerator.missing", error=str(error))
        return None
    logging.getLogger("pyvips").setLevel(logging.ERROR)  # it logs a dozen lines a picture
    pyvips.concurrency_set(1)  # there is one worker for each core already
    pyvips.cache_set_max(0)  # no picture is read twice
    pyvips.block_untrusted_set(True)  # allow only loaders that are fuzzed upstream
    return pyvips


def _log() -> Any:
    """Loaded when there is something to say: it is most of what a decoding process would load."""
    import structlog

    return structlog.get_logger()
