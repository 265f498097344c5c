"""The folders of this machine that a job may name, to choose one in the page."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePath
from typing import Any

from fastapi import APIRouter

from clients import local_files
from clients.local_files import Folders, OwnFolder, Place
from clients.sources.location import absolute
from clients.sources.walk import cannot_read, natural
from core.errors import InputRefused, WrongUsage
from core.images.formats import IMAGE_ENDINGS
from core.images.inputs import InputRules
from core.text.printable import printable_name
from core.text.sanitize import is_storable
from overstory.api.caller import Calling
from overstory.api.problems import PROBLEMS
from tasks.runtime.services import Services

ENTRIES_MAX = 20_000
"""Entries that are looked at in one folder."""


@dataclass(slots=True)
class Listing:
    """What is directly in a folder: subfolders, and how many files have the ending of an image.
    ``cut``: there is more than was looked at."""

    folders: list[str] = field(default_factory=list)
    images: int = 0
    cut: bool = False


def folders(services: Services) -> APIRouter:
    routes = APIRouter(prefix="/api", tags=["service"], responses=PROBLEMS)

    @routes.get("/folders")
    def listed(caller: Calling, path: str = "") -> dict[str, Any]:
        """List the folders of the service that a job may name: without a path those of
        `OVERSTORY_INPUT_ROOTS`, with one the folders in it and the number of its images."""
        rules = services.settings.submitted_inputs
        roots = [*rules.folders]
        if not path:
            return {
                "path": None, "parent": None, "images": 0, "cut": False,
                "folders": [{"name": root, "path": root} for root in roots],
            }  # fmt: skip
        place = place_of(path, rules)
        found = listing(place)
        above = str(PurePath(place.path).parent)
        return {
            "path": place.path,
            "parent": above if any(_is_below(above, root) for root in roots) else None,
            "images": found.images,
            "cut": found.cut,
            "folders": [
                {"name": name, "path": f"{place.path.rstrip('/')}/{name}"} for name in found.folders
            ],
        }

    return routes


def place_of(path: str, rules: InputRules) -> Place:
    """The folder ``path`` beneath its root. Raises InputRefused outside of all roots, before the
    file system is asked for it."""
    if not is_storable(path):
        raise WrongUsage("path: no folder has this name")
    full = absolute(path)
    above = [root for root in rules.folders if _is_below(full, root)]
    if not above:
        raise InputRefused(
            f"{printable_name(path)!r} is not in a folder of OVERSTORY_INPUT_ROOTS: choose one of"
            " those that are listed"
        )
    return Place(full, max(above, key=len), rules.private)


def listing(place: Place) -> Listing:
    """Hidden entries, and links out of the root, are left out."""
    found = Listing()
    with Folders() as opened:
        try:
            descriptor = opened.open(place, os.O_RDONLY | os.O_DIRECTORY)
        except OwnFolder:
            raise InputRefused("path: it is a folder of Overstory's own") from None
        except (OSError, ValueError) as error:
            raise _unread(place.path, error) from None
        try:
            with os.scandir(descriptor) as entries:
                for entry in islice(entries, ENTRIES_MAX):
                    _note(found, entry, place, opened)
                found.cut = next(entries, None) is not None
        finally:
            os.close(descriptor)
    found.folders.sort(key=natural)
    return found


def _note(found: Listing, entry: os.DirEntry[str], place: Place, opened: Folders) -> None:
    if entry.name.startswith(".") or not is_storable(entry.name):
        return
    is_folder = entry.is_dir(follow_symlinks=False)
    if entry.is_symlink():
        target = Place(f"{place.path.rstrip('/')}/{entry.name}", place.root, place.private)
        try:
            is_folder = stat.S_ISDIR(opened.status(target).st_mode)
        except OSError:
            return
    if is_folder:
        found.folders.append(entry.name)
    elif PurePath(entry.name).suffix.lower() in IMAGE_ENDINGS:
        found.images += 1


def _unread(path: str, error: OSError | ValueError) -> WrongUsage:
    if isinstance(error, (FileNotFoundError, NotADirectoryError, ValueError)):
        return WrongUsage(f"path: there is no folder {printable_name(path)!r}: choose another one")
    return cannot_read(path, error)


def _is_below(path: str, root: str) -> bool:
    return local_files.inside(path, root) is not None
