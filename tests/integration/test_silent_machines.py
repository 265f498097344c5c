"""A machine that vanishes, and servers that answer nothing any more: no connection is closed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from core.errors import ProviderDown, ServiceAway
from models import engine
from models.engine import Database
from tasks import image_slices, infer, preprocess
from tasks.calls import reach
from tasks.calls.run import run
from tests.support.account import Account, on_one_database, prepare_and_upload
from tests.support.faults.photos import make_photos
from tests.support.postgres import Postgres
from tests.support.waiting import eventually

LOCK = text("SELECT pg_advisory_xact_lock(7)")
WAITING = text(
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE state = 'idle in transaction' AND datname = current_database()"
)


def test_the_locks_of_a_writer_that_vanished_stop_others_for_a_moment_only(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "WRITER_SECONDS", 0.3)
    with postgres.database() as url:
        vanished, other = Database(url), Database(url)
        with contextlib.ExitStack() as stack:
            stack.enter_context(pytest.raises(ServiceAway))
            silent = stack.enter_context(vanished.write())
            silent.execute(LOCK)
            with other.write() as connection:
                connection.execute(LOCK)  # the server takes it from the silent writer
            silent.execute(LOCK)
        vanished.dispose()
        other.dispose()


def test_a_reader_may_pause_for_as_long_as_it_likes(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "WRITER_SECONDS", 0.1)
    with postgres.database() as url:
        reader, other = Database(url), Database(url)
        with reader.read() as reading:
            reading.execute(text("SELECT 1"))
            with contextlib.ExitStack() as stack:
                stack.enter_context(pytest.raises(ServiceAway))
                writing = stack.enter_context(other.write())
                eventually(lambda: _idle(reader) == 1)  # the writer is gone, the reader is not
                writing.execute(text("SELECT 1"))
            assert reading.execute(text("SELECT 1")).scalar_one() == 1
        reader.dispose()
        other.dispose()


def _idle(database: Database) -> int:
    with database.read() as connection:
        return int(connection.execute(WAITING).scalar_one())


class NoBlobs:
    """A bucket behind a link that drops packets: each try waits until it is given up."""

    def __init__(self) -> None:
        self.tried = 0

    def put(self, sha256: str, data: bytes) -> None:
        self.tried += 1
        raise ServiceAway("the blob store does not answer")


@on_one_database
def test_a_blob_store_that_does_not_answer_is_tried_once_in_a_slice(
    open_account: Callable[..., Account], tmp_path: Path
) -> None:
    account = open_account(start=False)
    job = account.submit(make_photos(tmp_path / "photos", 5))
    blobs = NoBlobs()
    services = replace(account.services, blobs=blobs)  # type: ignore[arg-type]
    image_slices.run_slice(services, preprocess.STAGE)
    assert blobs.tried == 1
    image_slices.run_slice(services, preprocess.STAGE)  # the other images are due at once
    assert blobs.tried == 2
    while (left := account.statuses(job)["pending"]) > 2:
        image_slices.run_slice(account.services, preprocess.STAGE)
    assert account.statuses(job)["prepared"] == 5 - left


class Unreached:
    """The provider, on a machine that has no route to it."""

    def __init__(self) -> None:
        self.tried = 0

    def chat(self, *args: object, **kwargs: object) -> None:
        self.tried += 1
        raise ProviderDown("no route to the host", sent=False)


@on_one_database
def test_a_machine_that_does_not_reach_the_provider_uses_up_no_attempt(
    open_account: Callable[..., Account], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(reach, "MOST_SECONDS", 0.01)
    account = open_account(start=False, call_attempts_max=2)
    job = account.submit(make_photos(tmp_path / "photos", 12))
    prepare_and_upload(account, job)
    run(account.services, infer.STAGE)  # another machine reaches it: that is no outage
    provider = Unreached()
    cut_off = replace(account.services, _provider=provider)  # type: ignore[arg-type]
    for tried in range(1, 5):
        with account.services.database.write() as connection:
            connection.execute(text("UPDATE nodes SET due_at = 0 WHERE status = 'ready'"))
        run(cut_off, infer.STAGE)
        assert provider.tried == tried
    with account.services.database.read() as connection:
        tries = "SELECT attempts FROM nodes WHERE status = 'ready'"
        assert connection.execute(text(tries)).scalar_one() == 0
    account.start()
    (row,) = account.ended(job)
    assert row.status == "completed"
    assert account.statuses(job) == {"included": 12}
