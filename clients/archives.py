"""Files in ZIP and tar archives: a list of them, and a copy of one.

A ZIP and a plain tar are read in place: the list says where each file begins, and a process keeps
the lists of the last archives. A compressed tar has no such places, and reading it up to each image
takes time by the square of their number. So it is unpacked once, as a plain tar, to a private
folder of this machine; a copy that is gone is made again.

Everything in an archive is a stranger's: how many files and bytes it says to hold, how it is
packed, and its names, which are never the name of a file that is written.
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
import os
import stat
import struct
import tarfile
import threading
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

from clients import local_files
from clients.local_files import Place
from clients.unpacked import unpacked
from core.errors import ImageRefused, InputRefused, RefusalCode, WrongUsage
from core.images.formats import SNIFF_BYTES
from core.images.members import is_compressed, leads_out
from core.text.printable import printable_name

ENTRIES_MAX = 200_000
LIST_BYTES_MAX = 64_000_000
"""Of the list of a ZIP, and of one long name in a tar: it is read into memory."""
UNPACKED_BYTES_MAX = 500_000_000_000
"""All files together, as the archive says."""
RATIO_MAX = 200
"""Times that an archive's files may be larger than itself, beyond FREE_BYTES."""
FREE_BYTES = 1_000_000_000
LISTS_KEPT = 4
PIECE = 1_000_000
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
"""Not LZMA: the archive says how much memory that takes."""
ENCRYPTED = 0x1
ZIP_HEADER_BYTES = 30
"""Of a file, before its name and extra field, whose lengths are the last four (PKWARE's APPNOTE,
4.3.7)."""
BROKEN = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, gzip.BadGzipFile),
    *(EOFError, OSError, ValueError, OverflowError, struct.error),
    RuntimeError,  # a method that is unknown, or headers inside each other without end
)


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive. ``version`` changes with its content: a ZIP knows the CRC-32, a tar the
    time. ``remark``: why it is not to be read. ``info``: of the archive's library."""

    inner: str
    bytes: int
    version: str
    remark: str = ""
    info: Any = None


Members = Mapping[str, Member]


def members(place: Place) -> Members:
    """The files in an archive by name, in its order; the last of one name counts. Folders are left
    out.

    Raises InputRefused if it is too much, WrongUsage if it cannot be read as an archive,
    ImageRefused if the file cannot be opened.
    """
    with _opened(place) as (_, found):
        return found


def save(place: Place, inner: str, path: Path, most: int | None, version: str | None) -> None:
    """Write a file of an archive to a new file. ``most``: of its bytes; ``version``: that it must
    have still. Raises ImageRefused."""
    try:
        with _opened(place) as (file, found):
            member = found.get(inner)
            if member is None or version not in (None, member.version):
                reason = "the archive changed since the job was planned: run the command again"
                raise ImageRefused(RefusalCode.CHANGED, reason)
            if most is not None and member.bytes > most:
                raise ImageRefused(
                    RefusalCode.TOO_LARGE_FILE,
                    f"the file has {member.bytes} bytes, more than the {most} allowed"
                    " (OVERSTORY_MAX_FILE_BYTES)",
                )
            with path.open("xb") as copy:
                _write(file, member, copy)
    except WrongUsage as error:
        raise ImageRefused(RefusalCode.CORRUPT, str(error)) from None


def digest(place: Place, inner: str) -> str | None:
    """The SHA-256 of a file of an archive; None if it cannot be read."""
    hashed = hashlib.sha256()
    try:
        with _opened(place) as (file, found):
            for piece in _pieces(file, found[inner], PIECE):
                hashed.update(piece)
    except (ImageRefused, WrongUsage, KeyError, *BROKEN):
        return None
    return hashed.hexdigest()


def first_bytes(place: Place, member: Member) -> bytes:
    """The first SNIFF_BYTES of a file; fewer if it cannot be read."""
    try:
        with _opened(place) as (file, _):
            return next(_pieces(file, member, SNIFF_BYTES), b"")
    except (ImageRefused, *BROKEN):
        return b""


def _write(file: BufferedReader, member: Member, copy: IO[bytes]) -> None:
    size = 0
    for piece in _readable(file, member):
        size += copy.write(piece)
    if size != member.bytes:
        reason = f"the archive ends early: it has {size} of {member.bytes} bytes"
        raise ImageRefused(RefusalCode.TRUNCATED, reason)


def _readable(file: BufferedReader, member: Member) -> Iterator[bytes]:
    """What cannot be read refuses the image; a disk that is full does not."""
    try:
        yield from _pieces(file, member, PIECE)
    except BROKEN as error:
        reason = f"it cannot be unpacked from the archive ({type(error).__name__})"
        raise ImageRefused(RefusalCode.CORRUPT, reason) from None


def _pieces(file: BufferedReader, member: Member, length: int) -> Iterator[bytes]:
    """The content of a file, at most as much as the archive says. Raises ImageRefused, BROKEN."""
    left = member.bytes
    source: BufferedReader | zipfile.ZipExtFile = file
    if isinstance(member.info, zipfile.ZipInfo):
        source = _zipped(file, member.info)
    else:
        file.seek(member.info)
    while left > 0 and (piece := source.read(min(length, left))):
        left -= len(piece)
        yield piece
    if isinstance(source, zipfile.ZipExtFile):
        source.read(1)  # at its end it compares the CRC-32


def _zipped(file: BufferedReader, info: zipfile.ZipInfo) -> zipfile.ZipExtFile:
    if info.flag_bits & ENCRYPTED:
        reason = "it is encrypted in its archive: unpack it with its password"
        raise ImageRefused(RefusalCode.ENCRYPTED, reason)
    if info.compress_type not in METHODS:
        reason = f"its archive packs it by a method that is not read here ({info.compress_type})"
        raise ImageRefused(RefusalCode.UNSUPPORTED, reason)
    file.seek(info.header_offset)
    head = file.read(ZIP_HEADER_BYTES)
    if len(head) < ZIP_HEADER_BYTES or not head.startswith(b"PK\x03\x04"):
        raise zipfile.BadZipFile
    skipped = int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
    file.seek(skipped, 1)
    return zipfile.ZipExtFile(file, "r", info)


# --- the list

_kept: OrderedDict[object, Members] = OrderedDict()
_keeping = threading.Lock()


@contextmanager
def _opened(place: Place) -> Iterator[tuple[BufferedReader, Members]]:
    """The file that holds the content, and its list."""
    with local_files.opened(place) as (file, size):
        status = os.fstat(file.fileno())
        times = (status.st_ctime_ns, status.st_mtime_ns)
        mark = (status.st_dev, status.st_ino, *times, status.st_size)
        if is_compressed(file.peek(SNIFF_BYTES)):
            plain = unpacked(file, str(mark), printable_name(place.name))
            with local_files.opened(plain) as (unpacked_file, _):
                yield unpacked_file, _listed(mark, unpacked_file, size, place, _tar_members)
            return
        is_zip = file.peek(4)[:2] == b"PK"
        yield file, _listed(mark, file, size, place, _zip_members if is_zip else _tar_members)


def _listed(
    mark: tuple[int, ...],
    file: BufferedReader,
    size: int,
    place: Place,
    read: Callable[[Any], Iterator[Member]],
) -> Members:
    with _keeping:
        if (known := _kept.get(mark)) is not None:
            _kept.move_to_end(mark)
            return known
    found: dict[str, Member] = {}
    total, shown = 0, printable_name(place.path)
    try:
        for number, member in enumerate(read(_Bounded(file, shown)), 1):
            total += member.bytes
            found.pop(member.inner, None)
            found[member.inner] = member
            if number > ENTRIES_MAX:
                raise _too_much(shown, f"more than {ENTRIES_MAX:,} files")
            if total > max(FREE_BYTES, min(RATIO_MAX * size, UNPACKED_BYTES_MAX)):
                raise _too_much(shown, f"more than {total:,} bytes in {size:,}")
    except BROKEN as error:
        raise WrongUsage(
            f"{shown!r} cannot be read as an archive ({type(error).__name__}): make it again, or"
            " unpack it and name the folder"
        ) from None
    files = [member for member in found.values() if not member.remark]
    if read is _tar_members and len({member.version for member in files}) == 1 < len(files):
        found = _known_by_archive(found, mark)
    with _keeping:
        _kept[mark] = found
        while len(_kept) > LISTS_KEPT:
            _kept.popitem(last=False)
    return found


def _known_by_archive(found: Members, mark: tuple[int, ...]) -> dict[str, Member]:
    """The members of a tar whose times are all the same, as programs write that want the same bytes
    each time: then only the archive tells whether they have changed."""
    *_, changed, size = mark
    return {
        inner: Member(inner, one.bytes, f"{one.version} {size} {changed}", one.remark, one.info)
        for inner, one in found.items()
    }


def _too_much(shown: str, what: str) -> InputRefused:
    return InputRefused(
        f"{shown!r} holds {what}, which no archive of pictures does: unpack the pictures and name"
        " their folder"
    )


def _zip_members(file: Any) -> Iterator[Member]:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            if info.is_dir():
                continue
            kind = stat.S_IFMT(info.external_attr >> 16)
            is_file = kind in (0, stat.S_IFREG)
            version = f"crc32:{info.CRC:08x}"
            yield Member(
                info.filename, info.file_size, version, _remark(info.filename, is_file), info
            )


def _tar_members(file: Any) -> Iterator[Member]:
    with tarfile.open(fileobj=file, mode="r:") as archive:
        for info in archive:
            if info.isdir():
                continue
            is_file = info.isreg() and not info.issparse()
            inner = info.name.removeprefix("./")
            version = f"{int(info.mtime * 1e9)}"
            size = info.size if is_file else 0
            yield Member(inner, size, version, _remark(inner, is_file), info.offset_data)


def _remark(inner: str, is_file: bool) -> str:
    if not is_file:
        return " (a link or a device)"
    if "\0" in inner:
        return " (no name of a file)"
    return " (a path out of the archive)" if leads_out(inner) else ""


class _Bounded:
    """A file that refuses to be read by a large piece at once: an archive says how long its list
    is."""

    def __init__(self, file: BufferedReader, shown: str) -> None:
        self._file = file
        self._shown = shown
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(min(size, LIST_BYTES_MAX + 1) if size >= 0 else LIST_BYTES_MAX + 1)
        if len(piece) > LIST_BYTES_MAX:
            raise _too_much(self._shown, "a list of files that is too long")
        return piece

    def close(self) -> None:
        """The file is its owner's."""
