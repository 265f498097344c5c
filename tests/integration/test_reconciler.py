"""The reconciler's rounds: lost work continues, and leased work stays with its holder."""

from __future__ import annotations

import json
import shutil
import threading
from dataclasses import asdict, dataclass
from itertools import pairwise

import pytest

from clients.provider.client import Provider
from clients.spool import Spooled
from core.errors import AccountPaused
from core.states import CallStatus, JobStatus, NodeStatus
from models import ledger, provider_files, repair
from models.engine import Database
from models.tables import Call, Node
from overstory.local.job_runner import take_up, tidy_up
from tasks.account import NO_BALANCE, pause_account
from tasks.upkeep.reconciler import PROBE_SECONDS, Reconciler
from tests.support import jobs
from tests.support.account import on_one_database
from tests.support.calls import answered, open_call, reply

LEASE = 20.0


@dataclass
class Clocks:
    """Our clock and the database's, which run together until a test moves one of them."""

    ours: float = 100.0
    database: float = 1_000_000.0

    def move(self, seconds: float) -> None:
        self.ours += seconds
        self.database += seconds


@pytest.fixture
def clocks(monkeypatch) -> Clocks:
    clocks = Clocks()
    monkeypatch.setattr(repair, "moment", lambda connection: clocks.database)
    return clocks


@pytest.mark.parametrize("how", ["its clock is set", "the machine sleeps"])
def test_leases_expired_by_a_clock_jump_are_kept_for_one_lease_length(
    open_account, database, clocks, how
):
    services = open_account(start=False, lease_seconds=LEASE).services
    (leaf,) = jobs.upload_all(database, jobs.submit(database, [1])).leaves
    jobs.run_node(database, leaf)
    reconciler = Reconciler(services, clock=lambda: clocks.ours)
    reconciler.tick()
    clocks.move(1.0)
    reconciler.tick()
    jobs.expire(database, Node)
    clocks.database += 3600.0
    if how == "the machine sleeps":
        clocks.ours += 3600.0
    for _ in range(20):
        reconciler.tick()
        assert jobs.the_node(database, leaf).status == NodeStatus.RUNNING
        clocks.move(1.0)
    reconciler.tick()
    assert jobs.the_node(database, leaf).status == NodeStatus.READY


def test_leases_that_expire_normally_are_reclaimed_at_once(open_account, database, clocks):
    services = open_account(start=False, lease_seconds=LEASE).services
    (leaf,) = jobs.upload_all(database, jobs.submit(database, [1])).leaves
    jobs.run_node(database, leaf)
    reconciler = Reconciler(services, clock=lambda: clocks.ours)
    for _ in range(int(LEASE)):
        reconciler.tick()
        clocks.move(1.1)
        clocks.database += 0.1
    jobs.expire(database, Node)
    reconciler.tick()
    assert jobs.the_node(database, leaf).status == NodeStatus.READY


# --- paid replies on disk


def spooled(services, name: str, content: object) -> None:
    services.spool.folder.mkdir(parents=True, exist_ok=True)
    written = content if isinstance(content, str) else json.dumps(content)
    (services.spool.folder / name).write_text(written)


@pytest.mark.parametrize("content", ["", "{", "[]", {"call_id": 1}, {"reply": {"usage": {"x": 1}}}])
def test_an_unreadable_spool_file_is_kept_and_does_not_block_others(
    open_account, database, content
):
    services = open_account(start=False).services
    job = jobs.submit(database, [1])
    call, expired = open_call(database, job), open_call(database, job, "x", seconds=0.0)
    spooled(services, "call-0.json", content)
    services.spool.keep(Spooled(call, 0.1, reply(), "k" * 64))
    Reconciler(services).tick()
    assert dict(zip((call, expired), jobs.statuses(database, Call, job), strict=True)) == {
        call: CallStatus.SETTLED,
        expired: CallStatus.UNKNOWN,
    }
    assert [path.name for path in services.spool.folder.iterdir()] == ["call-0.json"]


def test_a_spooled_reply_is_settled_only_in_its_own_database(
    open_account, tmp_path, migrated_sqlite, database
):
    """Two databases with one home, like production and test on one machine."""
    shutil.copy(migrated_sqlite, tmp_path / "trial.db")
    trial = Database(f"sqlite:///{tmp_path / 'trial.db'}")
    ours = open_account(start=False).services
    theirs = open_account(start=False, database_url=trial.url).services
    calls = [
        open_call(each, jobs.submit(each, [1]), key)
        for each, key in ((database, "ours"), (trial, "theirs"))
    ]
    assert calls[0] == calls[1]
    theirs.spool.keep(Spooled(calls[1], 0.1, reply("to theirs"), "theirs"))
    ours.spool.keep(Spooled(calls[0], 0.1, reply("to ours"), "ours"))
    Reconciler(ours).tick()
    assert answered(database, "ours").text == "to ours"
    assert answered(trial, "theirs") is None
    Reconciler(theirs).tick()
    assert answered(trial, "theirs").text == "to theirs"
    assert not list(ours.spool.waiting())
    trial.dispose()


def test_a_reply_that_cannot_be_settled_does_not_block_others(open_account, database, monkeypatch):
    services = open_account(start=False).services
    job = jobs.submit(database, [1])
    refused, call = (open_call(database, job, key) for key in ("refused", "taken"))
    settle = ledger.settle

    def settling(connection, call_id, *words):
        if call_id == refused:
            raise ValueError("what no database takes")
        settle(connection, call_id, *words)

    monkeypatch.setattr(ledger, "settle", settling)
    for call_id, key in ((refused, "refused"), (call, "taken")):
        services.spool.keep(Spooled(call_id, 0.1, reply(), key))
    Reconciler(services).tick()
    assert answered(database, "taken") is not None
    assert [left.key for _, left in services.spool.waiting()] == ["refused"]


def test_an_old_spooled_reply_without_a_key_is_settled_by_its_call_id(open_account, database):
    services = open_account(start=False).services
    call = open_call(database, jobs.submit(database, [1]), "k")
    old = asdict(Spooled(call, 0.1, reply("an old one")))
    del old["key"]
    spooled(services, f"call-{call}.json", old)
    Reconciler(services).tick()
    assert answered(database, "k").text == "an old one"
    assert not list(services.spool.waiting())


# --- cleaning up


def test_a_hanging_deletion_does_not_block_the_reconciler(open_account, database, monkeypatch):
    services = open_account(start=False).services
    (leaf,) = jobs.upload_all(database, jobs.submit(database, [1])).leaves
    jobs.run_node(database, leaf)
    came, go = threading.Event(), threading.Event()

    def hang(file_id: str) -> bool:
        came.set()
        return go.wait(120.0)

    monkeypatch.setattr(services.provider, "delete_file", hang)
    with database.write() as connection:
        provider_files.adopt(connection, services.account, "a" * 64, "file-1", 100)
    reconciler = Reconciler(services)
    reconciler.tick()
    assert came.wait(60.0)
    jobs.expire(database, Node)
    reconciler.tick()
    assert jobs.the_node(database, leaf).status == NodeStatus.READY
    go.set()
    assert reconciler.tidying is not None
    reconciler.tidying.result(60.0)
    with database.read() as connection:
        assert provider_files.counts(connection, services.account) == (0, 0)
        assert not provider_files.any_undeleted(connection, services.account)


def test_a_run_ends_after_the_deletions_that_its_reconciler_has_begun(
    open_account, database, monkeypatch
):
    """Closing the services cancels deletions: the file would stay until a later run."""
    services = open_account(start=False).services
    came, go = threading.Event(), threading.Event()

    def slow(file_id: str) -> bool:
        came.set()
        return go.wait(120.0)

    monkeypatch.setattr(services.provider, "delete_file", slow)
    with database.write() as connection:
        provider_files.adopt(connection, services.account, "a" * 64, "file-1", 100)
    Reconciler(services).tick()
    assert came.wait(60.0)
    last = threading.Thread(target=tidy_up, args=(services, threading.Event()))
    last.start()
    last.join(0.5)
    assert last.is_alive()
    go.set()
    last.join(60.0)
    with database.read() as connection:
        assert not provider_files.any_undeleted(connection, services.account)
        assert provider_files.counts(connection, services.account) == (0, 0)


@on_one_database
@pytest.mark.parametrize("reported", [None, 3.5], ids=["no balance is told", "it is positive"])
def test_an_account_that_is_refused_again_and_again_is_tried_less_and_less(
    open_account, database, clocks, monkeypatch, reported
):
    services = open_account(start=False).services
    monkeypatch.setattr(Provider, "balance", lambda self: reported)
    jobs.submit(database, [1], account=services.account)
    reconciler = Reconciler(services, clock=lambda: clocks.ours)
    pause_account(services, AccountPaused("crossed budget"))
    tries = []
    for _ in range(400):
        reconciler.tick()
        if services.limiter.paused() is None:
            tries.append(clocks.ours)
            pause_account(services, AccountPaused("crossed budget"))
        clocks.move(PROBE_SECONDS)
    gaps = [round(after - before) for before, after in pairwise(tries)]
    assert gaps == [5, 10, 20, 40, 80, 160, 300, 300, 300, 300, 300]


@on_one_database
def test_an_account_whose_empty_balance_was_read_is_tried_when_it_is_positive(
    open_account, database, clocks, monkeypatch
):
    services = open_account(start=False).services
    balance = [0.0]
    monkeypatch.setattr(Provider, "balance", lambda self: balance[0])
    reconciler = Reconciler(services, clock=lambda: clocks.ours)
    for _ in range(3):  # nobody waits for what an earlier pause had reached
        balance[0] = 0.0
        pause_account(services, AccountPaused("402"))
        for _ in range(60):
            reconciler.tick()
            clocks.move(1.0)
        assert services.limiter.paused() == NO_BALANCE
        balance[0] = 1.0
        for _ in range(6):
            reconciler.tick()
            clocks.move(1.0)
        assert services.limiter.paused() is None


@on_one_database
def test_a_job_that_a_person_resumes_is_tried_at_once(open_account, database, clocks, monkeypatch):
    services = open_account(start=False).services
    monkeypatch.setattr(Provider, "balance", lambda self: None)
    resumed, other = (jobs.submit(database, [1], account=services.account) for _ in range(2))
    reconciler = Reconciler(services, clock=lambda: clocks.ours, next_try=clocks.ours + 300.0)
    pause_account(services, AccountPaused("402"))
    reconciler.tick()
    assert services.limiter.paused() == NO_BALANCE
    take_up(services, resumed)
    clocks.move(PROBE_SECONDS)
    reconciler.tick()
    assert services.limiter.paused() is None
    assert jobs.the_job(database, other).status == JobStatus.RUNNING
