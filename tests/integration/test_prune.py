"""Prune deletes only ended jobs, on both databases."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, update

from core.reply import Reply, Usage
from core.settings import load
from models import deliveries, ledger, retention, state
from models.engine import Database
from models.state import Moved
from models.tables import Call, Delivery, Event, Image, Job, Node
from tasks.runtime.services import Services
from tasks.upkeep.prune import FRESH_SECONDS, prune
from tests.support import jobs
from workers.app import make_app
from workers.services import build_services

DAY = 86_400.0
LONG_AGO = 100 * DAY


@pytest.fixture
def services(database: Database) -> Iterator[Services]:
    settings = load(database_url=database.url, broker_url="redis://127.0.0.1:1/0")
    made = build_services(settings, make_app(settings))
    yield made
    made.database.dispose()


def ended(
    database: Database, ago: float = LONG_AGO, shas: tuple[str, ...] = (), label: str | None = None
) -> str:
    """A job answered ``ago`` seconds ago, with a paid call and a delivered webhook."""
    job = jobs.submit(database, [2, 2])
    jobs.finish_all(database, jobs.upload_all(database, job))
    with database.write() as connection:
        for row, sha in zip(jobs.rows(connection, Image, job), shas, strict=False):
            connection.execute(update(Image).where(Image.id == row.id).values(sha256=sha))
        before = select(Job.finished_at - ago).where(Job.id == job).scalar_subquery()
        connection.execute(update(Job).where(Job.id == job).values(finished_at=before, label=label))
        node = jobs.rows(connection, Node, job)[0].id
        connection.execute(insert(Call).values(**a_call(job, node, f"key of {job}")))
        deliveries.open_delivery(connection, job, "https://shop.example/hook")
        connection.execute(update(Delivery).values(status="delivered"))
    return job


def a_call(job: str, node: int, key: str, status: str = "settled") -> dict[str, object]:
    return {
        "key": key, "job_id": job, "node_id": node, "account": "a", "model": "m", "images": 2,
        "status": status, "reserved_tokens": 1, "reply": "paid", "currency": "USD", "cost": 0.5,
        "lease_token": "t", "lease_until": 0.0, "started_at": 1.0,
    }  # fmt: skip


def before(database: Database, days: float = 90) -> float:
    with database.read() as connection:
        return retention.cutoff(connection, days * DAY)


def counted(database: Database) -> dict[str, int]:
    tables = (Job, Image, Node, Event, Delivery, Call)
    with database.read() as connection:
        return {
            t.__tablename__: connection.execute(select(func.count()).select_from(t)).scalar_one()
            for t in tables
        }


def put(services: Services, sha: str, age: float = 2 * FRESH_SECONDS) -> Path:
    services.blobs.put(sha, b"12345")
    [path] = services.settings.home.rglob(sha)
    at = path.stat().st_mtime - age
    os.utime(path, (at, at))
    return path


def test_an_old_job_is_deleted_with_its_rows_but_its_paid_replies_stay(
    services: Services, database: Database
) -> None:
    ended(database)
    kept = ended(database, ago=DAY)
    running = jobs.submit(database, [2])
    had = counted(database)
    pruned = prune(services, before(database))
    assert (pruned.jobs, pruned.images, pruned.deliveries, pruned.kept_calls) == (1, 4, 1, 1)
    assert pruned.nodes == 3
    left = counted(database)
    assert left["calls"] == had["calls"] == 2
    assert left["jobs"] == 2
    assert left["events"] == had["events"] - pruned.events > 0
    assert left["deliveries"] == 1
    assert jobs.statuses(database, Image, running) == ["pending", "pending"]
    assert jobs.the_job(database, kept).status == "completed"
    assert prune(services, before(database)).jobs == 0


def test_a_paid_reply_is_reused_after_prune_unless_the_ledger_is_pruned(
    services: Services, database: Database
) -> None:
    first, second = ended(database), ended(database)
    prune(services, before(database), ledger=False)
    with database.read() as connection:
        reply = ledger.answered(connection, f"key of {first}")
    assert reply == Reply("paid", "", "stop", Usage(0, 0, 0), None, "m")
    # the jobs are already deleted: calls are deleted by their own age
    assert prune(services, before(database), ledger=True, dry_run=True).calls == 2
    assert prune(services, before(database), ledger=True).calls == 2
    with database.read() as connection:
        assert ledger.answered(connection, f"key of {second}") is None


def test_a_call_in_flight_stays_in_the_ledger(services: Services, database: Database) -> None:
    job = ended(database)
    with database.write() as connection:
        connection.execute(update(Call).values(status="started"))
    assert prune(services, before(database), ledger=True).jobs == 1
    with database.read() as connection:
        assert connection.execute(select(Call.status, Call.job_id)).all() == [("started", None)]
    assert job


@pytest.mark.parametrize("status", ["running", "paused"])
def test_a_job_that_has_not_ended_stays_at_any_age(
    services: Services, database: Database, status: str
) -> None:
    ended(database)
    with database.write() as connection:
        connection.execute(update(Job).values(status=status))
    assert prune(services, before(database), ledger=True).jobs == 0
    assert counted(database)["jobs"] == 1


def test_a_job_with_an_undelivered_webhook_stays(services: Services, database: Database) -> None:
    ended(database)
    with database.write() as connection:
        connection.execute(update(Delivery).values(status="open"))
    assert prune(services, before(database)).jobs == 0


def test_a_job_that_is_reopened_meanwhile_stays(database: Database) -> None:
    job = ended(database)
    with database.write() as connection:
        connection.execute(update(Job).where(Job.id == job).values(status="running"))
        assert not retention.forget_job(connection, job, before(database) + 1)
        assert retention.forget_history(connection, job, before(database) + 1) == 0
    assert counted(database)["images"] == 4


def test_only_jobs_of_the_label_are_deleted(services: Services, database: Database) -> None:
    ended(database, label="shop")
    other = ended(database, label="lab")
    assert prune(services, before(database), label="shop", ledger=True).calls == 1
    with database.read() as connection:
        assert connection.execute(select(Job.id)).scalars().all() == [other]
        assert connection.execute(select(Call.job_id)).scalars().all() == [other]


def test_unreferenced_blobs_are_deleted(services: Services, database: Database) -> None:
    mine, shared, fresh = "1" * 64, "2" * 64, "3" * 64
    ended(database, shas=(mine, shared, fresh))
    ended(database, ago=DAY, shas=(shared,))
    paths = [put(services, mine), put(services, shared), put(services, fresh, age=0.0)]
    assert prune(services, before(database), dry_run=True).jobs == 1
    assert all(path.exists() for path in paths)
    pruned = prune(services, before(database))
    assert (pruned.blobs, pruned.blob_bytes) == (1, 5)
    assert [path.exists() for path in paths] == [False, True, True]


def test_the_bytes_of_a_first_look_are_deleted_too(services: Services, database: Database) -> None:
    first, again, shared = "1" * 64, "2" * 64, "3" * 64
    job = ended(database, shas=(again, again))
    ended(database, ago=DAY, shas=(shared,))
    with database.write() as connection:
        for row, sha in zip(jobs.rows(connection, Image, job), (first, shared), strict=False):
            values = {"look": 2, "first_sha256": sha}
            connection.execute(update(Image).where(Image.id == row.id).values(**values))
    paths = [put(services, sha) for sha in (first, again, shared)]
    assert prune(services, before(database)).blobs == 2
    assert [path.exists() for path in paths] == [False, False, True]


def test_history_is_deleted_in_batches(
    services: Services, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PIECE", 3)
    ended(database)
    events = counted(database)["events"]
    assert events > 9
    assert prune(services, before(database)).events == events
    assert counted(database) == dict.fromkeys(
        ("jobs", "images", "nodes", "events", "deliveries"), 0
    ) | {"calls": 1}


def test_a_job_with_split_nodes_is_deleted(services: Services, database: Database) -> None:
    job = jobs.submit(database, [4])
    jobs.upload_all(database, job)
    root = jobs.root_of(database, job)
    token = jobs.run_node(database, root)
    images = [row.id for row in jobs.look(database, Image, job)]
    moved = Moved()
    with database.write() as connection:
        assert state.split_leaf(connection, root, token, [images[:2], images[2:]], moved)
    jobs.finish_all(database, moved)
    pruned = prune(services, before(database, days=-1))
    assert pruned.nodes > 2
    assert counted(database)["nodes"] == 0


def overstory(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "overstory", "prune", *words], capture_output=True, text=True
    )


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_command_reports_what_it_deleted(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OVERSTORY_DATABASE_URL", database.url)
    job = ended(database, label="shop")
    dry = overstory("--older-than", "90d", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "would prune 1 job that ended before" in dry.stdout
    assert f"job {job} (shop): completed" in dry.stderr
    told = json.loads(overstory("--older-than", "12w", "--json").stdout)
    assert (told["jobs"], told["images"], told["kept_calls"]) == (1, 4, 1)
    assert told["dry_run"] is False
    assert "nothing to prune" in overstory("--older-than", "1h").stdout
    assert "no job ended before" in (last := overstory("--older-than", "1h", "--ledger").stdout)
    assert "deleted 1 paid reply from the ledger" in last


@pytest.mark.parametrize(
    "words",
    [(), ("--older-than", "soon"), ("--older-than", "90"), ("--older-than", "0.9h")],
)
def test_an_age_needs_a_unit_and_is_at_least_an_hour(words: tuple[str, ...]) -> None:
    assert overstory(*words).returncode == 2
