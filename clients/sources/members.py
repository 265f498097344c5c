"""The images in a ZIP or tar, as those of a folder: in natural order, by the same rules."""

from __future__ import annotations

from clients import archives, local_files
from clients.archives import Member
from clients.local_files import Place
from clients.sources.location import Expansion, Source, storable
from clients.sources.patterns import is_passed_over
from clients.sources.refusals import bounded
from clients.sources.walk import Patience, natural
from core.errors import ImageRefused, WrongUsage
from core.images.formats import (
    SNIFF_BYTES,
    has_archive_ending,
    has_image_ending,
    sniff,
)
from core.images.inputs import SKIP_FILES
from core.images.members import SEPARATOR, MemberName, archive_kind
from core.text.printable import printable_name

NESTED = " (an archive in an archive)"


def kind_of(place: Place) -> str | None:
    """zip or tar; None for a file that is neither, or cannot be read. What has the name of an image
    is not looked at."""
    if has_image_ending(place.name):
        return None
    try:
        with local_files.opened(place) as (file, _):
            return archive_kind(place.name, file.read(SNIFF_BYTES))
    except (ImageRefused, OSError):
        return None


def expanded(
    kind: str, place: Place, patience: Patience, skip_folders: tuple[str, ...]
) -> Expansion:
    """The images in an archive, without the pages of its documents. Raises InputRefused, WrongUsage
    if it cannot be read."""
    archive = storable(place.path)
    if SEPARATOR in archive:
        raise WrongUsage(
            f"{printable_name(place.path)!r}: an archive cannot be read in a folder whose name ends"
            " in '!': rename that folder"
        )
    root = None if place.root is None else storable(place.root)
    try:
        members = archives.members(place)
    except ImageRefused as refusal:
        raise WrongUsage(f"{printable_name(place.path)!r}: {refusal.reason}") from None
    images = Expansion()
    passed: set[str] = set()
    patience.begin()
    for member in sorted(members.values(), key=_natural):
        patience.visit(place.path)
        name = printable_name(member.inner)
        if (folder := _passed_over(member.inner, skip_folders)) is not None:
            if folder not in passed:
                passed.add(folder)
                images.passed_over.append(printable_name(folder))
        elif not member.remark and any(part.startswith(".") for part in member.inner.split("/")):
            continue  # hidden, as in folders
        elif member.remark or not _is_image(place, member):
            nested = NESTED if has_archive_ending(member.inner) else ""
            images.ignored.append(name + (member.remark or nested))
        else:
            at = bounded(MemberName(kind, archive, storable(member.inner)).location)
            images.sources.append(Source(name, at, None, member.bytes, root, None, member.version))
    patience.pause(place.path)
    return images


def _natural(member: Member) -> list[object]:
    return [natural(part) for part in member.inner.split("/")]


def _is_image(place: Place, member: Member) -> bool:
    """By the ending of its name, else by its first bytes."""
    if has_image_ending(member.inner):
        return True
    is_other = has_archive_ending(member.inner) or not member.bytes
    return not is_other and sniff(archives.first_bytes(place, member)) is not None


def _passed_over(inner: str, skip_folders: tuple[str, ...]) -> str | None:
    """The folder or file of a system or a photo program in which a file is."""
    if not skip_folders:
        return None
    parts = inner.split("/")
    for depth in range(1, len(parts)):
        if is_passed_over("/".join(parts[max(depth - 2, 0) : depth]), skip_folders):
            return "/".join(parts[:depth])
    return inner if is_passed_over(parts[-1], SKIP_FILES) else None
