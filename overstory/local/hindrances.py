"""What of broker and workers keeps a job from going on, told on the command's screen.

The broker is asked once a second whether it takes a message. If a job that we do not work on
ourselves stands still, the workers are asked which queues they take from.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Self

from rich.console import RenderableType

from clients.redis import REDIS_ERRORS, RedisServer
from core.errors import ServiceAway
from core.settings import Settings
from core.stages import STAGES
from overstory.output.progress import Counts, Display, Lines
from workers.app import make_app
from workers.broker_health import BROKER, EMBEDDED, BrokerProbe
from workers.endpoints import broker_address, read_stack

QUIET_SECONDS = 7.0
"""A job may stand still for so long before the workers are asked; with the answer it is 10 s."""
PING_SECONDS = 2.0
AGAIN_SECONDS = 10.0
ASK_SECONDS = 1.5
NOBODY = "waits for workers: none answers; 'overstory resume JOB' or 'overstory up' starts some"


class Hindrances:
    """``works_here``: whether this command has workers of its own."""

    def __init__(self, settings: Settings, works_here: Callable[[], bool]) -> None:
        self._probe = BrokerProbe(settings)
        self._workers = WorkerSearch(lambda: consumed_queues(make_app(settings)))
        self._works_here = works_here

    def note(self, moving: object) -> str:
        """A sentence, or empty. ``moving``: what changes while the job goes on."""
        trouble = self._probe.trouble()
        if trouble or self._works_here():
            return trouble
        return self._workers.note(moving, time.monotonic())

    def close(self) -> None:
        self._probe.close()


class WorkerSearch:
    """Asks which queues have a worker, in a thread, while a job stands still. ``taken``: asks."""

    def __init__(self, taken: Callable[[], set[str]]) -> None:
        self._taken = taken
        self._last: object = None
        self._due: float | None = None
        self._thread: threading.Thread | None = None
        self._says = ""

    def note(self, moving: object, now: float) -> str:
        if moving != self._last or self._due is None:
            self._last, self._due, self._says = moving, now + QUIET_SECONDS, ""
        looking = self._thread is not None and self._thread.is_alive()
        if now >= self._due and not looking:
            self._due = now + AGAIN_SECONDS
            self._thread = threading.Thread(target=self._look, name="workers", daemon=True)
            self._thread.start()
        return self._says

    def _look(self) -> None:
        try:
            taken = self._taken()
        except (*REDIS_ERRORS, OSError):
            return  # the broker's trouble is told by itself
        self._says = absent(taken)


def consumed_queues(app: Any, seconds: float = PING_SECONDS) -> set[str]:
    """The queues from which the workers that answer take."""
    answers = app.control.broadcast("active_queues", reply=True, timeout=seconds)
    return {
        queue["name"]
        for answer in answers or ()
        for queues in answer.values()
        if isinstance(queues, list)
        for queue in queues
    }


def nobody_works(settings: Settings) -> str:
    """Why no worker can be working on a running job at this moment; empty if one answers."""
    if settings.broker_url is None and read_stack(settings.home) is None:
        return NOBODY
    name = BROKER if settings.broker_url else EMBEDDED
    server = RedisServer(broker_address(settings).url(), ASK_SECONDS, 0, name)
    try:
        server.ping()
        app = make_app(settings)
        answers = app.control.broadcast("ping", reply=True, timeout=ASK_SECONDS, limit=1)
    except ServiceAway as error:
        return NOBODY if settings.broker_url is None else f"waits for workers: {error}"
    except (*REDIS_ERRORS, OSError):
        return ""  # it may not ask: nothing is known
    finally:
        server.close()
    return "" if answers else NOBODY


def absent(taken: set[str]) -> str:
    """Which queues have no worker and how to start some; empty if all have one."""
    missing = [stage.name for stage in STAGES if stage.name not in taken]
    if not missing:
        return ""
    who = "no worker answers" if not taken else f"no worker takes from {', '.join(missing)}"
    return (
        f"waits for workers: {who}; start them with the same settings:"
        " 'overstory up --detach', or 'celery -A workers.app worker' with -Q"
        f" {','.join(missing)}"
    )


class Hindered(Display):
    """A display that also shows what of broker and workers keeps the job from going on."""

    def __init__(self, shown: Display, hindrances: Hindrances) -> None:
        self._shown = shown
        self._hindrances = hindrances

    def __enter__(self) -> Self:
        self._shown.__enter__()
        return self

    def __exit__(self, *details: object) -> None:
        self._shown.__exit__(*details)
        self._hindrances.close()

    def show(self, counts: Counts, note: str = "", above: RenderableType | None = None) -> None:
        hindrance = self._hindrances.note((counts.done, counts.used.requests))
        if hindrance and isinstance(self._shown, Lines):
            self._shown.report([hindrance])  # at once: its lines are seconds apart
        self._shown.show(counts, hindrance or note, above)

    def report(self, sentences: Any) -> None:
        self._shown.report(sentences)
