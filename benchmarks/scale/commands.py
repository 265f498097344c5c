"""Commands as a person starts them: seconds, memory, and bytes of output."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.scale.stand import OVERSTORY, Stand

LOOK_SECONDS = 0.02


@dataclass(frozen=True)
class Timed:
    seconds: float
    cpu: float  # seconds of its own: without the database's, and whatever else the machine does
    mb: float  # the most resident memory
    out_mb: float
    status: int


def timed(running: Stand, *words: str, made: Path | None = None) -> Timed:
    """``overstory WORDS``; ``made``: the file that it writes."""
    name = "-".join(word.strip("-") for word in words if "/" not in word)[:60]
    out = running.folder / "logs" / f"command-{name}.out"
    most, began = 0.0, time.monotonic()
    with out.open("wb") as said, out.with_suffix(".err").open("wb") as errors:
        process = subprocess.Popen(
            [*OVERSTORY, *words],
            env=running.environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=errors,
        )
        while True:
            most = max(most, peak(process.pid))
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            time.sleep(LOOK_SECONDS)
    process.returncode = os.waitstatus_to_exitcode(status)
    size = sum(path.stat().st_size for path in (out, made) if path is not None and path.exists())
    took, cpu = time.monotonic() - began, used.ru_utime + used.ru_stime
    return Timed(took, cpu, most / 1e6, size / 1e6, process.returncode)


def peak(pid: int) -> int:
    """The most resident bytes that a process had; 0 once it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)
