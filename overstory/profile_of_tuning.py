"""The profile that ``overstory tune`` writes."""

from __future__ import annotations

import re
import time
from pathlib import Path

from overstory.output.terminal import safe_line
from overstory.profiles import Profile, write_profile
from overstory.tuning import Measured

TUNED = "tuned"
"""The name where the folder has none that a profile can have."""


def default_name(first_input: str) -> str:
    """The name of the folder that the first input is, or is in, as a profile's name."""
    path = Path(first_input).expanduser().resolve()
    folder = path if path.is_dir() else path.parent
    return re.sub(r"[^\w.-]+", "-", folder.name).strip("-.")[:64].removesuffix(".toml") or TUNED


def write_chosen(home: Path, name: str, one: Measured, seed: int) -> Path:
    """Write the setting under ``name``, with what it was worth as comments; returns the path."""
    sample = f"{one.images} labelled images, seed {seed}, job {one.job}"
    lines = [f"by overstory tune on {time.strftime('%Y-%m-%d')}: {sample}"]
    for field, score in one.score.fields.items():
        low, high = 100 * score.low, 100 * score.high
        lines.append(
            f"{safe_line(field)}: {score.right} of {score.of} right"
            f" (95 % interval {low:.0f} to {high:.0f} %)"
        )
    setting = one.setting
    profile = Profile(pack=setting.pack, detail=setting.detail, model=setting.model)
    return write_profile(home, name, profile, "\n".join(lines))
