"""Files beside the pictures of a job: captions for training tools, XMP for photo programs."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from clients.local_files import Place
from clients.sidecar_files import KEPT, Outcome, SidecarFiles, make_folder, may_write, pictures_in
from clients.sources.location import system_path
from core.errors import WrongUsage
from core.text.printable import printable_name
from models.engine import Database
from models.reads import beside, units
from models.reads.beside import ImagePlace
from models.reads.pipeline import JobRow
from overstory.export.captions import Caption, Captions
from overstory.export.rows import Export, Row
from overstory.export.sidecar_names import SidecarNames, Target
from overstory.export.xmp import packet
from overstory.output.plural import pluralize

RECORD = "sidecars"
"""The file in the state folder that knows what was written."""
ELSEWHERE = "give --into FOLDER, which takes them instead"
NO_FILE = "image is not a file here", "images are not files here"
KINDS_ELSEWHERE = "(URLs, pages of documents, uploads)"
MISSING = os.strerror(errno.ENOENT)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person wants: ``kind`` is txt or xmp; the others are options of ``export``."""

    kind: str
    full: bool = False
    into: Path | None = None
    overwrite: bool = False


@dataclass(slots=True)
class Tally:
    """What became of a job's images, and an example of what was not written."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    speechless: Counter[str] = field(default_factory=Counter)
    elsewhere: int = 0
    examples: dict[Outcome, str] = field(default_factory=dict)
    shared: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether each image with a caption has its file."""
        return not (self.elsewhere or self.outcomes[Outcome.LEFT] or self.outcomes[Outcome.GONE])

    def sentences(self, wanted: Wanted) -> Iterator[str]:
        """What was done, and what was not and why."""
        written, same = self.outcomes[Outcome.WRITTEN], self.outcomes[Outcome.UNCHANGED]
        unchanged = f", {same:,} unchanged" if same else ""
        yield f"sidecars: {pluralize(written, f'.{wanted.kind} file')} written{unchanged}"
        if self.shared:
            images = pluralize(self.shared, "image shares its", "images share their")
            yield f"  {images} name with another: the file is called like a.jpg.{wanted.kind}"
        if left := self.outcomes[Outcome.LEFT]:
            files = pluralize(
                left, "file that is not ours, or was", "files that are not ours, or were"
            )
            yield (
                f"  left alone: {files} changed since, such as {self.examples[Outcome.LEFT]}:"
                f" --overwrite replaces them and keeps them as NAME.{wanted.kind}{KEPT}"
            )
        if gone := self.outcomes[Outcome.GONE]:
            images = pluralize(gone, "image is", "images are")
            yield f"  {images} no longer there, such as {self.examples[Outcome.GONE]}: {ELSEWHERE}"
        if self.elsewhere:
            yield f"  {pluralize(self.elsewhere, *NO_FILE)} {KINDS_ELSEWHERE}: {ELSEWHERE}"
        if self.speechless:
            parts = ", ".join(f"{number:,} {why}" for why, number in self.speechless.items())
            yield f"  without a caption: {parts}"


def write_sidecars(
    database: Database, job: JobRow, captions: Captions, wanted: Wanted, home: Path
) -> Tally:
    """Write a file for each image that has a caption. Raises WrongUsage where nothing can be
    written, before anything is, and for a job that says nothing of single images."""
    names = _names(database, job, wanted)
    tally = Tally()
    with database.read() as connection:
        names_of_units = units.names(connection, job.id)
    if wanted.into is None:
        _check_folders(names.folders)
    else:
        _make(wanted.into)
    with SidecarFiles(home / RECORD) as files:
        for image, caption in _captioned(database, job, captions, names_of_units, tally):
            target = names.target(image)
            if target is None:
                tally.elsewhere += 1
                continue
            outcome = _write(files, target, _content(caption, wanted), wanted)
            tally.outcomes[outcome] += 1
            shown = printable_name(str(Path(wanted.into or "", target.folder, target.name)))
            tally.examples.setdefault(outcome, shown)
    tally.shared = names.shared
    if not (tally.outcomes or tally.elsewhere):
        raise WrongUsage(_says_nothing(job, tally))
    if not tally.outcomes:
        images = pluralize(tally.elsewhere, *NO_FILE)
        raise WrongUsage(f"{images} {KINDS_ELSEWHERE}: {ELSEWHERE}")
    return tally


def _names(database: Database, job: JobRow, wanted: Wanted) -> SidecarNames:
    return SidecarNames(
        beside.places(database, job.id),
        f".{wanted.kind}",
        full=wanted.full,
        into=wanted.into is not None,
        pictures_in=lambda folder, root: pictures_in(_place(folder, root)),
    )


def _place(folder: str, root: str | None) -> Place:
    return Place(folder, None if root is None else system_path(root))


def _captioned(
    database: Database, job: JobRow, captions: Captions, units: Mapping[int, str], tally: Tally
) -> Iterator[tuple[ImagePlace, Caption]]:
    """The images that something is said of, in order. A duplicate has what the first one has."""
    wanted = {place.duplicate_of for place in beside.places(database, job.id)}
    firsts: dict[int, Caption] = {}
    rows = Export(database, job).rows()
    for image, row in zip(beside.places(database, job.id), rows, strict=True):
        if image.duplicate_of is None:
            caption = captions.of(row, units.get(image.unit or 0))
        else:
            caption = firsts.get(image.duplicate_of, Caption())
        if image.position in wanted:
            firsts[image.position] = caption
        if row["status"] in ("failed", "skipped") or not caption:
            tally.speechless[_why(row)] += 1
        else:
            yield image, caption


def _why(row: Row) -> str:
    if row["status"] in ("included", "duplicate"):
        return "of which the job says nothing"
    return row["status"] if row["status"] in ("failed", "skipped") else "not answered yet"


def _content(caption: Caption, wanted: Wanted) -> bytes:
    if wanted.kind == "xmp":
        return packet(caption).encode()
    # training tools read one line
    parts = [" ".join(part.split()) for part in (caption.text, *caption.keywords)]
    return (", ".join(filter(None, parts)) + "\n").encode()


def _write(files: SidecarFiles, target: Target, data: bytes, wanted: Wanted) -> Outcome:
    folder = target.folder
    try:
        if wanted.into is None:
            place = _place(folder, target.root)
        else:
            path = wanted.into.absolute() / folder
            make_folder(path)
            place = Place(str(path), str(wanted.into.absolute()))
        return files.write(place, target.name, data, target.original, wanted.overwrite)
    except FileNotFoundError:  # the folder with all of its pictures
        return Outcome.GONE
    except OSError as error:
        raise _refusal(folder, error.strerror, wanted.into is None) from None


def _check_folders(folders: Mapping[str, str | None]) -> None:
    """Raises WrongUsage if one of the folders cannot be written, so that nothing is half done."""
    for folder, root in folders.items():
        reason = may_write(_place(folder, root))
        if reason not in (None, MISSING):
            raise _refusal(folder, reason, True)


def _make(into: Path) -> None:
    try:
        make_folder(into)
    except OSError as error:
        raise _refusal(str(into), error.strerror, False) from None


def _refusal(folder: str, reason: str | None, may_go_elsewhere: bool) -> WrongUsage:
    what = f"sidecars cannot be written in {printable_name(folder)!r}: {reason}"
    return WrongUsage(
        f"{what}; {ELSEWHERE if may_go_elsewhere else 'name another folder by --into'}"
    )


def _says_nothing(job: JobRow, tally: Tally) -> str:
    why = ", ".join(f"{number:,} {why}" for why, number in tally.speechless.items())
    return (
        f"job {job.id} has no caption for any of its images ({why}): ask about each of them, as in"
        " overstory run PHOTOS --each 'Describe it in one sentence.'"
    )
