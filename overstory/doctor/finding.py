"""The result of a check: ok, a warning or a failure, with what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"  # runs work, but there is something to know
    FAILED = "failed"  # no run can succeed


@dataclass(frozen=True, slots=True)
class Finding:
    """``says``: one sentence. ``do``: what to do, if anything. ``details``: further lines."""

    level: Level
    says: str
    do: str | None = None
    details: tuple[str, ...] = ()


def ok(says: str, *details: str) -> Finding:
    return Finding(Level.OK, says, None, details)


def warning(says: str, do: str, *details: str) -> Finding:
    return Finding(Level.WARNING, says, do, details)


def failed(says: str, do: str, *details: str) -> Finding:
    return Finding(Level.FAILED, says, do, details)
