"""One line that describes the machine, printed with the results."""

from __future__ import annotations

import os
import platform
import shutil
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.pipeline import bare


def described(folder: Path) -> str:
    """Time, cores and model, kernel, Python, load, and free disk space at ``folder``."""
    at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return (
        f"{at}, {bare.cores()} cores ({_processor()}, {platform.machine()}),"
        f" {platform.system()} {platform.release()}, Python {platform.python_version()},"
        f" load {os.getloadavg()[0]:.1f}, {shutil.disk_usage(folder).free / 1e9:.0f} GB free"
    )


def _processor() -> str:
    """The model's name from /proc/cpuinfo, else from Python."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"
