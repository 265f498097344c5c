"""Lists what is in a folder or matches a pattern, in natural order.

Every folder is opened beneath the base's descriptor, so no link leads out of it. Each real folder
is entered once (with a pattern: once for each place in the pattern), so links that loop end.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from clients.local_files import Folders, OwnFolder, Place
from clients.sources.patterns import Pattern, States, is_passed_over
from core.errors import InputRefused, WrongUsage
from core.images.formats import stands_for
from core.images.inputs import ENTRIES_MAX, LISTING_SECONDS_MAX, SKIP_FILES
from core.text.printable import printable_name

DENIED = (errno.EACCES, errno.EPERM)
MOVED = (errno.ENOENT, errno.ENOTDIR, errno.EXDEV)
"""The errors of a folder that was deleted or replaced since it was seen."""
CLOCK_EVERY = 1_024
"""Entries between two looks at the clock."""


class Kind(Enum):
    """What was found."""

    FILE = auto()
    FOLDER = auto()  # never yielded
    CLOSED = auto()  # a folder, or the target of a link, that cannot be read
    IGNORED = auto()  # neither a file nor entered
    PASSED_OVER = auto()  # a folder or file of a system or a photo program


@dataclass(frozen=True, slots=True)
class Found:
    """An entry. ``inner``: its path inside the base. ``remark``: why it is ignored. Size and time
    are None if they are unknown."""

    inner: str
    kind: Kind
    size: int | None = None
    changed_ns: int | None = None
    remark: str = ""
    states: States = frozenset()
    version: str | None = None


@dataclass(slots=True)
class Patience:
    """How much may be visited for one job. Raises InputRefused when it is used up."""

    entries: int = ENTRIES_MAX
    seconds: float = LISTING_SECONDS_MAX
    clock: Callable[[], float] = time.monotonic
    _visited: int = 0
    _spent: float = 0.0
    _began: float = field(default=0.0)

    def begin(self) -> None:
        """Only listing is counted: what is done with a file between two entries is not."""
        self._began = self.clock()

    def visit(self, base: str) -> None:
        self._visited += 1
        if self._visited > self.entries:
            raise InputRefused(
                f"{printable_name(base)!r} leads to more than {self.entries:,} files and folders:"
                " give smaller folders, or a narrower pattern"
            )
        if self._visited % CLOCK_EVERY == 0:
            self.pause(base)

    def pause(self, base: str) -> None:
        now = self.clock()
        self._spent += now - self._began
        self._began = now
        if self._spent > self.seconds:
            raise InputRefused(
                f"{printable_name(base)!r} took more than {self.seconds:g} s to list: give smaller"
                " folders, or a narrower pattern"
            )


def walk(
    base: Place, pattern: Pattern, patience: Patience, skip_folders: tuple[str, ...] = ()
) -> Iterator[Found]:
    """Everything below ``base`` that matches; ``base.root`` is the folder itself. Folders that
    match ``skip_folders`` are yielded as passed over, and not entered.

    Raises WrongUsage if the folder cannot be read, InputRefused if it is too much.
    """
    with Folders() as folders:
        yield from _Walk(base, pattern, patience, folders, skip_folders).run()


@dataclass(slots=True)
class _Walk:
    base: Place
    pattern: Pattern
    patience: Patience
    folders: Folders
    skip_folders: tuple[str, ...]
    entered: set[tuple[int, int, States]] = field(default_factory=set)

    def run(self) -> Iterator[Found]:
        stack = [Found("", Kind.FOLDER, states=self.pattern.start)]
        while stack:
            found = stack.pop()
            if found.kind is not Kind.FOLDER:
                yield found
                continue
            try:
                below = self._listed(found)
            except OSError as error:
                yield self._unlisted(found, error)
                continue
            below.sort(key=lambda entry: natural(entry.inner.rpartition("/")[2]), reverse=True)
            stack.extend(below)

    def _place(self, inner: str) -> Place:
        path = f"{self.base.path.rstrip('/')}/{inner}" if inner else self.base.path
        return replace(self.base, path=path)

    def _listed(self, folder: Found) -> list[Found]:
        """The entries of a folder that count; none if it was entered before. Raises OSError."""
        self.patience.begin()
        flags = os.O_RDONLY | os.O_DIRECTORY
        descriptor = self.folders.open(self._place(folder.inner), flags)
        try:
            status = os.fstat(descriptor)
            mark = (status.st_dev, status.st_ino, folder.states)
            if mark in self.entered:
                return []
            self.entered.add(mark)
            with os.scandir(descriptor) as entries:
                found = [self._seen(entry, folder) for entry in entries]
        finally:
            os.close(descriptor)
        self.patience.pause(self.base.path)
        return [entry for entry in found if entry is not None]

    def _seen(self, entry: os.DirEntry[str], folder: Found) -> Found | None:
        """None for an entry that does not match. Its kind is known from listing the folder; only a
        file and a link need another system call."""
        self.patience.visit(self.base.path)
        matches, states = self.pattern.match(folder.states, stands_for(entry.name) or entry.name)
        hidden = entry.name.startswith(".") and self.pattern.is_deep_at(folder.states)
        if not (matches or states or hidden):
            return None
        inner = f"{folder.inner}/{entry.name}" if folder.inner else entry.name
        if self._is_passed_over(entry, inner, folder):
            return Found(inner, Kind.PASSED_OVER)
        if not (matches or states):
            return None
        if entry.is_symlink():
            return self._link(inner, matches, states)
        if entry.is_dir(follow_symlinks=False):
            return Found(inner, Kind.FOLDER, states=states) if states else None
        if not matches:
            return None
        try:
            return _file(inner, entry.stat(follow_symlinks=False))
        except OSError:  # deleted at this moment
            return Found(inner, Kind.FILE)

    def _is_passed_over(self, entry: os.DirEntry[str], inner: str, folder: Found) -> bool:
        """Whether an entry belongs to a system or a photo program and was not named outright."""
        if not self.skip_folders or self.pattern.names(folder.states, entry.name):
            return False
        if entry.is_file(follow_symlinks=False):
            return is_passed_over(entry.name, SKIP_FILES)
        path = inner if "/" in inner else f"{self.base.path}/{inner}"
        return is_passed_over("/".join(path.split("/")[-2:]), self.skip_folders)

    def _link(self, inner: str, matches: bool, states: States) -> Found | None:
        """A link counts as what it leads to. Of a target outside, nothing is looked at."""
        try:
            status = self.folders.status(self._place(inner))
        except OwnFolder:
            return Found(inner, Kind.IGNORED, remark=" (a link to Overstory's own folder)")
        except OSError as error:
            if error.errno in DENIED:
                return Found(inner, Kind.CLOSED)
            if error.errno == errno.EXDEV:
                kind = Kind.FILE if matches else Kind.IGNORED
                return Found(inner, kind, remark=" (a link out of the folder)")
            return Found(inner, Kind.FILE) if matches else None
        if stat.S_ISDIR(status.st_mode):
            return Found(inner, Kind.FOLDER, states=states) if states else None
        return _file(inner, status) if matches else None

    def _unlisted(self, folder: Found, error: OSError) -> Found:
        """A folder that was not listed. Raises WrongUsage if it is the base."""
        if folder.inner == "":
            raise cannot_read(self.base.path, error) from None
        inner = folder.inner + "/"
        if isinstance(error, OwnFolder):
            return Found(inner, Kind.IGNORED, remark=" (Overstory's own folder)")
        if error.errno in MOVED:
            return Found(inner, Kind.IGNORED, remark=f" ({error.strerror})")
        return Found(inner, Kind.CLOSED)


def _file(inner: str, status: os.stat_result) -> Found:
    """A file; pipes and devices are ignored."""
    if not stat.S_ISREG(status.st_mode):
        return Found(inner, Kind.IGNORED)
    return Found(inner, Kind.FILE, status.st_size, status.st_mtime_ns)


def cannot_read(folder: str, error: OSError) -> WrongUsage:
    return WrongUsage(
        f"the folder {printable_name(folder)!r} cannot be read ({error.strerror}):"
        " fix its permissions, or give another folder"
    )


def natural(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """A sort key: img2 before img10, ignoring case."""
    parts = re.split(r"(\d+)", name.casefold())
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts if p], name
