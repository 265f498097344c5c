"""Measure the whole.

    python -m benchmarks.pipeline [--full] [--rows 600-V0,60-V4] [--latency 4] [--side 960]

Rows are named IMAGES-TIER; beside them ``noop`` and ``growth``. The short form ends within
``--minutes`` (10): rows for which no time is left are named and left out. Writes results.json and
plot.svg into benchmarks/out; exit status 1 when an image was not included.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import structlog
from rich.console import Console

from benchmarks.pipeline import bare, baselines, command, growth, pictures, table
from benchmarks.pipeline.command import Scene
from benchmarks.pipeline.plot import plot
from benchmarks.pipeline.rows import Row, row
from benchmarks.pipeline.scenes import SIZES, expected_seconds, scenes

OUT = Path(__file__).parents[1] / "out"
SCRIPT_SECONDS = 15.0
"""The plain script is stopped after this; its rate says how long the whole would have taken."""
SCRIPT_SIZES = SIZES[:2]
NOOP_SECONDS, GROWTH_SECONDS = 20.0, 120.0


@dataclass
class Bench:
    """One run of the benchmark: its wishes, its clock, what it has so far."""

    console: Console
    wishes: argparse.Namespace
    folder: Path
    rows: list[Row] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)

    def wanted(self, name: str, seconds: float) -> bool:
        """Whether a row was asked for and there is time for it."""
        if self.wishes.rows:
            return name in self.wishes.rows.split(",")
        late = time.monotonic() - self.begun + seconds > self.wishes.minutes * 60
        if late and not self.wishes.full:
            self.left_out.append(name)
        return self.wishes.full or not late

    def measure(self, scene: Scene) -> None:
        """Bare image work, the job, and bare image work again: the machine's others come and go."""
        photos = pictures.picture_set(OUT / "pictures", scene.images, self.wishes.side)
        files, cores = sorted(photos.iterdir()), bare.cores()
        before = bare.measure(files, cores)
        ran = command.run(scene, photos, self.folder)
        after = bare.measure(files, cores)
        script = None
        if scene.images in SCRIPT_SIZES:
            script = baselines.plain(scene, photos, SCRIPT_SECONDS)
        mean = bare.Bare((before.cpu + after.cpu) / 2, (before.wall + after.wall) / 2)
        self.rows.append(row(ran, mean, cores, script))
        one = self.rows[-1]
        self.console.print(
            f"{scene.name}: {one.wall:.1f} s; bound {one.bound:.1f} ({one.binds}),"
            f" {one.bound_here:.1f} on the {one.cores:.1f} cores had;"
            f" {one.other_ms:.1f} ms an image beside image work"
        )


def main() -> int:
    wishes = _wishes()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    console = Console(width=None if sys.stdout.isatty() else 170)
    console.print(_machine())
    with tempfile.TemporaryDirectory(prefix="overstory-bench-") as name:
        bench = Bench(console, wishes, Path(name))
        _prepare(bench)
        noop = baselines.noop() if bench.wanted("noop", NOOP_SECONDS) else None
        for scene in scenes(wishes.latency, wishes.full or bool(wishes.rows)):
            if bench.wanted(scene.name, expected_seconds(scene) + SCRIPT_SECONDS):
                bench.measure(scene)
        costs = growth.growth(bench.folder) if bench.wanted("growth", GROWTH_SECONDS) else []
    if bench.rows:
        table.show_rows(console, bench.rows)
    if noop:
        table.show_noop(console, noop)
    if costs:
        table.show_growth(console, costs)
    if bench.left_out:
        console.print(f"left out, for want of time: {', '.join(bench.left_out)} (--full runs all)")
    _write(bench, noop, costs)
    return 0 if all(each.included == each.images for each in bench.rows) else 1


def _prepare(bench: Bench) -> None:
    """The pictures are made once, before the clock runs."""
    sizes = [int(n.split("-")[0]) for n in (bench.wishes.rows or "6000-").split(",") if "-" in n]
    if sizes:
        pictures.picture_set(OUT / "pictures", max(sizes), bench.wishes.side)
    bench.begun = time.monotonic()


def _write(bench: Bench, noop: baselines.Noop | None, costs: list[growth.Cost]) -> None:
    OUT.mkdir(exist_ok=True)
    found = {
        "machine": _machine(),
        "rows": [asdict(each) for each in bench.rows],
        "noop": asdict(noop) if noop else None,
        "growth": [asdict(cost) for cost in costs],
        "left_out": bench.left_out,
    }
    (OUT / "results.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    if bench.rows:
        (OUT / "plot.svg").write_text(plot(bench.rows), encoding="utf-8")
    bench.console.print(f"written: {OUT / 'results.json'}, {OUT / 'plot.svg'}", highlight=False)


def _machine() -> str:
    at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return (
        f"{at}, {bare.cores()} cores ({platform.machine()}), Python {platform.python_version()},"
        f" load {os.getloadavg()[0]:.1f}, {shutil.disk_usage(OUT.parent).free / 1e9:.0f} GB free"
    )


def _wishes() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks.pipeline", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--full", action="store_true", help="every row, however long it takes")
    parser.add_argument("--rows", help="only these: 60-V0,600-V2,noop,growth")
    parser.add_argument("--latency", type=float, default=4.0, help="seconds of every call (4)")
    parser.add_argument("--side", type=int, default=960, help="width of the pictures (960)")
    parser.add_argument("--minutes", type=float, default=9.0, help="for the short form")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
