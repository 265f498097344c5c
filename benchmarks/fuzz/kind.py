"""What a kind of cases is."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol


class Cases(Protocol):
    """Makes and runs the cases of one kind, in one process."""

    def make(self, draw: random.Random) -> Any:
        """The input of a case. It depends on ``draw`` alone, and nothing of ours reads it yet."""

    def run(self, case: Any) -> str:
        """The outcome of a case in a few words. Raises whatever must not happen."""


@dataclass(frozen=True)
class Kind:
    """``share``: how many of 100,000 cases. A case that takes more than ``cpu_seconds`` of its
    process is a finding; one that takes more than ``wall_seconds`` is killed with its process, and
    is a finding, too. The second is larger, because the machine may be busy with other work."""

    name: str
    share: int
    opened: Callable[[], AbstractContextManager[Cases]]
    cpu_seconds: float = 2.0
    wall_seconds: float = 30.0


def check(holds: object, what: str) -> None:
    """Raises AssertionError with ``what`` is wrong."""
    if not holds:
        raise AssertionError(what)
