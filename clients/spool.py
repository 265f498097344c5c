"""Paid replies that the database could not take yet, kept on disk until it can.

One small JSON file a call, written and synced before anything else is tried, so that a reply
survives the worker that received it. The folder may be shared by several databases, whose calls
have the same numbers: a file says by the request's key whose it is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

from core.reply import Reply, Usage

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Spooled:
    """A reply and the ledger row it belongs to, which has the request's ``key``; None in a file
    from before keys were kept."""

    call_id: int
    cost: float
    reply: Reply
    key: str | None = None


class Spool:
    """A folder of spooled replies. Raises OSError where the disk does not take them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._unreadable: set[Path] = set()

    def keep(self, spooled: Spooled) -> Path:
        """Write and sync one reply; the path is the handle to ``drop`` it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"call-{spooled.call_id}" + (f"-{spooled.key[:16]}" if spooled.key else "")
        path = self.folder / f"{name}.json"
        partial = path.with_suffix(f".part-{os.getpid()}")
        with partial.open("w", encoding="utf-8") as file:
            json.dump(asdict(spooled), file)  # in ASCII: a lone surrogate has no UTF-8
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        return path

    def drop(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def waiting(self) -> Iterator[tuple[Path, Spooled]]:
        """Every reply that waits, oldest name first. What cannot be read is left for a person to
        look at: it was paid for, and the others must not wait for it."""
        for path in sorted(self.folder.glob("call-*.json")):
            try:
                spooled = _spooled(json.loads(path.read_text("utf-8")))
            except FileNotFoundError:
                continue  # another process has just settled it
            except (OSError, ValueError, TypeError, KeyError) as error:
                self._tell(path, error)
                continue
            yield path, spooled

    def _tell(self, path: Path, error: Exception) -> None:
        """Once a file: this is looked at every second."""
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
