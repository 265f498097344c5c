"""Faults on demand: scripted, drawn at seeded rates, or bound to content."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from random import Random

from overstory.sandbox.config import FaultKind, Keyed, SandboxConfig
from overstory.sandbox.errors import Refusal, moderated, rate_limited, server_fault
from overstory.sandbox.vision.decode import Picture


class Faults:
    """Decides what goes wrong with the next call, and how long it takes, repeatably by seed."""

    def __init__(self, config: SandboxConfig) -> None:
        self._random = Random(config.seed)  # noqa: S311 - simulated weather
        self._jitter = Random(config.seed + 1)  # noqa: S311
        self._script = deque(config.script)

    def draw(self, config: SandboxConfig) -> FaultKind | None:
        """The fault of one call: the script's next, else one draw over all rates."""
        if self._script:
            scripted = self._script.popleft()
            return None if scripted == "ok" else scripted
        left = self._random.random() if config.rates else 1.0
        for kind, rate in config.rates.items():
            left -= rate
            if left < 0:
                return kind
        return None

    def latency(self, config: SandboxConfig) -> float:
        """Seconds until the first token: fixed, plus 0..jitter."""
        jitter = config.latency_jitter_seconds
        return config.latency_seconds + (self._jitter.random() * jitter if jitter else 0.0)


def bound_fault(
    keyed: Iterable[Keyed], texts: list[str], pictures: Iterable[Picture]
) -> FaultKind | None:
    """The fault that content always meets, if any of it is listed."""
    rules = tuple(keyed)
    if not rules:
        return None
    marks = {picture.sha for picture in pictures}
    marks |= {f"colour:{picture.look.words[0]}" for picture in pictures}
    for rule in rules:
        if rule.match in marks or any(rule.match in text for text in texts):
            return rule.kind
    return None


def crowded(config: SandboxConfig) -> Refusal:
    """A 429 that names the account's own limit, so that a client learns nothing false from it."""
    most = config.limits.concurrency
    return rate_limited("concurrency", most + 1, most)


def refusal_of(kind: FaultKind | None, config: SandboxConfig) -> Refusal | None:
    """The refusal a fault amounts to, when it is one that needs no connection trick."""
    if kind is FaultKind.MODERATED:
        return moderated()
    if kind is FaultKind.LIMITED:
        return crowded(config)
    if kind in (FaultKind.SERVER_ERROR, FaultKind.OVERLOADED, FaultKind.GATEWAY):
        return server_fault(int(kind))
    return None
