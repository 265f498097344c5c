"""CPU per image of jobs of 600 and 60,000 images: planning, flow, progress and report.

    python -m benchmarks.pipeline.growth FOLDER

Seconds of CPU of this process alone, over a real SQLite file (tests.support.one_process), so
it may run beside something that leaves it a core. Prints the costs as JSON.
"""

from __future__ import annotations

import gc
import json
import logging
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path

import psutil
import structlog
from PIL import Image

from core.images.sizing import ImageLimits
from models.reads import pipeline
from overstory.report.data import report_data
from overstory.report.page import page
from tests.support.one_process import Shelf, Whole, make_files, whole

SMALL, LARGE = 600, 60_000
SMALLS = 2
LOOKS = 5
"""How many times progress is read; the median counts."""


@dataclass(slots=True)
class Cost:
    """CPU microseconds per image by step, SQL statements per image by stage, and bytes by which
    memory grew during the flow."""

    images: int
    micros: dict[str, float] = field(default_factory=dict)
    statements: dict[str, float] = field(default_factory=dict)
    grown_bytes: int = 0
    database_bytes: int = 0


def start(folder: Path) -> subprocess.Popen[bytes]:
    """Start the measurement in a separate process."""
    argv = [sys.executable, "-m", "benchmarks.pipeline.growth", str(folder)]
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)


def costs_of(process: subprocess.Popen[bytes]) -> list[Cost]:
    """Wait for the process and read its costs. Raises RuntimeError when it failed."""
    out, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"growth exited with {process.returncode}")
    return [Cost(**cost) for cost in json.loads(out)]


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    print(json.dumps([asdict(cost) for cost in growth(Path(sys.argv[1]))]))


def growth(folder: Path, small: int = SMALL, large: int = LARGE) -> list[Cost]:
    """The costs at both sizes. The small one is the mean of several jobs before and after the large
    one, so that a machine that slows down meanwhile does not look like growth."""
    cost(folder, small)  # compile statements, load modules
    before = [cost(folder, small) for _ in range(SMALLS)]
    largest = cost(folder, large)
    after = [cost(folder, small) for _ in range(SMALLS)]
    return [_mean(before + after), largest]


def cost(folder: Path, images: int) -> Cost:
    """The cost of one job of ``images``, from its files to its report."""
    home = Path(tempfile.mkdtemp(prefix=f"growth-{images}-", dir=folder))
    try:
        files = make_files(home / "files", images)
        with whole(home / "home") as job:
            return _cost(job, files, images)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _cost(job: Whole, files: Path, images: int) -> Cost:
    costs = Cost(images)
    database = job.services.database
    with _timed(costs, "planning"):
        job_id = job.submit(files)
    before = psutil.Process().memory_info().rss
    with _timed(costs, "flow"):
        while job.step():
            pass
    costs.grown_bytes = psutil.Process().memory_info().rss - before
    with database.read() as connection:
        row = pipeline.job(connection, job_id)
        assert row is not None
        assert row.status.ended, row.status
        costs.micros["progress"] = _median(lambda: pipeline.progress(connection, job_id), images)
    shelf = Thumbs()
    with _timed(costs, "report"):
        services = job.services
        page(
            report_data(
                database, row, shelf, services.uploads, ImageLimits(), services.decoder, 0.0
            )
        )
    costs.statements = {name: count / images for name, count in job.statements.items()}
    costs.database_bytes = sum(
        path.stat().st_size for path in job.services.settings.home.glob("overstory.db*")
    )
    return costs


class Thumbs(Shelf):
    """Returns a tiny JPEG for every blob, so that the report's pictures cost almost nothing."""

    def __init__(self) -> None:
        jpeg = BytesIO()
        Image.new("RGB", (16, 12), (40, 160, 60)).save(jpeg, "JPEG")
        self._jpeg = jpeg.getvalue()

    def get(self, sha256: str) -> bytes | None:
        return self._jpeg


@contextmanager
def _timed(costs: Cost, step: str) -> Iterator[None]:
    gc.collect()
    begun = time.process_time()
    yield
    costs.micros[step] = (time.process_time() - begun) / costs.images * 1e6


def _median(read: Callable[[], object], images: int) -> float:
    """Median CPU microseconds per image of ``LOOKS`` calls."""
    times = []
    for _ in range(LOOKS):
        begun = time.process_time()
        read()
        times.append(time.process_time() - begun)
    return sorted(times)[LOOKS // 2] / images * 1e6


def _mean(costs: list[Cost]) -> Cost:
    count = len(costs)
    return Cost(
        images=costs[0].images,
        micros={n: sum(c.micros[n] for c in costs) / count for n in costs[0].micros},
        statements=costs[0].statements,
        grown_bytes=max(c.grown_bytes for c in costs),
        database_bytes=costs[0].database_bytes,
    )


if __name__ == "__main__":
    main()
