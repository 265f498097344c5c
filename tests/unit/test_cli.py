"""The entry point: errors that are not our bugs end in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="no device that is always full")
def test_a_full_disk_under_stdout_is_one_line() -> None:
    with FULL.open("w") as out:
        words = [sys.executable, "-m", "overstory", "--help"]
        done = subprocess.run(words, stdout=out, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "the output cannot be written: No space left on device" in line
