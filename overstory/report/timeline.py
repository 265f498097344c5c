"""When each stage worked, from the job's events: counts over time, one lane for each stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core.states import NodeKind
from models.reads.inspect import Moment

BINS = 96


@dataclass(frozen=True, slots=True)
class Lane:
    """One stage: times of its first and last event in seconds from the start, counts by time."""

    name: str
    unit: str
    total: int
    first: float
    last: float
    bins: list[int]


def _is(name: str) -> Callable[[Moment], bool]:
    return lambda moment: moment.name == name


STAGES: tuple[tuple[str, str, Callable[[Moment], bool]], ...] = (
    ("Prepare", "images", _is("image.prepared")),
    ("Upload", "images", _is("image.uploaded")),
    ("Look", "images", _is("image.included")),
    ("Summarise", "nodes", lambda m: m.name == "node.done" and m.kind == NodeKind.BRANCH),
    ("Fail", "images", _is("image.failed")),
)


def lanes(moments: Sequence[Moment], start: float, seconds: float) -> list[Lane]:
    """A lane for each stage that has events, over ``seconds`` from ``start``."""
    result = []
    for name, unit, belongs in STAGES:
        times = [moment.at - start for moment in moments if belongs(moment)]
        if times:
            bins = binned(times, seconds)
            result.append(Lane(name, unit, len(times), min(times), max(times), bins))
    return result


def binned(times: Sequence[float], seconds: float, bins: int = BINS) -> list[int]:
    """How many of ``times`` fall into each of ``bins`` equal parts of ``seconds``, ends clamped."""
    counts = [0] * bins
    for time in times:
        index = int(time / seconds * bins) if seconds > 0 else 0
        counts[min(max(index, 0), bins - 1)] += 1
    return counts
