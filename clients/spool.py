"""Paid replies that are not in the database yet, kept on disk.

Each is one small JSON file, written and synced before anything else, so that a reply survives the
worker that received it. Several databases may share the folder, and their calls may have the same
ids: the request's key in the file shows which database it belongs to.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

from clients.private_files import write
from core.reply import Reply, Usage

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Spooled:
    """A reply and the ledger row it belongs to. ``key`` is the request's; None in a file of an
    older version, which stored no keys."""

    call_id: int
    cost: float
    reply: Reply
    key: str | None = None


class Spool:
    """A folder of spooled replies. Raises OSError if the disk cannot store them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._unreadable: set[Path] = set()

    def keep(self, spooled: Spooled) -> Path:
        """Write and sync one reply. Returns the path, to pass to ``drop``."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f"call-{spooled.call_id}" + (f"-{spooled.key[:16]}" if spooled.key else "")
        path = self.folder / f"{name}.json"
        # as ASCII: UTF-8 cannot encode a lone surrogate
        write(path, json.dumps(asdict(spooled)), sync=True)
        return path

    def drop(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def waiting(self) -> Iterator[tuple[Path, Spooled]]:
        """All waiting replies, sorted by file name. An unreadable file is left for a person to
        check, because it was paid for; it does not block the others."""
        for path in sorted(self.folder.glob("call-*.json")):
            try:
                spooled = _spooled(json.loads(path.read_text("utf-8")))
            except FileNotFoundError:
                continue  # another process has just settled it
            except (OSError, ValueError, TypeError, KeyError) as error:
                self._log_unreadable(path, error)
                continue
            yield path, spooled

    def _log_unreadable(self, path: Path, error: Exception) -> None:
        """Once for each file, because the folder is checked every second."""
        if path not in self._unreadable:
            self._unreadable.add(path)
            log.error("spool.unreadable", file=str(path), error=f"{type(error).__name__}: {error}")


def _spooled(values: dict[str, object]) -> Spooled:
    reply = dict(values["reply"])  # type: ignore[call-overload]
    usage = Usage(**reply.pop("usage"))
    key = values.get("key")
    return Spooled(
        int(str(values["call_id"])),
        float(str(values["cost"])),
        Reply(usage=usage, **reply),
        None if key is None else str(key),
    )
