"""The real row of ``make bench-auto``: ``overstory run`` against a sandbox with a knee."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.faults.photos import make_photos

KNEE, LATENCY, IMAGES = 24, 2.0, 1_200
FIXED = (KNEE, KNEE + KNEE // 2)
"""What is refilled late costs the knee itself more than a few calls above it."""
SHARE = 0.95
COMMAND = [sys.executable, "-m", "overstory"]


def real_row() -> bool:
    """Print the row. Whether auto is as fast as the best fixed number, once it has found it."""
    with tempfile.TemporaryDirectory(prefix="overstory-auto-") as folder:
        photos = make_photos(Path(folder) / "photos", IMAGES)
        auto = _throughput(Path(folder) / "auto", photos, None)
        sweep = {n: _throughput(Path(folder) / str(n), photos, n) for n in FIXED}
    best = max(sweep, key=lambda number: sweep[number])
    share = auto / sweep[best]
    verdict, calls = "ok" if share >= SHARE else "FAIL", f"{auto:.1f} and {sweep[best]:.1f} calls/s"
    print(f"{'real':10} {verdict:4} {share:6.1%} of {best}'s: {calls}")
    return share >= SHARE


def _throughput(folder: Path, photos: Path, fixed: int | None) -> float:
    """Replies a second in the second half of a run, by the sandbox's own ledger."""
    folder.mkdir()
    ledger = folder / "ledger.jsonl"
    sandbox = subprocess.Popen(
        [*COMMAND, "sandbox", "--knee", str(KNEE), "--latency", str(LATENCY), "--ledger", ledger],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert sandbox.stdout is not None
        url = json.loads(sandbox.stdout.readline())["base_url"]
        environment = {"OVERSTORY_BASE_URL": url, "OVERSTORY_API_KEY": "any"}
        environment |= {"OVERSTORY_IMAGES_PER_REQUEST": "1", "OVERSTORY_CONFIRM_ABOVE": "1e9"}
        if fixed is not None:
            environment["OVERSTORY_CONCURRENCY"] = str(fixed)
        subprocess.run(
            [
                *COMMAND,
                "run",
                photos,
                "--ask",
                "What is shown?",
                "--home",
                folder / "home",
                "--yes",
            ],
            env=os.environ | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )
    finally:
        sandbox.terminate()
        sandbox.wait()
    lines = map(json.loads, ledger.read_text().splitlines())
    ends = sorted(
        line["time"] for line in lines if line["event"] == "reply" and line["status"] == 200
    )
    half, most = ends[len(ends) // 2], ends[len(ends) * 9 // 10]
    return sum(half < at <= most for at in ends) / (most - half)
