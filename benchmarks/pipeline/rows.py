"""Rows of the table, as plain values: what a run came to beside its bound."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.pipeline.bare import Bare
from benchmarks.pipeline.baselines import Plain
from benchmarks.pipeline.bounds import Bound, Tree, bound
from benchmarks.pipeline.command import Run


@dataclass(frozen=True, slots=True)
class Row:
    """One job. Seconds, milliseconds of CPU an image, bytes; ratios are of the wall time."""

    images: int
    tier: str
    latency_seconds: float
    window_seconds: float
    wall: float
    bound: float
    binds: str
    ratio: float
    cores: float  # what neither the sandbox nor anybody else took of the machine meanwhile
    bound_here: float  # the bound with image work on that many cores
    ratio_here: float
    bounds: dict[str, float]
    start: float  # from the command to the first prepared image
    first_answer: float
    last_prepared: float
    finished: float
    stop: float  # from the job's end to the command's
    unprepared_at_first_call: int
    leaf_late: float | None
    parent_late: float | None
    bare_ms: float
    other_ms: float  # CPU of everything of ours that is not image work, an image
    cpu: dict[str, float]
    sandbox_cpu: float
    others_cpu: float
    peak_bytes: dict[str, int]
    database_bytes: float  # an image
    broker_bytes: float
    included: int
    requests: int
    refused: int  # 429s
    load: float
    plain: dict[str, Any] | None = None
    times_plain: float | None = None


def row(run: Run, bare: Bare, cores: int, script: Plain | None = None) -> Row:
    """A run beside the bounds that its own requests and the bare image work set."""
    scene, ended, at = run.scene, run.ended, run.times.at
    count = scene.images
    found = _bound(run, bare.cpu * count / cores)
    left = max(cores - (run.others_cpu + run.sandbox_cpu) / ended.wall, ended.cpu / ended.wall)
    here = _bound(run, bare.cpu * count / left)
    return Row(
        images=count,
        tier=scene.tier,
        latency_seconds=scene.latency_seconds,
        window_seconds=scene.window_seconds,
        wall=ended.wall,
        bound=found.seconds,
        binds=found.binds,
        ratio=ended.wall / found.seconds,
        cores=left,
        bound_here=here.seconds,
        ratio_here=ended.wall / here.seconds,
        bounds=asdict(found),
        start=at["first_prepared"],
        first_answer=at["first_answered"],
        last_prepared=at["last_prepared"],
        finished=at["finished"],
        stop=ended.wall - at["finished"],
        unprepared_at_first_call=run.times.unprepared,
        leaf_late=run.times.leaf_late,
        parent_late=run.times.parent_late,
        bare_ms=bare.cpu * 1000,
        other_ms=(ended.cpu / count - bare.cpu) * 1000,
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
        plain=None if script is None else asdict(script),
        times_plain=None if script is None else script.seconds / ended.wall,
    )


def _bound(run: Run, image_seconds: float) -> Bound:
    usage, tree = run.result["usage"], run.result["tree"]
    asked = Tree(
        leaves=tree["leaves"],
        requests=usage["requests"],
        depth=tree["depth"],
        tokens=usage["prompt_tokens"] + usage["completion_tokens"],
    )
    scene = run.scene
    return bound(image_seconds, asked, scene.limits, scene.window_seconds, scene.latency_seconds)
