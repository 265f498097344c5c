"""One run of the benchmark: its arguments, its time limit and its results so far."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from benchmarks.pipeline import bare, baselines, command, growth, pictures, scenes
from benchmarks.pipeline.command import Scene
from benchmarks.pipeline.rows import Rivals, Row, row

PARTS = ("noop", "growth")
"""Measurements that are not rows: only in the long form, or by name."""


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
    last: tuple[int, float] | None = None
    expected: dict[str, float] = field(default_factory=dict)  # seconds, of the rows that ran
    begun: float = 0.0

    def run(self) -> None:
        """Make the pictures, then start the clock. Then run the jobs, the most informative first,
        while there is time."""
        with self._timed("pictures"):
            chosen = self._with_pictures()
            self.begun = time.monotonic()
            for folder in {self._set(scene) for scene in chosen}:
                pictures.read(folder.iterdir())
        self._run_parts()
        for scene in chosen:
            has_daft = self._has_daft(scene)
            expected = scenes.expected_seconds(scene, bare.cores(), self.args.rounds, has_daft)
            if self._has_time(scene.name, expected * self._pace()):
                self.expected[scene.name] = expected
                with self._timed(scene.name):
                    self._run_row(scene, has_daft)
        self.rows.sort(key=lambda row: (row.small, row.images, row.tier))  # stable: rounds in order

    def _names(self) -> list[str]:
        if self.args.rows:
            return list(self.args.rows.split(","))
        return [*PARTS, *scenes.FULL] if self.args.full else list(scenes.SHORT)

    def _with_pictures(self) -> list[Scene]:
        """The requested scenes whose pictures fit on the disk."""
        names = [name for name in self._names() if name not in PARTS]
        chosen = [scenes.scene_of(name, self.args.latency, self.args.side) for name in names]
        for scene in sorted(chosen, key=lambda scene: scene.images):
            try:
                self._set(scene)
            except pictures.NoRoom as error:
                self.left_out[scene.name] = str(error)
        return [scene for scene in chosen if scene.name not in self.left_out]

    def _run_parts(self) -> None:
        names = self._names()
        if "noop" in names:
            with self._timed("noop"):
                self.noop = baselines.noop()
        if "growth" in names:
            with self._timed("growth"):
                self.growth = growth.costs_of(growth.start(self.folder))

    def _run_row(self, scene: Scene, has_daft: bool) -> None:
        """The job and the script in turn, ``--rounds`` times. Bare image work is measured before
        and after each job, because other load changes."""
        photos = self._set(scene)
        for number in range(self.args.rounds):
            before = self._bare_work(scene, refresh=False)
            ran = command.run(scene, photos, self.folder)
            after = self._bare_work(scene, refresh=True)
            rivals = Rivals(
                baselines.careful(scene, photos),
                baselines.daft(scene, photos, self.args.daft) if has_daft and not number else None,
            )
            self.rows.append(row(ran, (before, after), bare.cores(), rivals))
            self._print(self.rows[-1])

    def _has_daft(self, scene: Scene) -> bool:
        everywhere = self.args.full or self.args.rows
        if scene.name not in (scenes.DAFT_FULL if everywhere else scenes.DAFT):
            return False
        if not self.args.daft.exists():
            self.left_out["Daft"] = f"{self.args.daft} does not exist (make build/daft/.stamp)"
        return bool(self.args.daft.exists())

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

    def _has_time(self, name: str, seconds: float) -> bool:
        late = time.monotonic() - self.begun + seconds > self.args.minutes * 60
        if late and not self.args.full and not self.args.rows:
            self.left_out[name] = "no time"
        return name not in self.left_out

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        begun = time.monotonic()
        yield
        self.took[what] = time.monotonic() - begun

    def _print(self, one: Row) -> None:
        script = f"{one.script['seconds']:.1f} s" if one.script else "-"
        self.console.print(
            f"{one.name}: {one.wall:.1f} s, script {script}; schedule {one.schedule:.1f}"
            f" ({one.schedule_binds}), {one.schedule_here:.1f} on the {one.cores:.1f} cores left;"
            f" {one.other_ms:.1f} ms per image besides image work",
            highlight=False,
        )
