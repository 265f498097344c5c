"""When each stage worked, from the job's events: counts over time, one lane for each stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core.states import NodeKind
from models.reads.parts import Moments

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


def _is(name: str) -> Callable[[Moments], bool]:
    return lambda moment: moment.name == name


STAGES: tuple[tuple[str, str, Callable[[Moments], bool]], ...] = (
    ("Prepare", "images", _is("image.prepared")),
    ("Upload", "images", _is("image.uploaded")),
    ("Look", "images", _is("image.included")),
    ("Summarise", "nodes", lambda m: m.name == "node.done" and m.kind == NodeKind.BRANCH),
    ("Fail", "images", _is("image.failed")),
)


def lanes(moments: Sequence[Moments], start: float) -> list[Lane]:
    """A lane for each stage that has events. ``moments``: counted in BINS parts of the job's time,
    which began at ``start``."""
    result = []
    for name, unit, belongs in STAGES:
        own = [some for some in moments if belongs(some)]
        bins = [0] * BINS
        for some in own:
            bins[some.part] += some.count
        if own:
            first, last = min(some.first for some in own), max(some.last for some in own)
            result.append(Lane(name, unit, sum(bins), first - start, last - start, bins))
    return result
