"""Rows of the table as plain values: a run's figures and its bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.pipeline.baselines import Rival
from benchmarks.pipeline.bounds import Bound, Schedule, bound, schedule
from benchmarks.pipeline.command import Run


@dataclass(frozen=True, slots=True)
class Row:
    """One run of a job, in seconds, CPU milliseconds per image and bytes. Ratios are wall time by
    bound.

    ``bound``: the largest of the separate bounds (``bounds``). ``schedule``: the end of the best
    schedule under all limits at once, never below ``bound``. ``..._here``: the same with image work
    on the cores that were left.
    """

    name: str
    images: int
    tier: str
    side: int
    small: bool
    picture_bytes: float
    latency_seconds: float
    window_seconds: float
    wall: float
    bound: float
    binds: str
    ratio: float
    schedule: float
    schedule_binds: str
    schedule_ratio: float
    cores: float  # left by the sandbox and all other processes during the run
    bound_here: float
    ratio_here: float
    schedule_here: float
    schedule_ratio_here: float
    bounds: dict[str, float]
    asked: dict[str, Any]
    start: float  # from the command to the first prepared image
    first_answer: float
    last_prepared: float
    finished: float
    stop: float  # from the job's end to the command's
    unprepared_at_first_call: int
    leaf_late: float | None
    parent_late: float | None
    bare_ms: float  # the smaller of ``bare_looks_ms``, measured before and after
    bare_looks_ms: tuple[float, ...]
    other_ms: float  # our CPU per image besides image work
    cpu: dict[str, float]
    sandbox_cpu: float
    others_cpu: float
    peak_bytes: dict[str, int]
    database_bytes: float  # per image
    broker_bytes: float
    included: int
    requests: int
    refused: int  # 429s
    load: float
    uploads: int
    script: dict[str, Any] | None = None  # the careful script, after this run
    daft: dict[str, Any] | None = None

    @property
    def size(self) -> str:
        """The set's size, as the tables show it."""
        return f"{self.images:,}{' small' if self.small else ''}"


@dataclass(frozen=True, slots=True)
class Rivals:
    """The rivals' runs over the same set, after the job."""

    script: Rival | None = None
    daft: Rival | None = None


def row(run: Run, looks: Sequence[float], cores: int, rivals: Rivals) -> Row:
    """A run and its bounds, from its own requests and the bare image work. The smallest of
    ``looks`` (measurements of that work) counts: a disturbed one is too large for a lower bound."""
    scene, ended, at = run.scene, run.ended, run.times.at
    count = scene.images
    bare = min(looks)
    bounds, best = _least(run, bare * count / cores)
    left = max(cores - (run.others_cpu + run.sandbox_cpu) / ended.wall, ended.cpu / ended.wall)
    here, best_here = _least(run, bare * count / left)
    return Row(
        name=scene.name,
        images=count,
        tier=scene.tier_in_words,
        side=scene.side,
        small=scene.small,
        picture_bytes=run.picture_bytes,
        latency_seconds=scene.latency_seconds,
        window_seconds=scene.window_seconds,
        wall=ended.wall,
        bound=bounds.seconds,
        binds=bounds.binds,
        ratio=ended.wall / bounds.seconds,
        schedule=best.seconds,
        schedule_binds=best.binds,
        schedule_ratio=ended.wall / best.seconds,
        cores=left,
        bound_here=here.seconds,
        ratio_here=ended.wall / here.seconds,
        schedule_here=best_here.seconds,
        schedule_ratio_here=ended.wall / best_here.seconds,
        bounds=asdict(bounds),
        asked=asdict(run.asked),
        start=at["first_prepared"],
        first_answer=at["first_answered"],
        last_prepared=at["last_prepared"],
        finished=at["finished"],
        stop=ended.wall - at["finished"],
        unprepared_at_first_call=run.times.unprepared,
        leaf_late=run.times.leaf_late,
        parent_late=run.times.parent_late,
        bare_ms=bare * 1000,
        bare_looks_ms=tuple(look * 1000 for look in looks),
        other_ms=(ended.cpu / count - bare) * 1000,
        cpu={name: part.cpu for name, part in ended.parts.items()} | {"all": ended.cpu},
        sandbox_cpu=run.sandbox_cpu,
        others_cpu=run.others_cpu,
        peak_bytes={name: part.peak_bytes for name, part in ended.parts.items()},
        database_bytes=run.database_bytes / count,
        broker_bytes=run.broker_bytes / count,
        included=run.result["coverage"]["included"],
        requests=run.result["usage"]["requests"],
        refused=sum(run.sandbox["refused_429"].values()),
        load=run.load,
        uploads=run.sandbox["uploads"],
        script=None if rivals.script is None else asdict(rivals.script),
        daft=None if rivals.daft is None else asdict(rivals.daft),
    )


def _least(run: Run, image_seconds: float) -> tuple[Bound, Schedule]:
    """The separate bounds, and the best schedule, raised to the largest bound if it is earlier."""
    scene = run.scene
    account = (scene.limits, scene.window_seconds, scene.latency_seconds)
    separate = bound(image_seconds, run.asked, *account)
    best = schedule(image_seconds, run.asked, *account)
    floor = Schedule(separate.seconds, separate.binds)
    return separate, max(best, floor, key=lambda plan: plan.seconds)
