"""Faults on demand: scripted, drawn at seeded rates, or keyed to content."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from random import Random

from overstory.sandbox.config import FaultKind, KeyedFault, SandboxConfig
from overstory.sandbox.errors import Refusal, moderated, rate_limited, server_fault
from overstory.sandbox.vision.decode import Picture


class Faults:
    """Decides the fault and the latency of each call. The same seed gives the same faults."""

    def __init__(self, config: SandboxConfig) -> None:
        self._random = Random(config.seed)  # noqa: S311 - simulation
        self._jitter = Random(config.seed + 1)  # noqa: S311
        self._script = deque(config.script)

    def draw(self, config: SandboxConfig) -> FaultKind | None:
        """The fault of one call: the next of the script, else one drawn by the rates."""
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
        """Seconds until the first token: the latency plus a random part of the jitter."""
        jitter = config.latency_jitter_seconds
        return config.latency_seconds + (self._jitter.random() * jitter if jitter else 0.0)


def keyed_fault(
    keyed: tuple[KeyedFault, ...], texts: list[str], pictures: Sequence[Picture]
) -> FaultKind | None:
    """The fault of the first entry of ``keyed`` that matches an image or a text."""
    marks = {picture.sha for picture in pictures}
    marks |= {f"colour:{picture.description.words[0]}" for picture in pictures}
    for rule in keyed:
        if rule.match in marks or any(rule.match in text for text in texts):
            return rule.kind
    return None


def forced_429(config: SandboxConfig) -> Refusal:
    """A 429 that names the account's true limit, so that a client learns nothing false."""
    most = config.limits.concurrency
    return rate_limited("concurrency", most + 1, most)


def refusal_of(kind: FaultKind | None, config: SandboxConfig) -> Refusal | None:
    """The refusal that a fault causes; None if it acts on the connection or the reply."""
    if kind is FaultKind.MODERATED:
        return moderated()
    if kind is FaultKind.LIMITED:
        return forced_429(config)
    if kind in (FaultKind.SERVER_ERROR, FaultKind.OVERLOADED, FaultKind.GATEWAY):
        return server_fault(int(kind))
    return None
