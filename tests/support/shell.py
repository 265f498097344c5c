"""Run commands in separate processes over the test's state folder."""

from __future__ import annotations

import subprocess
import sys


def say(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; line ends are kept."""
    done = subprocess.run([sys.executable, "-m", "overstory", *words], capture_output=True)
    return subprocess.CompletedProcess(
        words, done.returncode, done.stdout.decode(), done.stderr.decode()
    )
