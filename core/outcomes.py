"""What a step can come to: a closed set, matched exhaustively where it is recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from core.errors import RefusalCode

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """The work is finished; ``value`` is what is recorded."""

    value: T


@dataclass(frozen=True, slots=True)
class Retry:
    """Something failed that may pass: try again after a backoff. Costs an attempt."""

    after_seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Postpone:
    """Too early: rate limits, a paused account, a twin in flight. Costs no attempt."""

    after_seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Back:
    """What the stage before left is not there any more: it has to do its work again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Reject:
    """This will never work, for the reason given."""

    code: RefusalCode
    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """The whole job cannot go on, for the reason given: a refused key, an unknown model."""

    reason: str


Outcome = Done[T] | Retry | Postpone | Back | Reject | Stop


def backoff_seconds(attempt: int, draw: float, base: float = 1.0, cap: float = 300.0) -> float:
    """Full jitter over an exponential ceiling: ``draw`` in [0, 1) x min(cap, base * 2^attempt).

    Never under a tenth of the ceiling, so that a run of small draws is no hot loop.
    Source: M. Brooker, Exponential Backoff And Jitter (AWS Architecture Blog, 2015).
    """
    ceiling = min(cap, base * 2.0 ** min(attempt, 32))
    return ceiling * max(0.1, draw)
