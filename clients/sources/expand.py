"""Expands inputs into a list of single images: files, folders, globs, documents, URLs, uploads.

``expand`` decides what belongs to a job, in natural order, and raises before anything is submitted.
``prepare`` later finds what is wrong with a single file; only that image fails.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from glob import has_magic
from pathlib import Path

from clients import local_files
from clients.images.decoder import Decoder
from clients.local_files import BELOW, Folders, OwnFolder, Place
from clients.sources import buckets, members
from clients.sources.location import Expansion, Source, absolute, is_url, storable
from clients.sources.names import url_name, with_distinct_names
from clients.sources.patterns import Pattern, split
from clients.sources.refusals import (
    ARCHIVE,
    ROOTS,
    bounded,
    no_scheme,
    outside,
    shortened_input,
    with_images,
    without_images,
)
from clients.sources.tables import (
    NO_TABLES,
    Expanded,
    Opening,
    TableRules,
    check_facts,
    columns_of,
    tables_among,
)
from clients.sources.uploaded import UploadedInputs
from clients.sources.walk import Found, Kind, Patience, cannot_read, walk
from clients.uploads import Uploads, local
from core.errors import ImageRefused, InputRefused, WrongUsage
from core.images.formats import (
    PAGED,
    SNIFF_BYTES,
    has_archive_ending,
    has_image_ending,
    sniff,
    stands_for,
)
from core.images.inputs import InputRules
from core.images.objects import is_object
from core.images.sizing import ImageLimits
from core.images.uploaded import is_upload, parse_upload
from core.text.printable import printable_name
from core.text.sanitize import UNSTORABLE, is_storable

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
EVERYTHING = InputRules()


class _NotThere(WrongUsage):
    """An input does not exist."""

    def __init__(self, message: str, place: Place) -> None:
        super().__init__(message)
        self.place = place


def expand(
    inputs: Sequence[str],
    limits: ImageLimits,
    decoder: Decoder,
    rules: InputRules = EVERYTHING,
    patience: Patience | None = None,
    check: Callable[[], None] = lambda: None,
    uploads: Uploads | None = None,
    tables: TableRules = NO_TABLES,
) -> Expansion:
    """All images of the inputs, in input order; files of a folder in natural order. ``decoder``
    counts the pages of documents; a URL is one image until ``documents`` has counted its pages.
    ``check`` is called before each input and each document: what it raises ends the search.
    ``uploads``: where those are that inputs name. ``tables``: how tables among them are read.

    Raises WrongUsage that names the input that is missing, unreachable, empty or without images;
    InputRefused for one that ``rules`` forbid, or that is too much for ``patience``.
    """
    if not inputs:
        raise WrongUsage("no images: name files, folders, patterns like 'photos/*.jpg', or URLs")
    uploaded = UploadedInputs.of(inputs, uploads, check)
    objects = buckets.looked_up(inputs, rules, check)
    expander = _Expander(limits, decoder, rules, patience or Patience(), check, uploaded, objects)
    with ExitStack() as held:
        opening = Opening(expander.place, uploads, limits.max_file_bytes, rules)
        rows = tables_among(inputs, tables, opening, held)
        check_facts(tables.wanted, columns_of(rows.values()))
        cells = partial(_cells, expander, uploads)
        expansions = [
            Expansion(rows[text].sources(cells)) if text in rows else expander.expand(text)
            for text in inputs
        ]
    sources = [source for expansion in expansions for source in expansion.sources]
    ignored = [name for expansion in expansions for name in expansion.ignored]
    passed_over = [name for expansion in expansions for name in expansion.passed_over]
    return Expansion(with_distinct_names(sources), ignored, passed_over)


@dataclass(frozen=True, slots=True)
class _Expander:
    limits: ImageLimits
    decoder: Decoder
    rules: InputRules
    patience: Patience
    check: Callable[[], None]
    uploaded: UploadedInputs | None
    objects: buckets.Known
    single: bool = False  # an input is one image or one document, no folder and no pattern

    def expand(self, text: str) -> Expansion:
        self.check()
        shown = shortened_input(text)
        if not self._is_storable(text):
            raise WrongUsage(f"images: {shown!r}: {UNSTORABLE}, or the folder of the file")
        if self.uploaded is not None and is_upload(text):
            return Expansion(list(self._upload(self.uploaded, text)))
        if is_url(text):
            url = _url(text)
            return Expansion([Source(url_name(url), bounded(url))])
        if is_object(text):
            return self._bucket(text)
        if self.rules.roots is not None and _SCHEME.match(text):
            raise no_scheme(shown)
        return self._local(text, shown)

    def _is_storable(self, text: str) -> bool:
        """A person's path may have bytes that are not UTF-8, which Python reads as surrogates."""
        if is_storable(text):
            return True
        if self.rules.roots is not None or is_url(text) or is_object(text):
            return False
        try:
            return b"\0" not in os.fsencode(text)
        except UnicodeEncodeError:
            return False

    def _local(self, text: str, shown: str) -> Expansion:
        place = self.place(text)
        try:
            with Folders() as folders:
                status = folders.status(place) if text else None
                there = True
        except (FileNotFoundError, NotADirectoryError, ValueError):
            status, there = None, _exists(place)
        except OSError as error:
            status, there = None, self._is_unreadable_link(place, error, shown)
        if status is not None and stat.S_ISDIR(status.st_mode):
            return self._folder(place.path, Pattern(), f"the folder {shown!r}")
        if status is not None and (kind := members.kind_of(place)) is not None:
            images = members.expanded(kind, place, self.patience, self.rules.skip_folders)
            return with_images(images, f"the archive {shown!r}")
        if text and there:
            name = Path(text).name
            found = Found(name, Kind.FILE)
            if status is not None:
                found = Found(name, Kind.FILE, status.st_size, status.st_mtime_ns)
            return Expansion(list(self._images(place, found)))
        placeholder = Place(_placeholder(place.path), place.root, place.private)
        if text and _exists(placeholder):
            name = Path(placeholder.path).name
            return Expansion(list(self._images(placeholder, Found(name, Kind.FILE))))
        if _SCHEME.match(text):
            raise no_scheme(shown)
        if has_magic(text):
            return self._pattern(text, shown)
        missing = f"{shown!r} does not exist: check the path and the current folder"
        raise _NotThere(missing, place)

    # --- what may be opened

    def place(self, text: str) -> Place:
        """The input's place. Raises InputRefused if it is outside the roots; then nothing of the
        file system was looked at."""
        path = absolute(text)
        return Place(path, self._root_of(path, text), self.rules.private)

    def _root_of(self, path: str, text: str) -> str | None:
        if self.rules.roots is None:
            return None
        if not self.rules.folders:
            raise InputRefused(
                f"images: local files of submissions need {ROOTS}, which names their folders; URLs"
                " need no setting"
            )
        above = [root for root in self.rules.folders if local_files.inside(path, root) is not None]
        if not above:
            raise outside(text)
        return max(above, key=len)

    def _is_unreadable_link(self, place: Place, error: OSError, shown: str) -> bool:
        """True if an input that cannot be reached is a link: then only its image fails. Else raises
        WrongUsage with the reason."""
        if isinstance(error, OwnFolder):
            raise InputRefused(
                f"{shown!r} is in Overstory's own state folder or blob folder: give a copy of the"
                " images in another folder"
            ) from None
        if error.errno == errno.EXDEV:
            raise outside(shown) from None
        if _exists(place):
            return True
        raise WrongUsage(
            f"{shown!r} cannot be reached ({error.strerror}): fix the permissions of the"
            " folders above it, or give another path"
        ) from None

    # --- folders and patterns

    def _folder(self, path: str, pattern: Pattern, what: str) -> Expansion:
        if self.single:
            raise WrongUsage(f"it names {what}, and a row is about one image or one document")
        if pattern.is_deep and os.path.realpath(path) == "/":
            raise InputRefused("'/' is the whole file system: give a folder in it")
        images = Expansion()
        base = Place(path, self._folder_root(path), self.rules.private)
        for found in walk(base, pattern, self.patience, self.rules.skip_folders):
            place = Place(f"{path.rstrip('/')}/{found.inner}", base.root, base.private)
            if found.kind is Kind.CLOSED or (
                found.kind is Kind.FILE and _is_image(place, found.size)
            ):
                images.sources.extend(self._images(place, found))
            elif found.kind is Kind.PASSED_OVER:
                images.passed_over.append(printable_name(found.inner))
            else:
                hint = ARCHIVE if has_archive_ending(found.inner) else ""
                images.ignored.append(printable_name(found.inner) + (found.remark or hint))
        return with_images(images, what)

    def _folder_root(self, path: str) -> str:
        """The root of what is in a folder: the folder itself, opened beneath its own root."""
        root = self._root_of(path, path)
        inner = None if root is None else local_files.inside(path, root)
        return f"{root}{BELOW}{inner}" if root != "/" and inner else path

    def _pattern(self, text: str, shown: str) -> Expansion:
        given, pattern = split(text)
        what = f"the pattern {shown!r}"
        if self.single:
            return self._folder(given, pattern, what)
        place = self.place(given)
        try:
            with Folders() as folders:
                status = folders.status(place)
        except (FileNotFoundError, NotADirectoryError, ValueError):
            raise without_images(what, ()) from None
        except OSError as error:
            if isinstance(error, OwnFolder) or error.errno == errno.EXDEV:
                self._is_unreadable_link(place, error, shown)
            raise cannot_read(given, error) from None
        if not stat.S_ISDIR(status.st_mode) or text.endswith("/"):
            raise without_images(what, ())
        return self._folder(place.path, pattern, what)

    # --- buckets

    def _bucket(self, text: str) -> Expansion:
        """Nothing of an object is read: a document's pages are counted like those behind URLs."""
        listing = buckets.listing(text, self.rules, self.patience, self.objects)
        images = Expansion()
        for found in listing.found:
            if listing.is_single and has_archive_ending(found.inner):
                raise WrongUsage(
                    f"{listing.what} is an archive in a bucket, which is not opened there: copy it"
                    " to this machine, and name the copy"
                )
            name = printable_name(found.inner)
            if found.kind is Kind.PASSED_OVER:
                images.passed_over.append(name)
            elif listing.is_single or has_image_ending(found.inner):
                at = bounded(listing.location(found))
                images.sources.append(
                    Source(name, at, None, found.size, None, found.changed_ns, found.version)
                )
            else:
                images.ignored.append(name)
        return with_images(images, listing.what)

    # --- one file

    def _images(self, place: Place, found: Found) -> Iterator[Source]:
        """The file's pages as sources, or the file itself if it has one image or cannot be read. A
        folder that cannot be read is one source, which fails like an unreadable file, so that its
        images are not skipped silently."""
        name = printable_name(_stood_for(found.inner))
        location = bounded(storable(place.path.rstrip("/")))
        root = None if place.root is None else storable(place.root)
        pages = self._pages(place)
        yield from _paged(Source(name, location, None, found.size, root, found.changed_ns), pages)

    def _upload(self, uploaded: UploadedInputs, text: str) -> Iterator[Source]:
        """The upload's pages as sources, like those of a file. Its content is its name, so it has
        no time."""
        upload = parse_upload(text)
        head = uploaded.head(upload)
        pages = None
        if sniff(head.first) in PAGED:
            try:
                with local(
                    uploaded.store, upload.owner, upload.sha256, self.limits.max_file_bytes
                ) as path:
                    pages = self._pages(Place(str(path)))
            except ImageRefused:  # then its image fails
                pages = None
        yield from _paged(Source(upload.name, upload.location, None, head.size), pages)

    def _pages(self, place: Place) -> int | None:
        """The number of pages, whatever the file is called. None if it is one image or invalid (it
        then fails later)."""
        self.check()
        try:
            with local_files.opened(place, self.limits.max_file_bytes) as (file, size):
                kind = sniff(file.peek(SNIFF_BYTES)[:SNIFF_BYTES])
                if kind not in PAGED:
                    return None
                pages = self.decoder.pages(file, size, self.limits)
        except (ImageRefused, OSError):
            return None
        single = pages == 1 and kind != "pdf"
        return None if single or not 1 <= pages <= self.limits.max_pages else pages


def _cells(
    expander: _Expander, uploads: Uploads | None, texts: Sequence[str]
) -> Iterator[Expanded]:
    """What each of ``texts``, the cells of a table, names. A file that is not there is an image
    that fails: once it is, a retry finds it."""
    uploaded = UploadedInputs.of(texts, uploads, expander.check)
    try:
        objects = buckets.looked_up(texts, expander.rules, expander.check)
    except WrongUsage:  # then each row says what is wrong with its own
        objects = {}
    one = replace(expander, check=lambda: None, uploaded=uploaded, objects=objects, single=True)
    for text in texts:
        expander.check()
        try:
            yield one.expand(text).sources
        except _NotThere as error:
            place = error.place
            root = None if place.root is None else storable(place.root)
            yield [Source(printable_name(place.name), storable(place.path), None, None, root)]
        except WrongUsage as error:
            yield error


def _paged(source: Source, pages: int | None) -> Iterator[Source]:
    if pages is None:
        yield source
    for page in range(1, (pages or 0) + 1):
        yield replace(source, name=f"{source.name}[{page}]", page=page)


def _exists(place: Place) -> bool:
    """Also true for a broken link: then the image fails with that reason, not the job."""
    with Folders() as folders:
        return folders.exists(place)


def _is_image(place: Place, size: int | None) -> bool:
    """Decides by the file's extension, else by its first bytes."""
    if has_image_ending(_stood_for(place.path)):
        return True
    if not size:
        return False
    try:
        with local_files.opened(place) as (file, _):
            return sniff(file.read(SNIFF_BYTES)) is not None
    except (ImageRefused, OSError):
        return False


def _placeholder(path: str) -> str:
    """Where iCloud keeps the placeholder of a file."""
    above, slash, name = path.rpartition("/")
    return f"{above}{slash}.{name}.icloud"


def _stood_for(path: str) -> str:
    """The path of the file that a placeholder of a cloud service stands for, or the path."""
    above, slash, name = path.rpartition("/")
    return above + slash + (stands_for(name) or name)


def _url(text: str) -> str:
    """The URL with its scheme in lower case, which every receiver understands."""
    try:
        host = urllib.parse.urlsplit(text).hostname
    except ValueError:
        host = None
    if not host:
        shown = printable_name(text)
        raise WrongUsage(f"{shown!r} has no host: a URL is like https://host/photo.jpg")
    scheme, _, rest = text.partition(":")
    return f"{scheme.lower()}:{rest}"
