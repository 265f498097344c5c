"""Compressed tars as plain ones, in a private folder of this machine.

A copy has the name of the inode, size and times of its archive, so no other file is taken for it.
It is visible when it is complete; what a killed process left is deleted by the next one, and a copy
that nobody has used for a day, too.
"""

from __future__ import annotations

import bz2
import contextlib
import fcntl
import gzip
import hashlib
import lzma
import os
import tempfile
import time
import zlib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

from clients import private_files
from core.errors import InputRefused, ServiceAway, WrongUsage
from core.images.members import BZIP2, GZIP

MOST = 2_000_000_000
"""Bytes of one unpacked tar. A larger one is to be unpacked by hand, or to be a ZIP."""
RATIO_MAX = 200
FREE_BYTES = 200_000_000
"""Below it the ratio does not count: pictures of one colour pack well."""
KEPT_SECONDS = 86_400.0
KEPT_BYTES = 4_000_000_000
MEMORY = 256_000_000
"""That xz may use: the file says how much it needs."""
PIECE = 1_000_000
PARTIAL = ".part"


def unpacked(file: BufferedReader, mark: str, shown: str) -> Path:
    """A copy of the tar without its compression. Raises InputRefused if it is too large, WrongUsage
    if it is broken, ServiceAway if the folder cannot be written."""
    folder = Path(tempfile.gettempdir()) / f"overstory-tars-{os.geteuid()}"
    path = folder / hashlib.sha256(mark.encode()).hexdigest()
    try:
        private_files.private_folder(folder)
        with private_files.lock_file(folder / ".lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                os.utime(path)
                return path
            _delete_old(folder)
            partial = path.with_suffix(PARTIAL)
            with partial.open("xb") as copy:
                _unpack(file, copy, shown)
            return partial.replace(path)
    except OSError as error:
        raise ServiceAway(
            f"{shown!r} cannot be unpacked in {folder} ({error.strerror or error}): free space, or"
            " set TMPDIR"
        ) from None


def _unpack(file: BufferedReader, copy: IO[bytes], shown: str) -> None:
    size = 0
    for piece in _readable(file, shown):
        size += copy.write(piece)
        if size > MOST or size > max(FREE_BYTES, RATIO_MAX * file.tell()):
            raise InputRefused(
                f"{shown!r} is a compressed tar with more than {size:,} bytes in it, which are not"
                " unpacked here: unpack it and name the folder, or make it a ZIP, which is read in"
                " place"
            )


def _readable(file: BufferedReader, shown: str) -> Iterator[bytes]:
    try:
        yield from _pieces(file)
    except (EOFError, OSError, lzma.LZMAError, zlib.error, ValueError) as error:
        raise WrongUsage(
            f"{shown!r} cannot be unpacked ({type(error).__name__}): make it again, or unpack it"
            " and name the folder"
        ) from None


def _pieces(file: BufferedReader) -> Iterator[bytes]:
    head = file.peek(8)
    if head.startswith((GZIP, BZIP2)):
        opened: Any = gzip.open if head.startswith(GZIP) else bz2.open
        with opened(file) as plain:
            while piece := plain.read(PIECE):
                yield piece
        return
    while file.peek(1):
        yield from _xz_stream(file)


def _xz_stream(file: BufferedReader) -> Iterator[bytes]:
    """One of the streams that follow each other in a file, with what it needs of memory bounded."""
    stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY)
    while not stream.eof:
        piece = file.read(64 * 1024) if stream.needs_input else b""
        if stream.needs_input and not piece:
            raise EOFError
        yield stream.decompress(piece, PIECE)
    file.seek(-len(stream.unused_data), os.SEEK_CUR)
    while file.peek(1)[:1] == b"\0":  # padding
        file.read(1)


def _delete_old(folder: Path) -> None:
    """What is too old or too much, and what was not completed. The lock is held."""
    files = sorted(
        ((entry.stat().st_mtime, entry) for entry in folder.iterdir() if entry.name != ".lock"),
        reverse=True,
    )
    room = KEPT_BYTES - MOST
    for changed, entry in files:
        room -= entry.stat().st_size
        if entry.suffix == PARTIAL or room < 0 or time.time() - changed > KEPT_SECONDS:
            entry.unlink(missing_ok=True)
