"""The state folder: create, check, lock."""

from __future__ import annotations

import contextlib
import fcntl
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path

from clients import private_files
from clients.private_files import NotOurs
from core.errors import ServiceAway
from core.settings import Settings
from overstory.local.database import bring_up_to_date
from workers.home import CREATED, SCANNED, make_private
from workers.logs import configure_logs


def prepare_home(home: Path) -> None:
    """Create the state folder, for its owner alone. Raises ServiceAway with the reason if it cannot
    be used."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_private(home)
        for name in CREATED:
            private_files.private_folder(home / name)
        for name in SCANNED:
            if (home / name).is_dir():
                private_files.refuse_links(home / name)
        with tempfile.TemporaryFile(dir=home / "run"):
            pass
    except NotOurs as error:
        raise ServiceAway(
            f"the state folder {home} cannot be used: {error}; delete that, or set OVERSTORY_HOME"
            " to a folder of yours"
        ) from None
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
    with private_files.lock_file(path) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def prepare_command(settings: Settings) -> None:
    """Set up the state folder, the log and the database for a command."""
    prepare_home(settings.home)
    log = private_files.log_file(settings.home / "logs" / "command.log")
    stream = io.TextIOWrapper(log, encoding="utf-8", line_buffering=True)
    configure_logs(settings, stream)  # stderr is for progress
    bring_up_to_date(settings)
