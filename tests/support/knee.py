"""Simulated endpoints that can do only so much at once, asked through the real limiter.

Time is virtual: the limiter takes it from the simulation, so minutes run in seconds and every run
of a seed is the same.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from clients.limiter.limiter import Limiter, Wait
from core.account.allowance import Allowance
from core.errors import LimitKind, ProviderDown, SlowDown

START_AT = 1_791_000_000.0
HOLD_SECONDS = (0.005, 1.0)
"""The least and the longest wait of admission (tasks/calls/admission.py)."""
REFUSAL_SECONDS = 0.05
PROMPT_A_IMAGE, REPLY_A_IMAGE = 400, 40


@dataclass(frozen=True, slots=True)
class Call:
    """One call: its images, and the seconds that it takes an idle server."""

    lease: str
    images: int
    seconds: float

    @property
    def tokens(self) -> tuple[int, int]:
        return PROMPT_A_IMAGE * self.images, REPLY_A_IMAGE * self.images


@dataclass
class Simulation:
    """A clock and what happens next."""

    now: float = START_AT
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def clock(self) -> float:
        return self.now

    @property
    def elapsed(self) -> float:
        return self.now - START_AT

    def after(self, seconds: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), event))

    def run(self, seconds: float) -> None:
        end = START_AT + seconds
        while self._events and self._events[0][0] <= end:
            self.now, _, event = heapq.heappop(self._events)
            event()
        self.now = end


@dataclass
class Server:
    """Serves ``knee`` calls at once; ``knee_at`` may change it by the seconds since the start.

    ``beyond``: others wait in a ``queue``, or are answered ``429`` or ``503``. ``smooth``: no knee;
    n calls at once take 1 + n / knee as long. ``rpm``: requests a minute, of which headers tell;
    others are answered ``429``.
    """

    simulation: Simulation
    knee_at: Callable[[float], int]
    beyond: str = "queue"
    named: bool = False
    rpm: int = 0
    running: int = 0
    waiting: deque[tuple[Call, Callable[[str], None]]] = field(default_factory=deque)
    queues: list[tuple[float, int]] = field(default_factory=list)
    taken: deque[float] = field(default_factory=deque)

    @property
    def knee(self) -> int:
        return self.knee_at(self.simulation.elapsed)

    def arrive(self, call: Call, ended: Callable[[str], None]) -> None:
        """``ended`` is called with ``200``, ``429`` or ``503``."""
        self.queues.append((self.simulation.elapsed, len(self.waiting)))
        if self.rpm and not self._takes():
            self.simulation.after(REFUSAL_SECONDS, lambda: ended("429"))
        elif self.beyond == "smooth":
            self._serve(call, ended, call.seconds * (1 + self.running / self.knee))
        elif self.running < self.knee:
            self._serve(call, ended, call.seconds)
        elif self.beyond == "queue":
            self.waiting.append((call, ended))
        else:
            self.simulation.after(REFUSAL_SECONDS, lambda: ended(self.beyond))

    def _takes(self) -> bool:
        """Whether a request fits into the last minute."""
        while self.taken and self.taken[0] <= self.simulation.now - 60:
            self.taken.popleft()
        if len(self.taken) < self.rpm:
            self.taken.append(self.simulation.now)
            return True
        return False

    def allowances(self) -> list[Allowance]:
        """What the headers of a reply say now."""
        if not self.rpm:
            return []
        left = max(self.rpm - len(self.taken), 0)
        reset = (
            (self.rpm - left) * 60 / self.rpm if left else self.taken[0] + 60 - self.simulation.now
        )
        return [Allowance(LimitKind.RPM, self.rpm, left, max(reset, 0.0))]

    def mean_queue(self, since: float) -> float:
        found = [queue for at, queue in self.queues if at >= since]
        return sum(found) / max(len(found), 1)

    def _serve(self, call: Call, ended: Callable[[str], None], seconds: float) -> None:
        self.running += 1
        self.simulation.after(seconds, lambda: self._leave(ended))

    def _leave(self, ended: Callable[[str], None]) -> None:
        self.running -= 1
        ended("200")
        while self.waiting and self.running < self.knee:
            call, next_ended = self.waiting.popleft()
            self._serve(call, next_ended, call.seconds)


@dataclass
class Load:
    """Calls without end, through ``limiter``: of ``seconds`` (mean) each, which vary by ``spread``
    and with the images. ``ended``: when a call was answered, and the work in it: the seconds of
    an idle server; ``refused``: when one was."""

    simulation: Simulation
    limiter: Limiter
    server: Server
    seconds: float
    spread: float = 0.3
    images: tuple[int, ...] = (30,)
    seed: int = 1
    threads: int = 200
    ended: list[tuple[float, float]] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    in_flight: int = 0
    _asleep: bool = False

    def __post_init__(self) -> None:
        self._random = Random(self.seed)
        self._names = itertools.count()
        self.simulation.after(0.0, self._ask)

    def _ask(self) -> None:
        self._asleep = False
        lease = f"call-{next(self._names)}"
        images = self._random.choice(self.images)
        mean = self.seconds * (0.2 + 0.8 * images / max(self.images))
        sigma = math.sqrt(math.log(1 + self.spread**2))
        seconds = mean * self._random.lognormvariate(-(sigma**2) / 2, sigma)
        call = Call(lease, images, seconds)
        answer = self.limiter.acquire(lease, sum(call.tokens), 3_600.0)
        if isinstance(answer, Wait):
            least, most = HOLD_SECONDS
            self._again(min(max(answer.seconds, least), most))
            return
        self.in_flight += 1
        self.server.arrive(call, lambda status: self._end(call, status))
        if self.in_flight < self.threads:
            self._again(0.001)

    def _again(self, seconds: float) -> None:
        self._asleep = True
        self.simulation.after(seconds, self._ask)

    def _end(self, call: Call, status: str) -> None:
        self.in_flight -= 1
        self.limiter.heard(self.server.allowances())
        if status == "200":
            self.ended.append((self.simulation.elapsed, call.seconds))
            self.limiter.settle(call.lease, sum(call.tokens), call.tokens[1])
        else:
            self.refused.append(self.simulation.elapsed)
            self._refuse(call.lease, status)
        if not self._asleep:
            self._again(0.0)

    def _refuse(self, lease: str, status: str) -> None:
        if status == "429":
            named = self.server.knee if self.server.named else None
            kind = LimitKind.CONCURRENCY if named else LimitKind.UNKNOWN
            self.limiter.slow_down(lease, SlowDown(kind, named, "Too Many Requests"))
        else:
            self.limiter.provider_down(lease, ProviderDown("503 overloaded", True, 503))

    def work(self, since: float, until: float) -> float:
        """Work done in a second: of an idle server's seconds."""
        done = sum(work for at, work in self.ended if since < at <= until)
        return done / (until - since)
