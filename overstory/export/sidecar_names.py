"""Names of the files beside pictures: which folder, which name, and never one name for two.

``photo.jpg`` gets ``photo.txt``, because training tools look for that, and ``photo.xmp``, as XMP's
specification asks for and Lightroom, Bridge, Capture One and darktable read it. ``full`` gives
``photo.jpg.xmp``, which digiKam and darktable write. Where two pictures of a folder share
``photo``, both get the full name.
"""

from __future__ import annotations

import os
import re
import unicodedata
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain, count

from clients.local_files import plain
from clients.sources.location import is_url, system_path
from core.images.uploaded import is_upload
from core.text.printable import printable
from models.reads.beside import ImagePlace

ARCHIVE = "!/"
NAME_BYTES_MAX = 200
"""Of a part of a path that a URL gives; most file systems hold 255."""
Key = tuple[str, str]
_UNUSABLE = re.compile(r'[/\\:*?"<>|\0]')
"""No file name on Windows has these, and a folder may be copied there."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a sidecar goes. ``folder``: absolute, or below --into. ``original``: the picture's file
    name there, if the sidecar is written beside it. ``root``: the folder beneath which ``folder``
    is opened (``local_files.Place``)."""

    folder: str
    name: str
    original: str | None = None
    root: str | None = None


@dataclass(frozen=True, slots=True)
class _Picture:
    folder: str
    name: str
    local: bool
    page: int | None = None

    @property
    def stem(self) -> str:
        """What a short name begins with. A page has no name but ours, so that is not shortened."""
        return self.name if self.page else os.path.splitext(self.name)[0]  # noqa: PTH122 - text, not a path


class SidecarNames:
    """Names for the images of one job.

    ``suffix``: with its dot. ``into``: all files go below one folder, whose structure mirrors that
    of the pictures. ``pictures_in``: the names of all pictures in a folder, also of those that are
    not in the job: ``photo.xmp`` beside ``photo.jpg`` may belong to ``photo.nef``.
    """

    def __init__(
        self,
        images: Iterable[ImagePlace],
        suffix: str,
        *,
        full: bool = False,
        into: bool = False,
        pictures_in: Callable[[str, str | None], Iterable[str]] = lambda folder, root: (),
    ) -> None:
        self._suffix, self._full, self._into = suffix, full, into
        self._base = ""
        if into:
            images = list(images)
            self._base = _common(images)
        pictures: dict[object, _Picture] = {}  # by file; elsewhere two may have one name
        folders: dict[str, str | None] = {}
        for image in images:
            picture = self._picture(image)
            file = (picture.folder, picture.name)
            pictures[file if picture.local else (image.location, image.page)] = picture
            if picture.local:
                folders[picture.folder] = image.root
        if not into:
            for folder, root in folders.items():
                for name in pictures_in(folder, root):
                    pictures[folder, name] = _Picture(folder, name, True)
        self._stems = Counter(_key(p.folder, p.stem) for p in pictures.values())
        self._taken: dict[Key, tuple[str, int | None]] = {
            _key(picture.folder, picture.name): ("", None) for picture in pictures.values()
        }
        self.folders = folders
        self.shared = 0

    def target(self, image: ImagePlace) -> Target | None:
        """Where the image's sidecar goes; None if it has no file here and there is no --into.
        Images are given in order; the same file twice has one target."""
        picture = self._picture(image)
        if not (picture.local or self._into):
            return None
        alone = self._stems[_key(picture.folder, picture.stem)] < 2
        self.shared += not (alone or self._full)
        short = [picture.stem] if alone and not self._full else []
        others = (f"{picture.name}-{image.position}{more * '_'}" for more in count())
        this = (image.location, image.page)
        name = next(
            name
            for name in chain(short, [picture.name], others)
            if self._taken.setdefault(_key(picture.folder, name + self._suffix), this) == this
        )
        original = None if self._into else picture.name
        root = None if self._into else image.root
        return Target(picture.folder, name + self._suffix, original, root)

    def _picture(self, image: ImagePlace) -> _Picture:
        path = system_path(image.location)
        if not path.startswith("/"):
            return _elsewhere(image)
        folder, _, name = path.rpartition("/")
        folder = folder or "/"
        inner = os.path.relpath(folder, self._base) if self._into else folder
        paged = f"{name}-{image.page}" if image.page else name
        return _Picture("" if inner == "." else inner, paged, image.page is None, image.page)


def _elsewhere(image: ImagePlace) -> _Picture:
    """A picture without a file of its own here, by the path that it has where it is."""
    location = image.location
    if is_upload(location):
        path = image.name
    elif is_url(location):
        parts = urllib.parse.urlsplit(location)
        inner = urllib.parse.unquote(parts.path.strip("/"), errors="replace")
        path = f"{parts.hostname or ''}/{inner or 'image'}"
    elif ARCHIVE in location:
        archive, _, inner = location.partition(ARCHIVE)
        path = f"{archive.rpartition('/')[2]}/{inner}"
    else:  # scheme://bucket/key
        path = location.partition("://")[2] or location
    parts_of = [_clean(part) for part in path.split("/") if part not in ("", ".", "..")]
    name = parts_of[-1] if parts_of else "image"
    paged = f"{name}-{image.page}" if image.page else name
    return _Picture("/".join(parts_of[:-1]), paged, False, image.page)


def _common(images: Iterable[ImagePlace]) -> str:
    """The folder that all local files share: those that were given as folders, else their own."""
    folders = {
        plain(system_path(image.root))
        if image.root
        else os.path.dirname(system_path(image.location))  # noqa: PTH120
        for image in images
        if system_path(image.location).startswith("/")
    }
    return os.path.commonpath(folders) if folders else "/"


def _clean(part: str) -> str:
    """A part of a stranger's path as the name of a file of ours."""
    text = _UNUSABLE.sub("_", printable(part)).lstrip(".") or "_"
    return text.encode()[:NAME_BYTES_MAX].decode(errors="ignore")


def _key(folder: str, name: str) -> Key:
    """The same for names that some file system takes for one."""
    return folder, unicodedata.normalize("NFC", name).casefold()
