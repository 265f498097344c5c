"""The state folder: create, check, lock."""

from __future__ import annotations

import contextlib
import fcntl
import tempfile
from collections.abc import Iterator
from pathlib import Path

from core.errors import ServiceAway
from core.settings import Settings
from overstory.local.database import bring_up_to_date
from workers.logs import configure_logs


def prepare_home(home: Path) -> None:
    """Create the state folder. Raises ServiceAway with the reason if it cannot be used."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("run", "logs", "blobs"):
            (home / name).mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=home / "run"):
            pass
    except (FileExistsError, NotADirectoryError) as error:
        raise ServiceAway(
            f"the state folder {home} cannot be created: {error.filename} is not a folder; move it"
            " away, or set OVERSTORY_HOME"
        ) from error
    except OSError as error:
        raise ServiceAway(
            f"the state folder {home} cannot be written: {error.strerror}; set OVERSTORY_HOME"
        ) from error


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def prepare_command(settings: Settings) -> None:
    """Set up the state folder, the log and the database for a command."""
    prepare_home(settings.home)
    log_file = (settings.home / "logs" / "command.log").open("a", encoding="utf-8")
    configure_logs(settings, log_file)  # stderr is for progress
    bring_up_to_date(settings)
