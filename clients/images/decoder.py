"""Decodes pictures and documents in a process of its own, which may be killed.

What strangers wrote is decoded by C code. It runs without our keys, the network and the file system
(``clients.images.confinement``), with limits on time and memory. A picture that takes too long, or
that brings the process down, is refused; the next one gets a new process. A process is kept between
pictures.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import select
import signal
import socket
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from io import BufferedReader
from typing import IO, Any

import structlog

from clients.images import decoder_source
from clients.images.frames import Ended, encoded, received
from clients.images.prepared import Prepared
from core.catalog.formulas import STEPFUN_SIZES, SentSizes
from core.catalog.tokens import Detail
from core.errors import ImageRefused, RefusalCode, ServiceAway
from core.images import exif
from core.images.formats import PAGED, SNIFF_BYTES, sniff
from core.images.likeness import Likeness
from core.images.sizing import Accelerator, DecoderLimits, ImageLimits
from core.text.printable import one_line

log = structlog.get_logger()

START_SECONDS = 30.0
"""For a process to start and confine itself, on a machine that is busy with other work."""
GRACE_SECONDS = 1.0
"""Wall clock beyond the CPU time, so that the system's own limit strikes first."""
NEARLY = 0.9
"""A process that ends after this share of its time was ended by the system for its CPU time."""
LOOK_SECONDS = 0.5
"""How often a call checks whether its picture is still wanted."""
TRIES = 2
"""A process may be killed for want of memory on the machine, by no fault of its picture."""


def wanted() -> bool:
    return True


@dataclass(slots=True)
class Decoder:
    """Prepares pictures in processes of its own. Threads may share one."""

    limits: DecoderLimits

    def prepare(
        self,
        file: BufferedReader,
        size: int,
        *,
        detail: Detail,
        limits: ImageLimits,
        sizes: SentSizes = STEPFUN_SIZES,
        page: int | None = None,
        accelerator: Accelerator = "none",
        no_webp: bool = False,
        compares: bool = False,
        still_wanted: Callable[[], bool] = wanted,
    ) -> Prepared:
        """Like clients.images.prepare.prepare_file. Raises ImageRefused.

        ``still_wanted`` is asked twice a second while the picture is decoded.
        """
        asked = {
            "wants": "picture",
            "detail": detail,
            "sizes": asdict(sizes),
            "page": page,
            "accelerator": accelerator,
            "no_webp": no_webp,
            "compares": compares,
        }
        header, data = self._ask(file, size, asked, limits, still_wanted)
        return _prepared(header.get("prepared"), data)

    def pages(self, file: BufferedReader, size: int, limits: ImageLimits) -> int:
        """Like clients.images.prepare.pages_of: only documents need a process for it."""
        kind = sniff(file.peek(SNIFF_BYTES)[:SNIFF_BYTES])
        if kind not in PAGED:
            return 1
        header, _ = self._ask(file, size, {"wants": "pages"}, limits, wanted)
        pages = header.get("pages")
        if not isinstance(pages, int):
            raise _crashed()
        return pages

    def measure(
        self, file: BufferedReader, size: int, limits: ImageLimits, page: int | None = None
    ) -> tuple[int, int]:
        """Like clients.images.prepare.measure."""
        header, _ = self._ask(file, size, {"wants": "measure", "page": page}, limits, wanted)
        match header.get("sides"):
            case [int(width), int(height)] if width > 0 and height > 0:
                return width, height
        raise _crashed()

    def taken(self, file: BufferedReader, size: int, limits: ImageLimits) -> str | None:
        """When the picture was taken, from the header of its file alone: 2024-05-01T12:00:03, and
        more where the camera tells it. None if the file does not tell, or cannot be read."""
        try:
            header, _ = self._ask(file, size, {"wants": "facts"}, limits, wanted)
        except (ImageRefused, ServiceAway):
            return None
        return exif.checked(header.get("facts")).get(exif.TAKEN)

    def thumbnail(self, data: bytes, longest: int, quality: int) -> bytes | None:
        """Like clients.images.pillow.thumbnail; None also if the process did not survive it."""
        asked = {"wants": "thumbnail", "longest": longest, "quality": quality}
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.flush()
            try:
                _, small = self._ask(file, len(data), asked, ImageLimits(), wanted)
            except (ImageRefused, ServiceAway):
                return None
        return small or None

    def in_force(self) -> list[str]:
        """What confines a process on this system."""
        child = _taken(self.limits)
        _returned(self.limits, child)
        return child.in_force

    def _ask(
        self,
        file: IO[bytes],
        size: int,
        asked: dict[str, Any],
        limits: ImageLimits,
        still_wanted: Callable[[], bool],
    ) -> tuple[dict[str, Any], bytes]:
        request = {
            **asked,
            "size": size,
            "seconds": self.limits.seconds,
            "limits": asdict(limits),
        }
        for tries in range(1, TRIES + 1):
            child = _taken(self.limits)
            began = time.monotonic()
            try:
                os.lseek(file.fileno(), 0, os.SEEK_SET)
                header, data = child.answer(request, file.fileno(), still_wanted)
            except Ended as error:
                child.kill()
                if time.monotonic() - began > NEARLY * self.limits.seconds:
                    raise _too_slow(self.limits) from None  # the system's limit on CPU time
                log.warning("decoder.crashed", tries=tries, error=str(error))
                continue
            except BaseException:
                child.kill()
                raise
            _returned(self.limits, child)
            if "code" in header:
                raise _refused(header)
            return header, data
        raise _crashed()


class _Child:
    """One decoding process and the socket to it. Raises ServiceAway if it does not start."""

    def __init__(self, limits: DecoderLimits) -> None:
        self.owner = os.getpid()
        self._limits = limits
        try:
            self._socket = decoder_source.ordered(limits.memory_bytes)
        except OSError as error:
            raise _not_started(error) from None
        self._socket.settimeout(START_SECONDS)
        try:
            said = received(self._socket)[0]
            self.in_force, self.pid = [*map(str, said["in_force"])], int(said["pid"])
            self._handle = os.pidfd_open(self.pid) if decoder_source.FORKS else None
        except (Ended, OSError, KeyError, TypeError, ValueError) as error:
            self._socket.close()
            decoder_source.forget()
            raise _not_started(error) from None

    def answer(
        self, request: dict[str, Any], descriptor: int, still_wanted: Callable[[], bool]
    ) -> tuple[dict[str, Any], bytes]:
        """Raises Ended, and ImageRefused if it takes too long or is not wanted any more."""
        try:
            socket.send_fds(self._socket, [b"\0"], [descriptor])
            self._socket.sendall(b"".join(encoded(request)))
        except OSError as error:
            raise Ended(str(error)) from None
        deadline = time.monotonic() + self._limits.seconds + GRACE_SECONDS
        self._socket.settimeout(LOOK_SECONDS)
        while True:
            try:
                if not self._socket.recv(1, socket.MSG_PEEK):
                    raise Ended("it ended without an answer")
                break
            except TimeoutError:
                if time.monotonic() > deadline:
                    raise _too_slow(self._limits) from None
                if not still_wanted():
                    raise ImageRefused(
                        RefusalCode.JOB_FAILED, "the job ended while it was decoded"
                    ) from None
            except ConnectionError as error:
                raise Ended(str(error)) from None
        self._socket.settimeout(START_SECONDS)
        try:
            return received(self._socket)
        except TimeoutError:
            raise Ended("it stopped in the middle of its answer") from None

    @property
    def lives(self) -> bool:
        """Its socket has nothing to read until it is asked, but its end."""
        ended = select.poll()
        ended.register(self._socket, select.POLLIN)
        return not ended.poll(0)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self._handle is None:
                os.kill(self.pid, signal.SIGKILL)
            else:  # its parent is the source: another process may have its id by now
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
        if self._handle is not None:
            os.close(self._handle)
        self._socket.close()


_idle: defaultdict[DecoderLimits, list[_Child]] = defaultdict(list)
_lock = threading.Lock()


def _taken(limits: DecoderLimits) -> _Child:
    """An idle process of this one, or a new one. A fork's parent keeps its own."""
    with _lock:
        while _idle[limits]:
            child = _idle[limits].pop()
            if child.owner != os.getpid():
                continue
            if child.lives:
                return child
            child.kill()
    return _Child(limits)


def _returned(limits: DecoderLimits, child: _Child) -> None:
    with _lock:
        _idle[limits].append(child)


@atexit.register
def close() -> None:
    """End the idle processes of this one."""
    with _lock:
        children = [child for idle in _idle.values() for child in idle]
        _idle.clear()
    for child in children:
        if child.owner == os.getpid():
            child.kill()


def _prepared(facts: Any, data: bytes) -> Prepared:
    """A Prepared of what a process says, which is checked: it may have been taken over."""
    try:
        checked = {
            "remarks": tuple(map(str, facts["remarks"])),
            "facts": exif.checked(facts["facts"]),
            "likeness": Likeness.from_json(facts["likeness"]),
        }
        prepared = Prepared(data=data, **{**facts, **checked})
    except (TypeError, KeyError):
        raise _crashed() from None
    if hashlib.sha256(data).hexdigest() != prepared.sha256 or not data:
        raise _crashed()
    return prepared


def _refused(header: dict[str, Any]) -> ImageRefused:
    try:
        return ImageRefused(RefusalCode(header["code"]), one_line(str(header["reason"])))
    except (ValueError, KeyError):
        return _crashed()


def _not_started(error: Exception) -> ServiceAway:
    why = one_line(str(error)) or type(error).__name__
    return ServiceAway(f"no process to decode pictures was started ({why})")


def _crashed() -> ImageRefused:
    return ImageRefused(RefusalCode.CORRUPT, "its decoder crashed")


def _too_slow(limits: DecoderLimits) -> ImageRefused:
    return ImageRefused(
        RefusalCode.TOO_SLOW,
        f"decoding took more than {limits.seconds:g} s (OVERSTORY_DECODE_SECONDS)",
    )
