"""Statements and messages per image over a complete job are bounded at any size.

The job is whole but for pictures and endpoint (tests.support.one_process).
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from models.reads import pipeline
from overstory.local import wait
from overstory.output.progress import Display
from tasks.upkeep.reconciler import Reconciler
from tests.support.one_process import Whole, make_files, whole

pytestmark = pytest.mark.slow

SMALL, LARGE = 120, 600
STATEMENTS_MAX = 2.5
MESSAGES_MAX = 1.0


def run_whole(job: Whole, folder: Path) -> str:
    job_id = job.submit(folder)
    while job.step():
        pass
    with job.services.database.read() as connection:
        status = pipeline.job_status(connection, job_id)
    assert status == "completed"
    return job_id


def statements(tmp_path: Path, url: str, images: int) -> tuple[Counter[str], Counter[str]]:
    """Statements and messages of one job, by stage."""
    with whole(tmp_path / f"home-{images}", url) as job:
        run_whole(job, make_files(tmp_path / f"files-{images}", images))
        return job.statements, job.sent


@pytest.fixture(autouse=True)
def _whole_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices of maximum length, because their usual length depends on measured time."""
    monkeypatch.setattr("core.slice_size.SLICE_SECONDS", 1e9)


@pytest.fixture
def counted(
    tmp_path: Path, empty_url: str
) -> tuple[tuple[Counter[str], Counter[str]], tuple[Counter[str], Counter[str]]]:
    small = statements(tmp_path, empty_url, SMALL)
    return small, statements(tmp_path, empty_url, LARGE)


def test_statements_and_messages_per_image_do_not_grow_with_the_job(
    counted: tuple[tuple[Counter[str], Counter[str]], tuple[Counter[str], Counter[str]]],
) -> None:
    (small, _), (large, messages) = counted
    assert large.total() / LARGE < STATEMENTS_MAX
    assert messages.total() / LARGE < MESSAGES_MAX
    for stage, count in large.items():
        assert count / LARGE <= small[stage] / SMALL, stage


def test_planning_writes_all_images_at_once(tmp_path: Path, empty_url: str) -> None:
    with whole(tmp_path / "home", empty_url) as job:
        job.submit(make_files(tmp_path / "files", SMALL))
        first = job.statements["submit"]
        job.submit(make_files(tmp_path / "more", 2 * SMALL))
        leaves = 2 * SMALL // 60 - SMALL // 60
        assert job.statements["submit"] - 2 * first == leaves  # one per node, none per image


def test_waiting_uses_the_same_number_of_statements_for_many_images(
    tmp_path: Path, empty_url: str
) -> None:
    """The reconciler's round and the command's poll use the same statements at any size."""
    counts = set()
    for images in (SMALL, LARGE):
        with whole(tmp_path / f"home-{images}", empty_url) as job:
            job_id = job.submit(make_files(tmp_path / f"files-{images}", images))
            job.stage = "waiting"
            rounds = Reconciler(job.services, clock=lambda: 1.0)
            rounds.tick()
            assert rounds.tidying is not None
            rounds.tidying.result()
            for counting in (False, True):
                wait.check(job.services, job_id, Display(), counting)
            counts.add(job.statements["waiting"])
    assert len(counts) == 1
