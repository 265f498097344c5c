"""overstory.Client on both databases; acceptance/test_examples.py has it with a real service."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import overstory
from core.errors import ServiceAway, WrongUsage
from core.settings import load
from core.states import JobStatus
from models import state
from models.engine import Database
from models.state import Moved
from tests.support import jobs

NO_BROKER = "redis://127.0.0.1:1/0"


@pytest.fixture
def client(database: Database) -> Iterator[overstory.Client]:
    settings = load(database_url=database.url, broker_url=NO_BROKER)
    with overstory.Client(settings) as made:
        yield made


def answer(database: Database, job: str) -> None:
    jobs.finish_all(database, jobs.upload_all(database, job))


def test_a_status_counts_every_image(client: overstory.Client, database: Database) -> None:
    job = jobs.submit(database, [2], duplicates=1)
    status = client.status(job)
    assert (status.status, status.ended) == ("running", False)
    assert status.coverage["submitted"] == 3
    assert status.coverage["duplicate"] == 1


def test_waiting_ends_with_the_job(client: overstory.Client, database: Database) -> None:
    job = jobs.submit(database, [2])
    with pytest.raises(TimeoutError):
        client.wait(job, seconds=0)
    answer(database, job)
    assert client.wait(job).status == "completed"
    assert client.result(job)["coverage"]["included"] == 2
    assert json.dumps(client.result(job))


def test_a_result_says_how_each_included_image_is_proven(
    client: overstory.Client, database: Database
) -> None:
    job = jobs.submit(database, [3], duplicates=1)
    answer(database, job)
    jobs.prove(database, job, "line", 1)
    jobs.prove(database, job, "sent", 2)
    result = client.result(job)
    assert result["seen"] == {"answer": 0, "line": 1, "sent": 2}
    assert sum(result["seen"].values()) == result["coverage"]["included"]
    proofs = [(image["seen"], image["note"]) for image in result["images"]]
    assert proofs == [("line", "a red barn [1]"), ("sent", None), ("sent", None), (None, None)]


def test_waiting_and_streaming_end_when_a_job_is_paused_for_its_budget(
    client: overstory.Client, database: Database
) -> None:
    job, held = jobs.submit(database, [2], budget=0.5), jobs.submit(database, [2])
    with database.write() as connection:
        state.job_moved(connection, job, JobStatus.PAUSED, "budget: 0.4 of 0.50 USD is spent")
        state.job_moved(connection, held, JobStatus.PAUSED, "on request")
    assert client.wait(job).status == "paused"
    assert [event.name for event in client.events(job)][-1] == "job.paused"
    assert client.result(job)["budget"] == 0.5
    with pytest.raises(TimeoutError):
        client.wait(held, seconds=0)


def test_a_job_is_cancelled_once(client: overstory.Client, database: Database) -> None:
    job = jobs.submit(database, [2])
    assert client.cancel(job) is True
    assert client.cancel(job) is False
    assert client.status(job).coverage["skipped"] == 2


def test_events_are_streamed_to_the_end(database: Database) -> None:
    job = jobs.submit(database, [2])
    turns = iter([lambda: answer(database, job)])
    settings = load(database_url=database.url, broker_url=NO_BROKER)
    with overstory.Client(settings, sleep=lambda seconds: next(turns)()) as client:
        events = list(client.events(job))
    names = [event.name for event in events]
    assert names[0] == "job.running"
    assert names[-1] == "job.completed"
    assert [e.position for e in events if e.name == "image.included"] == [1, 2]
    assert len({event.id for event in events}) == len(events)


def test_an_event_that_is_committed_late_is_not_missed(database: Database) -> None:
    """A transaction that began first may end last: its event has a lower number."""
    job = jobs.submit(database, [1])
    turns = iter([lambda: _event(database, job, 900), lambda: _event(database, job, 800)])

    def sleep(seconds: float) -> None:
        turn = next(turns, None)
        if turn is not None:
            turn()
            return
        with database.write() as connection:
            state.job_cancelled(connection, job, Moved())

    settings = load(database_url=database.url, broker_url=NO_BROKER)
    with overstory.Client(settings, sleep=sleep) as client:
        ids = [event.id for event in client.events(job)]
    assert {800, 900} <= set(ids)
    assert len(ids) == len(set(ids))


def _event(database: Database, job: str, number: int) -> None:
    with database.write() as connection:
        connection.exec_driver_sql(
            f"INSERT INTO events (id, at, job_id, name) VALUES ({number}, 0, '{job}', 'late')"
        )


def test_wrong_fields_are_named_before_anything_is_sent(client: overstory.Client) -> None:
    with pytest.raises(WrongUsage, match="detail"):
        client.submit(["/a.jpg"], "What?", detail="enormous")
    with pytest.raises(WrongUsage, match="there is no job"):
        client.status("nobody")


def test_an_unavailable_broker_raises_service_away(client: overstory.Client) -> None:
    with pytest.raises(ServiceAway, match="broker"):
        client.submit(["/a.jpg"], "What?")


def test_the_client_is_imported_only_on_use(tmp_path: Path) -> None:
    """The command line does not import the client, and another app's Celery app stays current."""
    script = (
        "import sys, celery, overstory\n"
        "assert 'celery.app.base' not in sys.modules and 'sqlalchemy' not in sys.modules\n"
        "mine = celery.Celery('mine')\n"
        "from core.settings import load\n"
        "overstory.Client(load(broker_url='redis://127.0.0.1:1/0')).close()\n"
        "assert celery.current_app.main == 'mine'\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
