"""One run of the benchmark: what was asked for, the clock, and what it has found so far."""

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
    """``took`` are seconds by part; ``last`` is the newest look at bare work, and its pictures'
    width."""

    console: Console
    wishes: argparse.Namespace
    pictures: Path
    folder: Path
    rows: list[Row] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)  # name and reason
    took: dict[str, float] = field(default_factory=dict)
    noop: baselines.Noop | None = None
    growth: list[growth.Cost] = field(default_factory=list)
    scripts: dict[str, Scripts] = field(default_factory=dict)
    last: tuple[int, float] | None = None
    expected: dict[str, float] = field(default_factory=dict)  # seconds, of the rows that were run
    begun: float = 0.0

    def run(self) -> None:
        """The pictures are made before the clock runs; then the floor, what grows, and the jobs,
        those first that tell most, for as long as there is time."""
        with self._timed("pictures"):
            found = self._with_pictures()
            self.begun = time.monotonic()
            for folder in {self._set(scene) for scene in found}:
                pictures.read(folder.iterdir())
        if self._due("noop", NOOP_SECONDS):
            with self._timed("noop"):
                self.noop = baselines.noop()
        with self._timed("growth and scripts"):
            self._run_growth(found)
        for scene in found:
            expected = expected_seconds(scene, bare.cores())
            if self._due(scene.name, expected * self._pace()):
                self.expected[scene.name] = expected
                with self._timed(scene.name):
                    self._run_job(scene)
        self.rows.sort(key=lambda each: (each.small, each.images, each.tier))

    def _with_pictures(self) -> list[Scene]:
        """The scenes that were asked for and whose pictures the disk holds."""
        wishes = self.wishes
        asked = scenes(wishes.latency, wishes.side, full=wishes.full or bool(wishes.rows))
        found = [scene for scene in asked if self._wanted(scene.name)]
        for scene in sorted(found, key=lambda scene: scene.images):
            try:
                self._set(scene)
            except pictures.NoRoom as error:
                self.left_out[scene.name] = str(error)
        return [scene for scene in found if scene.name not in self.left_out]

    def _run_growth(self, found: Sequence[Scene]) -> None:
        """What grows is the CPU of one process; beside it run the scripts that wait for calls."""
        beside = None
        if self._due("growth", GROWTH_SECONDS):
            beside = growth.start(self.folder)
        for scene in found:
            if has_script(scene) and in_calls(scene):
                self.scripts[scene.name] = self._run_scripts(scene)
        if beside:
            self.growth = growth.costs_of(beside)

    def _run_job(self, scene: Scene) -> None:
        """Bare image work, the job, and bare image work again: the machine's others come and go."""
        before = self._look(scene, afresh=False)
        ran = command.run(scene, self._set(scene), self.folder)
        after = self._look(scene, afresh=True)
        scripts = self.scripts.get(scene.name) or self._run_scripts(scene)
        self.rows.append(row(ran, (before, after), bare.cores(), scripts))
        self._say(self.rows[-1])

    def _run_scripts(self, scene: Scene) -> Scripts:
        photos = self._set(scene)
        return Scripts(
            baselines.plain(scene, photos, shrinking=False) if has_script(scene) else None,
            baselines.plain(scene, photos, shrinking=True) if has_shrinking(scene) else None,
        )

    def _look(self, scene: Scene, *, afresh: bool) -> float:
        """Bare image work; what was seen after a row is what was before the next of its kind."""
        if afresh or self.last is None or self.last[0] != scene.side:
            files = sorted(self._set(scene).iterdir())
            self.last = scene.side, bare.measure(files, bare.cores())
        return self.last[1]

    def _set(self, scene: Scene) -> Path:
        return pictures.picture_set(self.pictures, scene.images, scene.side)

    def _pace(self) -> float:
        """How long rows take of what was expected."""
        took = sum(self.took[name] for name in self.expected)
        return took / sum(self.expected.values()) if self.expected else 1.0

    def _wanted(self, name: str) -> bool:
        return not self.wishes.rows or name in self.wishes.rows.split(",")

    def _due(self, name: str, seconds: float) -> bool:
        """Whether a row was asked for and there is time for it."""
        late = time.monotonic() - self.begun + seconds > self.wishes.minutes * 60
        if late and not self.wishes.full and not self.wishes.rows:
            self.left_out[name] = "no time"
        return self._wanted(name) and name not in self.left_out

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        begun = time.monotonic()
        yield
        self.took[what] = time.monotonic() - begun

    def _say(self, one: Row) -> None:
        self.console.print(
            f"{one.name}: {one.wall:.1f} s; bound {one.bound:.1f} ({one.binds}), schedule"
            f" {one.schedule:.1f} ({one.schedule_binds}), {one.schedule_here:.1f} on the"
            f" {one.cores:.1f} cores had; {one.other_ms:.1f} ms an image beside image work",
            highlight=False,
        )
