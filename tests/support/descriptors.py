"""Which files of a folder this process has open."""

from __future__ import annotations

import os
from pathlib import Path


def open_below(folder: Path) -> list[Path]:
    """``folder`` and what is below it, as far as this process holds a descriptor of it.

    Other descriptors are left out: threads and the garbage collector close those of earlier tests
    at any moment.
    """
    held = _held()
    return [path for path in (folder, *folder.rglob("*")) if _identity(path.lstat()) in held]


def _held() -> set[tuple[int, int]]:
    held = set()
    for each in Path("/dev/fd").iterdir():
        try:
            held.add(_identity(os.fstat(int(each.name))))
        except OSError:  # closed since the folder was listed
            continue
    return held


def _identity(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_dev, stat.st_ino
