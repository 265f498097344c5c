"""Paid replies that the database could not take yet, kept on disk until it can.

One small JSON file a call, written and synced before anything else is tried, so that a reply
survives the worker that received it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from core.reply import Reply, Usage


@dataclass(frozen=True, slots=True)
class Spooled:
    """A reply and the ledger row it belongs to."""

    call_id: int
    cost: float
    reply: Reply


class Spool:
    """A folder of spooled replies. Raises OSError where the disk does not take them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, spooled: Spooled) -> Path:
        """Write and sync one reply; the path is the handle to ``drop`` it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"call-{spooled.call_id}.json"
        partial = path.with_suffix(f".part-{os.getpid()}")
        with partial.open("w", encoding="utf-8") as file:
            json.dump(asdict(spooled), file, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        return path

    def drop(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def waiting(self) -> Iterator[tuple[Path, Spooled]]:
        """Every reply that waits, oldest name first."""
        for path in sorted(self.folder.glob("call-*.json")):
            try:
                values = json.loads(path.read_text("utf-8"))
            except FileNotFoundError:
                continue  # another process has just settled it
            yield path, _spooled(values)


def _spooled(values: dict[str, object]) -> Spooled:
    reply = dict(values["reply"])  # type: ignore[call-overload]
    usage = Usage(**reply.pop("usage"))
    return Spooled(
        int(str(values["call_id"])), float(str(values["cost"])), Reply(usage=usage, **reply)
    )
