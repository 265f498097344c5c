"""When each stage was at work, from the job's events: lanes of counts over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core.states import NodeKind
from models.reads.inspect import Moment

BINS = 96


@dataclass(frozen=True, slots=True)
class Lane:
    """One stage: its first and last moment in seconds from the start, and counts over time."""

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
    """A lane for each stage in which anything happened, over ``seconds`` from ``start``."""
    made = []
    for name, unit, belongs in STAGES:
        times = [moment.at - start for moment in moments if belongs(moment)]
        if times:
            bins = binned(times, seconds)
            made.append(Lane(name, unit, len(times), min(times), max(times), bins))
    return made


def binned(times: Sequence[float], seconds: float, bins: int = BINS) -> list[int]:
    """How many of ``times`` fall into each of ``bins`` equal parts of ``seconds``."""
    counts = [0] * bins
    for time in times:
        place = int(time / seconds * bins) if seconds > 0 else 0
        counts[min(max(place, 0), bins - 1)] += 1
    return counts
