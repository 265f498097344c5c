"""A process ends with its parent, in whatever state it is."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.waiting import eventually, lives

CHILD = """
import os, pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
from workers import parent
parent.CHECK_SECONDS, parent.IDLE_SECONDS = 0.01, 0.02
work, asked = map(pathlib.Path, sys.argv[1:])
def busy():
    with asked.open("a") as file:
        file.write(".")
    return work.exists()
parent.end_with_parent(busy)
print(os.getpid(), flush=True)
time.sleep(600)
"""
PARENT = f"""
import os, subprocess, sys
told = os.environ | {{"OVERSTORY_PARENT_PID": str(os.getpid())}}
words = [sys.executable, "-c", {CHILD!r}, *sys.argv[1:]]
subprocess.Popen(words, env=told, start_new_session=True, stdout=1)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Orphan:
    """A process that ignores SIGTERM and whose parent has ended."""

    pid: int
    work: Path  # work is left while this file exists
    asked: Path  # one character for each check for work


def orphaned(folder: Path) -> Orphan:
    work, asked = folder / "work", folder / "asked"
    words = [sys.executable, "-c", PARENT, str(work), str(asked)]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        return Orphan(int(parent.stdout.readline()), work, asked)


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    orphan = orphaned(tmp_path)
    eventually(lambda: not lives(orphan.pid))


def test_started_work_is_finished_first(tmp_path: Path) -> None:
    (tmp_path / "work").touch()
    orphan = orphaned(tmp_path)
    eventually(lambda: orphan.asked.exists() and orphan.asked.stat().st_size > 20)
    assert lives(orphan.pid)
    orphan.work.unlink()
    eventually(lambda: not lives(orphan.pid))
