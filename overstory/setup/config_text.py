"""The text of the configuration file: some settings changed, the rest as a person wrote it."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from core.errors import WrongUsage

HEAD = (
    "# Settings of Overstory. The environment wins over this file.\n"
    "# 'overstory doctor' shows where each value is from.\n"
)


def changed(text: str, settings: Mapping[str, str | None], path: Path) -> str:
    """``text`` with ``settings``, one line each; None takes a setting out. Comments and other
    settings stay.

    Raises WrongUsage if the file is written in a way that this cannot change safely.
    """
    before = tomllib.loads(text)
    lines = text.splitlines() or HEAD.splitlines()
    for name, value in settings.items():
        line = re.compile(rf"\s*{re.escape(name)}\s*=")
        at = next((n for n, one in enumerate(lines) if line.match(one)), None)
        written = [] if value is None else [f"{name} = {json.dumps(value)}"]
        if at is None:
            lines += written
        else:
            lines[at : at + 1] = written
    after = "\n".join(lines) + "\n"
    kept = {name: value for name, value in before.items() if name not in settings}
    wanted = kept | {name: value for name, value in settings.items() if value is not None}
    try:
        if tomllib.loads(after) == wanted:
            return after
    except tomllib.TOMLDecodeError:
        pass
    names = ", ".join(settings)
    raise WrongUsage(
        f"{path} is written in a way that init cannot change: set {names} in it by hand"
    )
