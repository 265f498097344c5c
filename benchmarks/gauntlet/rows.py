"""How a row of the gauntlet is written, and the table of all of them."""

from __future__ import annotations

import time
from collections.abc import Callable

from core.errors import ServiceAway
from tests.support.faults.judge import Figures
from tests.support.faults.scene import Bench, Plan, Scene, scene

Run = Callable[[Bench], Figures]


def row(number: str, title: str, plan: Plan | None = None) -> Callable[..., Run]:
    """A row of the gauntlet: its body gets the scene, its figures are what comes of it."""

    def wrap(body: Callable[[Scene], None]) -> Run:
        def run(bench: Bench) -> Figures:
            begun = time.monotonic()
            with scene(bench, plan or Plan(), number, title) as stage:
                try:
                    body(stage)
                except (TimeoutError, ServiceAway) as error:
                    stage.figures.broken.append(f"{type(error).__name__}: {error}")
            stage.figures.seconds = time.monotonic() - begun
            return stage.figures

        ROWS[number] = run
        if plan is not None and plan.postgres:
            ON_POSTGRES.add(number)
        return run

    return wrap


ROWS: dict[str, Run] = {}
ON_POSTGRES: set[str] = set()
"""Rows that break the PostgreSQL which they share: never two at once."""
