"""What a person's commands do on a machine that does not reach PostgreSQL or Redis."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from benchmarks.machines.lab import Lab
from benchmarks.machines.rows import Row
from tests.support.faults.fleet import service_environment
from tests.support.faults.judge import Figures

MACHINE = "w1"
ANSWER_SECONDS = 5.0
"""How much longer a command may take on broken links until it says what does not answer."""
BUSY = 1.5
"""A machine that others use, too, may take so much longer the second time."""
HUNG_SECONDS = 30.0
COMMANDS = (("show", "{job}"), ("watch", "{job}", "--once"), ("account",), ("doctor",))


def check_commands(lab: Lab, row: Row, figures: Figures) -> list[str]:
    """Run each command on calm links, then on broken ones. Returns a line for each."""
    job = lab.submit(5)
    lab.finish([job], 60.0)
    named = [[word.format(job=job) for word in words] for words in COMMANDS]
    calm = [_timed(lab, words) for words in named]
    lab.network.set(row.ways, row.link)
    broken = [_timed(lab, words) for words in named]
    lab.network.calm()
    lines = []
    for words, (usual, _, _), (seconds, status, said) in zip(named, calm, broken, strict=True):
        last = said.strip().splitlines()[-1] if said.strip() else "says nothing"
        lines.append(
            f"{words[0]:<10} {usual:>4.1f} s calm, {seconds:>4.1f} s, status {status}: {last[:140]}"
        )
        late = seconds > BUSY * usual + ANSWER_SECONDS
        figures.expect(not late, f"{words[0]} took {seconds:.1f} s")
        figures.expect("Traceback" not in said, f"{words[0]} shows a traceback")
    return lines


def _timed(lab: Lab, words: list[str]) -> tuple[float, int | None, str]:
    """Seconds, exit status (None: it hung) and output of a command on the machine."""
    environment = os.environ | service_environment(lab.fleets[MACHINE].settings)
    begun = time.monotonic()
    try:
        done = subprocess.run(
            [*lab.network.run_on(MACHINE), sys.executable, "-m", "overstory", *words],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=HUNG_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        said = error.stdout or b""
        return time.monotonic() - begun, None, said.decode() if isinstance(said, bytes) else said
    return time.monotonic() - begun, done.returncode, done.stdout
