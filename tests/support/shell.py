"""Commands in processes of their own, over the state folder of the test."""

from __future__ import annotations

import subprocess
import sys


def say(*words: str) -> subprocess.CompletedProcess[str]:
    """A command to its end; line ends are as it wrote them."""
    done = subprocess.run([sys.executable, "-m", "overstory", *words], capture_output=True)
    return subprocess.CompletedProcess(
        words, done.returncode, done.stdout.decode(), done.stderr.decode()
    )
