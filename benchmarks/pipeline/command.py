"""One row: the real command on a set of pictures, against a sandbox with a tier's limits."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.pipeline.asked import asked
from benchmarks.pipeline.bounds import Tree
from benchmarks.pipeline.measure import Ended, cpu_of, machine, watched
from benchmarks.pipeline.pictures import forget, mean_bytes
from benchmarks.pipeline.timeline import Timeline, timeline
from core.catalog.tiers import AccountLimits, tier
from overstory.sandbox.process import SandboxProcess

ASK = "What is in these pictures, and which stand out?"
KEY = "bench-key-0123456789"
RUN_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Scene:
    """A set and an account; ``tier`` as in core.catalog.tiers. ``side`` is the pictures' width in
    pixels; ``small`` ones are a row of their own beside those of a phone. The window is that of
    the limits.
    ``inline``: what finds no place among the files goes inside its request.
    """

    images: int
    tier: str
    latency_seconds: float
    window_seconds: float
    side: int
    small: bool = False
    inline: bool = False

    @property
    def limits(self) -> AccountLimits:
        return tier(self.tier)

    @property
    def tier_in_words(self) -> str:
        """The tier, its window where that is not a minute, and whether images may go inline."""
        minute = self.window_seconds == 60.0
        words = self.tier if minute else f"{self.tier}, {self.window_seconds:g} s windows"
        return f"{words}, inline" if self.inline else words

    @property
    def name(self) -> str:
        return f"{self.images}-{self.tier}{'-small' * self.small}{'-inline' * self.inline}"


@dataclass(slots=True)
class Run:
    """What a row measured. CPU in seconds, memory in bytes."""

    scene: Scene
    ended: Ended
    result: dict[str, Any]
    times: Timeline
    asked: Tree
    sandbox_cpu: float
    sandbox: dict[str, Any]
    others_cpu: float  # of the machine, by nobody of ours; the benchmark's own is in it
    load: float
    database_bytes: int
    broker_bytes: int  # written to its log of messages
    picture_bytes: float  # of a file, on average


def run(scene: Scene, pictures: Path, folder: Path) -> Run:
    """Ask about ``pictures`` with the command; a state folder in ``folder`` and a sandbox of its
    own. The state folder stays: ext4 gives a file no inode that was freed in the last minutes, and
    looks at all of them first, so that files made after thousands were deleted take half a
    millisecond each.
    """
    home = Path(tempfile.mkdtemp(prefix=f"{scene.name}-", dir=folder))
    forget(pictures.iterdir())
    with sandbox_of(scene) as endpoint:
        words = [sys.executable, "-m", "overstory", "run", str(pictures), "--ask", ASK]
        words += ["--json", "--keep-files"]
        with machine() as seen:
            ended = watched(words, environment(scene, home, endpoint), home / "run", RUN_SECONDS)
        sandbox_cpu, stats = cpu_of(endpoint.pid), endpoint.stats()
    result = _result(home, ended)
    return Run(
        scene=scene,
        ended=ended,
        result=result,
        times=timeline(home / "overstory.db", ended.started_at),
        asked=asked(home / "overstory.db", result["tree"]["depth"]),
        sandbox_cpu=sandbox_cpu,
        sandbox=stats,
        others_cpu=max(seen.busy - ended.cpu - sandbox_cpu, 0.0),
        load=seen.load,
        database_bytes=sum(path.stat().st_size for path in home.glob("overstory.db*")),
        broker_bytes=sum(path.stat().st_size for path in (home / "broker").rglob("*.aof")),
        picture_bytes=mean_bytes(pictures),
    )


def sandbox_of(scene: Scene) -> SandboxProcess:
    """A sandbox that holds to the scene's tier."""
    limits = scene.limits
    return SandboxProcess(
        concurrency=limits.concurrency,
        rpm=limits.rpm,
        tpm=limits.tpm,
        window_seconds=scene.window_seconds,
        latency_seconds=scene.latency_seconds,
    )


def environment(scene: Scene, home: Path, endpoint: SandboxProcess) -> dict[str, str]:
    """What a person with that account would have set, and the window's length."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OVERSTORY_", "STEPFUN_"))}
    return clean | {
        "OVERSTORY_HOME": str(home),
        "OVERSTORY_API_KEY": KEY,
        "OVERSTORY_BASE_URL": endpoint.base_url,
        "OVERSTORY_TIER": scene.tier,
        "OVERSTORY_LIMIT_WINDOW_SECONDS": str(scene.window_seconds),
        "OVERSTORY_INLINE_WHEN_FULL": str(scene.inline),
    }


def _result(home: Path, ended: Ended) -> dict[str, Any]:
    text = (home / "run.out").read_text(encoding="utf-8")
    if not text.strip():
        errors = (home / "run.err").read_text(encoding="utf-8")[-2_000:]
        raise RuntimeError(f"the command ended with {ended.status} and no answer: {errors}")
    found: dict[str, Any] = json.loads(text)
    return found
