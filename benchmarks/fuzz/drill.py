"""Cases that do what no case of ours may do, so that the driver can be tried: it must find each."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.fuzz.kind import Kind

ENDS = ("well", "in an error", "in much work", "never", "with its process")


class Drill:
    def make(self, draw: random.Random) -> str:
        return draw.choice(ENDS)

    def run(self, case: str) -> str:
        match case:
            case "in an error":
                raise ValueError(case)
            case "in much work":
                until = time.process_time() + 2 * CPU_SECONDS
                while time.process_time() < until:
                    pass
            case "never":
                threading.Event().wait()
            case "with its process":
                os._exit(3)
        return case


@contextmanager
def opened() -> Iterator[Drill]:
    yield Drill()


CPU_SECONDS = 0.1
KIND = Kind("drill", 0, opened, CPU_SECONDS, wall_seconds=2.0)
