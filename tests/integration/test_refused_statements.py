"""Only a database's own trouble is waited for. What it refuses for good ends with the reason."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import DataError, IntegrityError, OperationalError

from core.errors import DatabaseRefused, InputRefused, ServiceAway, WrongUsage
from core.jobs import JobSpec
from core.outcomes import Done
from core.states import ImageStatus
from models import claims
from models.engine import Database, is_away
from models.reads import lineage
from models.state import PreparedImage
from models.tables import Image, Job
from tasks import image_slices, preprocess
from tasks.submit import submit, submit_task
from tests.support import jobs
from tests.support.account import Account
from tests.support.postgres import TEMPLATE, Postgres
from workers.app import make_app

LONG = f"https://a.example/{secrets.token_hex(2_000)}.jpg"
"""Random, because PostgreSQL compresses what it indexes."""


@pytest.mark.parametrize(
    ("state", "away"),
    [
        (None, True),  # the connection failed
        ("08006", True), ("53100", True), ("53300", True), ("57P01", True), ("57P03", True),
        ("58030", True), ("25006", True), ("40001", True), ("40P01", True), ("55P03", True),
        ("54000", False), ("22021", False), ("23505", False), ("42P01", False), ("57014", False),
    ],
)  # fmt: skip
def test_only_some_states_of_postgresql_mean_that_it_is_away(state: str | None, away: bool) -> None:
    error = OperationalError("INSERT", {}, SimpleNamespace(sqlstate=state))  # type: ignore[arg-type]
    assert is_away(error) is away


@pytest.mark.parametrize(
    ("name", "away"),
    [
        ("SQLITE_BUSY", True), ("SQLITE_BUSY_SNAPSHOT", True), ("SQLITE_LOCKED", True),
        ("SQLITE_CANTOPEN", True), ("SQLITE_IOERR_WRITE", True), ("SQLITE_FULL", True),
        ("SQLITE_ERROR", False), ("SQLITE_TOOBIG", False), ("SQLITE_MISMATCH", False),
    ],
)  # fmt: skip
def test_only_some_codes_of_sqlite_mean_that_it_is_away(name: str, away: bool) -> None:
    error = OperationalError("INSERT", {}, SimpleNamespace(sqlite_errorname=name))  # type: ignore[arg-type]
    assert is_away(error) is away


def test_a_wrong_statement_is_not_waited_for(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    with pytest.raises(DatabaseRefused, match="no such table"), database.read() as connection:
        connection.execute(text("SELECT * FROM jobs"))
    database.dispose()
    nowhere = Database(f"sqlite:///{tmp_path}/no/such/folder.db")
    with pytest.raises(ServiceAway, match="unable to open"), nowhere.read():
        pass
    nowhere.dispose()


def test_an_error_does_not_quote_what_people_wrote(database: Database) -> None:
    job = jobs.submit(database)
    secret = {**jobs.the_job(database, job)._mapping, "ask": "a secret question"}
    with pytest.raises(IntegrityError) as told, database.write() as connection:
        connection.execute(insert(Job).values(**secret))
    assert "secret question" not in str(told.value)


# --- names and locations of any length


def test_a_long_url_is_submitted_and_found_again(open_account: Callable[..., Account]) -> None:
    account = open_account(start=False)
    spec = JobSpec(images=[LONG], ask="What?")
    job = submit(account.services, spec).job_id
    assert account.job(job).submitted == 1
    database = account.services.database
    jobs.finish_all(database, jobs.upload_all(database, job))
    (row,) = jobs.look(database, Image, job)
    assert row.location == LONG
    with database.read() as connection:
        family = account.job(job).family
        found = lineage.newest_alike(connection, family or "", [(row.name, row.location)])
    assert found == job


def test_a_longer_location_is_refused(open_account: Callable[..., Account]) -> None:
    services = open_account(start=False).services
    given = "https://a.example/" + "ü" * 4_100
    with pytest.raises(InputRefused, match="longer than 8,192 bytes"):
        submit(services, JobSpec(images=[given], ask="What?"))


def test_the_index_finds_names_on_postgresql(postgresql: Database) -> None:
    job = jobs.submit(postgresql, [200])
    assert job
    asked = lineage._sharing([(f"0-{n}.jpg", f"/0-{n}.jpg") for n in range(40)])
    with postgresql.write() as connection:
        connection.execute(text("ANALYZE images"))
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        compiled = asked.compile(postgresql.engine, compile_kwargs={"literal_binds": True})
        plan = "\n".join(connection.execute(text(f"EXPLAIN {compiled}")).scalars())
    assert "ix_images_name_hash" in plan


# --- what a real PostgreSQL refuses


@pytest.fixture
def postgresql(postgres: Postgres) -> Iterator[Database]:
    with postgres.database(TEMPLATE) as url:
        database = Database(url)
        yield database
        database.dispose()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.timeout(60)
def test_a_submission_that_the_database_refuses_fails_with_the_reason(
    open_account: Callable[..., Account], database: Database
) -> None:
    """The limit of a tree index, which was taken for a database that does not answer."""
    account = open_account(start=False)
    with database.write() as connection:
        connection.execute(text("CREATE INDEX of_somebody_else ON images (location)"))
    app = make_app(account.services.settings)
    app._services = (os.getpid(), account.services)
    with app, pytest.raises(DatabaseRefused, match="index row"):
        app.tasks[submit_task.name](images=[LONG], ask="What?", key="long")


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_result_that_the_database_refuses_fails_its_image_alone(
    open_account: Callable[..., Account], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = open_account(start=False, attempts_max=2)
    job = jobs.submit(database, [3], account=account.services.account)

    def results(services: object, images: list[claims.ImageWork]) -> list[Done[PreparedImage]]:
        return [
            Done(PreparedImage("a" * 64, None, "image/jpeg", 8, 8, 9, 9, remark))
            for remark in ["fine", "a\0b", "fine"][: len(images)]
        ]

    stage = image_slices.ImageStage(preprocess.STAGE.stage, results, preprocess.STAGE.record)  # type: ignore[arg-type]
    image_slices.run_slice(account.services, stage)
    found = [(row.status, row.attempts) for row in jobs.look(database, Image, job)]
    assert found == [("prepared", 0), ("pending", 1), ("prepared", 0)]
    bad = jobs.look(database, Image, job)[1]
    assert "refused a statement" in bad.error
    assert account.statuses(job)[ImageStatus.PREPARED] == 2


# --- text at the border


@pytest.mark.parametrize("bad", ["a\0b.jpg", "a\ud800b.jpg"])
def test_a_path_that_no_database_stores_is_refused(
    open_account: Callable[..., Account], home: Path, bad: str
) -> None:
    services = open_account(start=False, input_roots=("/",)).services
    for by_message in (False, True):
        for given in (bad, f"https://a.example/{bad}"):
            with pytest.raises(WrongUsage, match=r"images: .*NUL or half a UTF-16 pair"):
                submit(services, JobSpec(images=[given], ask="?"), by_message=by_message)


def test_a_message_gives_no_bytes_as_surrogates_and_a_person_may(
    open_account: Callable[..., Account], tmp_path: Path
) -> None:
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    Path(folder).mkdir()
    (Path(folder) / "1\x9b\u202e\x1b.jpg").write_bytes(b"\xff\xd8\xff 1")
    account = open_account(start=False, input_roots=(str(tmp_path),))
    with pytest.raises(WrongUsage, match="images: "):
        submit(account.services, JobSpec(images=[folder], ask="?"), by_message=True)
    for given, by_message in ((folder, False), (str(tmp_path), True)):
        spec = JobSpec(images=[given], ask="?", fresh=True)
        job = submit(account.services, spec, by_message=by_message).job_id
        (row,) = jobs.look(account.services.database, Image, job)
        assert row.name.endswith("1\\x9b\\u202e\\x1b.jpg")
        assert (row.location + row.root).encode().isascii() or "\u202e" in row.location
        work: Any = SimpleNamespace(**row._mapping)
        with preprocess.local_file(account.services, work) as place:
            assert preprocess.local_files.read_ahead(place) in (True, False)
            with preprocess.local_files.opened(place) as (file, _):
                assert file.read().endswith(b" 1")


def test_a_data_error_is_a_refusal() -> None:
    assert not is_away(DataError("INSERT", {}, ValueError("NUL")))
