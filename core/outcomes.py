"""The outcomes of a step. A closed set: the code that records them matches all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from core.errors import RefusalCode

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """The work is finished; ``value`` is recorded."""

    value: T


@dataclass(frozen=True, slots=True)
class Retry:
    """A failure that may pass: try again after a backoff. Costs an attempt."""

    after_seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Postpone:
    """Too early: rate limit, paused account, duplicate in flight. Costs no attempt."""

    after_seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Back:
    """The result of the stage before is lost: that stage has to run again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Reject:
    """This will never work."""

    code: RefusalCode
    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """The whole job cannot continue: a refused key, an unknown model."""

    reason: str


Outcome = Done[T] | Retry | Postpone | Back | Reject | Stop


def backoff_seconds(attempt: int, draw: float, base: float = 1.0, cap: float = 300.0) -> float:
    """Seconds to wait: ``draw`` in [0, 1) times min(cap, base * 2^attempt) (full jitter).

    At least a tenth of that ceiling, so that small draws do not make a hot loop.
    Source: M. Brooker, Exponential Backoff And Jitter (AWS Architecture Blog, 2015).
    """
    ceiling = min(cap, base * 2.0 ** min(attempt, 32))
    return ceiling * max(0.1, draw)
