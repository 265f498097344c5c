"""What an image costs at 600 and at 60,000: planning, the flow, progress, the report.

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
"""Progress is asked for this often, and the middle one taken."""


@dataclass(slots=True)
class Cost:
    """CPU in microseconds an image by what was done; SQL statements an image; bytes of memory
    that the worker's part came to hold."""

    images: int
    micros: dict[str, float] = field(default_factory=dict)
    statements: dict[str, float] = field(default_factory=dict)
    grown_bytes: int = 0
    database_bytes: int = 0


def start(folder: Path) -> subprocess.Popen[bytes]:
    """Begin to measure in a process of its own."""
    words = [sys.executable, "-m", "benchmarks.pipeline.growth", str(folder)]
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)


def costs_of(process: subprocess.Popen[bytes]) -> list[Cost]:
    """Wait for it. Raises RuntimeError when it failed."""
    out, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"growth ended with {process.returncode}")
    return [Cost(**cost) for cost in json.loads(out)]


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    print(json.dumps([asdict(cost) for cost in growth(Path(sys.argv[1]))]))


def growth(folder: Path, small: int = SMALL, large: int = LARGE) -> list[Cost]:
    """The costs at both sizes. The small one is soon done: it is the mean of several jobs before
    and after the large one, so that a machine that gets slower meanwhile is no growth."""
    cost(folder, small)  # statements are compiled, modules loaded
    before = [cost(folder, small) for _ in range(SMALLS)]
    most = cost(folder, large)
    after = [cost(folder, small) for _ in range(SMALLS)]
    return [_mean(before + after), most]


def cost(folder: Path, images: int) -> Cost:
    """One job of ``images``, from its files to its report."""
    home = Path(tempfile.mkdtemp(prefix=f"growth-{images}-", dir=folder))
    try:
        files = make_files(home / "files", images)
        with whole(home / "home") as job:
            return _cost(job, files, images)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _cost(job: Whole, files: Path, images: int) -> Cost:
    found = Cost(images)
    database = job.services.database
    with _timed(found, "planning"):
        job_id = job.submit(files)
    before = psutil.Process().memory_info().rss
    with _timed(found, "flow"):
        while job.step():
            pass
    found.grown_bytes = psutil.Process().memory_info().rss - before
    with database.read() as connection:
        row = pipeline.job(connection, job_id)
        assert row is not None
        assert row.status.ended, row.status
        found.micros["progress"] = _middle(lambda: pipeline.progress(connection, job_id), images)
    shelf = Thumbs()
    with _timed(found, "report"):
        page(report_data(database, row, shelf, ImageLimits(), 0.0))
    found.statements = {name: count / images for name, count in job.statements.items()}
    found.database_bytes = sum(
        path.stat().st_size for path in job.services.settings.home.glob("overstory.db*")
    )
    return found


class Thumbs(Shelf):
    """Every blob is a tiny JPEG, so that a report's pictures cost next to nothing."""

    def __init__(self) -> None:
        made = BytesIO()
        Image.new("RGB", (16, 12), (40, 160, 60)).save(made, "JPEG")
        self._jpeg = made.getvalue()

    def get(self, sha256: str) -> bytes | None:
        return self._jpeg


@contextmanager
def _timed(found: Cost, what: str) -> Iterator[None]:
    gc.collect()
    begun = time.process_time()
    yield
    found.micros[what] = (time.process_time() - begun) / found.images * 1e6


def _middle(look: Callable[[], object], images: int) -> float:
    times = []
    for _ in range(LOOKS):
        begun = time.process_time()
        look()
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
