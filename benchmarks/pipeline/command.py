"""One row: run the real command on a set of pictures, against a sandbox with a tier's limits."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.pipeline.asked import asked
from benchmarks.pipeline.bounds import Tree
from benchmarks.pipeline.measure import Ended, cpu_of, machine, watched
from benchmarks.pipeline.pictures import forget, mean_bytes
from benchmarks.pipeline.timeline import Timeline, timeline
from core.catalog.tiers import AccountLimits, tier
from core.settings import DEFAULT_MODEL
from overstory.sandbox.process import SandboxProcess

ASK = "What is in these pictures, and which stand out?"
KEY = "bench-key-0123456789"
RUN_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Scene:
    """A set of pictures and an account; ``tier`` as in core.catalog.tiers.

    ``side``: width of the pictures in pixels. ``small``: a row of small pictures, beside the row of
    phone photographs. ``window_seconds``: length of the limits' window. ``store``: OVERSTORY_STORE,
    if the row names it. ``keeps_files``: with ``--keep-files``.
    """

    images: int
    tier: str
    latency_seconds: float
    window_seconds: float
    side: int
    small: bool = False
    store: str | None = None
    keeps_files: bool = False

    @property
    def limits(self) -> AccountLimits:
        return tier(self.tier)

    @property
    def tier_in_words(self) -> str:
        """The tier, its window if that is not a minute, and what the row sets."""
        minute = self.window_seconds == 60.0
        parts = [self.tier if minute else f"{self.tier}, {self.window_seconds:g} s windows"]
        parts += [f"store {self.store}"] if self.store else []
        parts += ["files kept"] if self.keeps_files else []
        return ", ".join(parts)

    @property
    def name(self) -> str:
        small, keep = "-small" * self.small, "-keep" * self.keeps_files
        return f"{self.images}-{self.tier}{small}{f'-{self.store}' if self.store else ''}{keep}"


@dataclass(slots=True)
class Run:
    """The measurements of a row. CPU in seconds, memory in bytes."""

    scene: Scene
    ended: Ended
    result: dict[str, Any]
    times: Timeline
    asked: Tree
    sandbox_cpu: float
    sandbox: dict[str, Any]
    others_cpu: float  # all other processes of the machine, the benchmark included
    load: float
    database_bytes: int
    broker_bytes: int  # size of its append-only files
    picture_bytes: float  # mean per file


Line = Callable[[str], AbstractContextManager[str]]
"""Makes another base URL for a sandbox's, as long as the context lasts."""


def run(scene: Scene, pictures: Path, folder: Path, line: Line = nullcontext) -> Run:
    """Run the command over ``pictures`` with a new state folder in ``folder`` and its own sandbox,
    reached by ``line``.

    The state folder is not deleted here: ext4 does not reuse inodes freed in the last minutes but
    scans all of them, so after thousands of deletions each new file takes half a millisecond.
    """
    home = Path(tempfile.mkdtemp(prefix=f"{scene.name}-", dir=folder))
    forget(pictures.iterdir())
    with sandbox_of(scene) as endpoint, line(endpoint.base_url) as url:
        argv = [sys.executable, "-m", "overstory", "run", str(pictures), "--ask", ASK, "--json"]
        argv += ["--keep-files"] if scene.keeps_files else []
        with machine() as seen:
            ended = watched(argv, environment(scene, home, url), home / "run", RUN_SECONDS)
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
    """A sandbox that enforces the limits of the scene's tier."""
    limits = scene.limits
    return SandboxProcess(
        concurrency=limits.concurrency,
        rpm=limits.rpm,
        tpm=limits.tpm,
        window_seconds=scene.window_seconds,
        latency_seconds=scene.latency_seconds,
    )


def environment(scene: Scene, home: Path, url: str) -> dict[str, str]:
    """The settings of a user with that account, and the window's length. The model is named: the
    URL is not the provider's own, where it would be the default."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OVERSTORY_", "STEPFUN_"))}
    clean |= {"OVERSTORY_STORE": scene.store} if scene.store else {}
    return clean | {
        "OVERSTORY_HOME": str(home),
        "OVERSTORY_API_KEY": KEY,
        "OVERSTORY_BASE_URL": url,
        "OVERSTORY_MODEL": DEFAULT_MODEL,
        "OVERSTORY_TIER": scene.tier,
        "OVERSTORY_LIMIT_WINDOW_SECONDS": str(scene.window_seconds),
    }


def _result(home: Path, ended: Ended) -> dict[str, Any]:
    text = (home / "run.out").read_text(encoding="utf-8")
    if not text.strip():
        errors = (home / "run.err").read_text(encoding="utf-8")[-2_000:]
        raise RuntimeError(
            f"the command exited with {ended.status} and printed no result: {errors}"
        )
    result: dict[str, Any] = json.loads(text)
    return result
