"""One run of the benchmark: its arguments, its time limit and its results so far."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from benchmarks.pipeline import bare, baselines, command, growth, pictures
from benchmarks.pipeline.command import Scene
from benchmarks.pipeline.rows import Row, Scripts, row
from benchmarks.pipeline.scenes import (
    expected_seconds,
    has_script,
    has_shrinking,
    in_calls,
    scenes,
)

NOOP_SECONDS, GROWTH_SECONDS = 10.0, 80.0


@dataclass
class Bench:
    """``took``: seconds of each part. ``last``: the newest measurement of bare image work, as the
    width of the pictures and the CPU seconds per image."""

    console: Console
    args: argparse.Namespace
    pictures: Path
    folder: Path
    rows: list[Row] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)  # name and reason
    took: dict[str, float] = field(default_factory=dict)
    noop: baselines.Noop | None = None
    growth: list[growth.Cost] = field(default_factory=list)
    scripts: dict[str, Scripts] = field(default_factory=dict)
    last: tuple[int, float] | None = None
    expected: dict[str, float] = field(default_factory=dict)  # seconds, of the rows that ran
    begun: float = 0.0

    def run(self) -> None:
        """Make the pictures, then start the clock. Then run noop, growth and the jobs, the most
        informative first, while there is time."""
        with self._timed("pictures"):
            chosen = self._with_pictures()
            self.begun = time.monotonic()
            for folder in {self._set(scene) for scene in chosen}:
                pictures.read(folder.iterdir())
        if self._due("noop", NOOP_SECONDS):
            with self._timed("noop"):
                self.noop = baselines.noop()
        with self._timed("growth and scripts"):
            self._run_growth(chosen)
        for scene in chosen:
            expected = expected_seconds(scene, bare.cores())
            if self._due(scene.name, expected * self._pace()):
                self.expected[scene.name] = expected
                with self._timed(scene.name):
                    self._run_job(scene)
        self.rows.sort(key=lambda row: (row.small, row.images, row.tier))

    def _with_pictures(self) -> list[Scene]:
        """The requested scenes whose pictures fit on the disk."""
        args = self.args
        candidates = scenes(args.latency, args.side, full=args.full or bool(args.rows))
        chosen = [scene for scene in candidates if self._wanted(scene.name)]
        for scene in sorted(chosen, key=lambda scene: scene.images):
            try:
                self._set(scene)
            except pictures.NoRoom as error:
                self.left_out[scene.name] = str(error)
        return [scene for scene in chosen if scene.name not in self.left_out]

    def _run_growth(self, chosen: Sequence[Scene]) -> None:
        """Growth uses one core; the scripts that mostly wait for calls run at the same time."""
        measuring = None
        if self._due("growth", GROWTH_SECONDS):
            measuring = growth.start(self.folder)
        for scene in chosen:
            if has_script(scene) and in_calls(scene):
                self.scripts[scene.name] = self._run_scripts(scene)
        if measuring:
            self.growth = growth.costs_of(measuring)

    def _run_job(self, scene: Scene) -> None:
        """Measure bare image work before and after the job, because other load changes."""
        before = self._bare_work(scene, refresh=False)
        ran = command.run(scene, self._set(scene), self.folder)
        after = self._bare_work(scene, refresh=True)
        scripts = self.scripts.get(scene.name) or self._run_scripts(scene)
        self.rows.append(row(ran, (before, after), bare.cores(), scripts))
        self._print(self.rows[-1])

    def _run_scripts(self, scene: Scene) -> Scripts:
        photos = self._set(scene)
        return Scripts(
            baselines.plain(scene, photos, shrinking=False) if has_script(scene) else None,
            baselines.plain(scene, photos, shrinking=True) if has_shrinking(scene) else None,
        )

    def _bare_work(self, scene: Scene, *, refresh: bool) -> float:
        """CPU seconds per image; the value after a row is reused before the next of that width."""
        if refresh or self.last is None or self.last[0] != scene.side:
            files = sorted(self._set(scene).iterdir())
            self.last = scene.side, bare.measure(files, bare.cores())
        return self.last[1]

    def _set(self, scene: Scene) -> Path:
        return pictures.picture_set(self.pictures, scene.images, scene.side)

    def _pace(self) -> float:
        """Actual time of the rows so far, divided by their expected time."""
        took = sum(self.took[name] for name in self.expected)
        return took / sum(self.expected.values()) if self.expected else 1.0

    def _wanted(self, name: str) -> bool:
        return not self.args.rows or name in self.args.rows.split(",")

    def _due(self, name: str, seconds: float) -> bool:
        """Whether a row was requested and there is time for it."""
        late = time.monotonic() - self.begun + seconds > self.args.minutes * 60
        if late and not self.args.full and not self.args.rows:
            self.left_out[name] = "no time"
        return self._wanted(name) and name not in self.left_out

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        begun = time.monotonic()
        yield
        self.took[what] = time.monotonic() - begun

    def _print(self, one: Row) -> None:
        self.console.print(
            f"{one.name}: {one.wall:.1f} s; bound {one.bound:.1f} ({one.binds}), schedule"
            f" {one.schedule:.1f} ({one.schedule_binds}), {one.schedule_here:.1f} on the"
            f" {one.cores:.1f} cores left; {one.other_ms:.1f} ms per image besides image work",
            highlight=False,
        )
