"""Webhooks: signed, sent once, retried after failures, never to private addresses."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select, update

from clients.webhooks import Answer, Messenger
from core.errors import WrongUsage
from core.jobs import parse_spec
from core.settings import load
from models import deliveries, repair, state
from models.deliveries import DeliveryWork
from models.engine import Database
from models.state import Moved
from models.tables import Delivery
from tasks.runtime.services import Services
from tasks.submit import submit
from tasks.upkeep import webhooks
from tasks.upkeep.webhooks import Notifier, messenger_of
from tests.support import jobs
from tests.support.receiver import SECRET, Receiver
from tests.support.waiting import eventually
from workers.app import make_app
from workers.services import build_services

OLD = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"


@pytest.fixture
def services(database: Database) -> Iterator[Services]:
    given = {"webhook_secret": f"{OLD} {SECRET}", "webhook_hosts": ("127.0.0.1",)}
    settings = load(
        database_url=database.url,
        broker_url="redis://127.0.0.1:1/0",
        webhook_attempts_max=3,
        **given,
    )
    made = build_services(settings, make_app(settings))
    made.send = lambda stage, **shown: None  # no broker in this test
    yield made
    made.database.dispose()


@pytest.fixture
def notifier(services: Services) -> Notifier:
    messenger = messenger_of(services)
    assert messenger is not None
    return Notifier(services, messenger)


def told_of(database: Database, url: str) -> str:
    """A job whose end is reported to ``url``."""
    job = jobs.submit(database, [2])
    with database.write() as connection:
        deliveries.open_delivery(connection, job, url)
    return job


def end(database: Database, job: str) -> None:
    with database.write() as connection:
        state.job_cancelled(connection, job, Moved())


def row(database: Database) -> Any:
    with database.read() as connection:
        return connection.execute(select(Delivery.__table__)).one()


def tick(notifier: Notifier) -> int:
    """One round, with the ends of its deliveries."""
    begun = notifier.tick()
    notifier.finish()
    return begun


def make_due(database: Database) -> None:
    with database.write() as connection:
        connection.execute(update(Delivery).values(due_at=0.0))


def test_an_end_is_delivered_once_and_verifies(
    notifier: Notifier, database: Database, receiver: Receiver
) -> None:
    job = told_of(database, receiver.url)
    assert tick(notifier) == 0  # it has not ended
    jobs.finish_all(database, jobs.upload_all(database, job))
    assert (tick(notifier), tick(notifier)) == (1, 0)
    told = receiver.got[0]
    assert told["type"] == "job.completed"
    assert told["data"]["job"] == job
    assert told["data"]["coverage"]["included"] == 2
    assert told["data"]["answer"]
    assert (row(database).status, row(database).http_status) == ("delivered", 204)


def test_a_failed_delivery_is_retried_with_the_same_id(
    notifier: Notifier, database: Database, receiver: Receiver
) -> None:
    end(database, told_of(database, receiver.url))
    receiver.status = 500
    assert (tick(notifier), tick(notifier)) == (1, 0)  # it waits until it is due
    assert row(database).error == "500 Internal Server Error: as told"
    assert row(database).due_at > 0
    receiver.status = 200
    make_due(database)
    tick(notifier)
    assert row(database).status == "delivered"
    assert receiver.ids[0] == receiver.ids[1]


@pytest.mark.parametrize(("status", "attempts"), [(500, 3), (301, 3), (410, 1)])
def test_a_refusing_receiver_is_given_up(
    notifier: Notifier, database: Database, receiver: Receiver, status: int, attempts: int
) -> None:
    end(database, told_of(database, receiver.url))
    receiver.status = status
    for _ in range(5):
        make_due(database)
        tick(notifier)
    assert (row(database).status, len(receiver.got)) == ("failed", attempts)


def test_a_job_that_ends_again_is_delivered_again(
    notifier: Notifier, database: Database, receiver: Receiver
) -> None:
    job = told_of(database, receiver.url)
    end(database, job)
    tick(notifier)
    with database.write() as connection:
        repair.reopen(connection, job, Moved())
    assert tick(notifier) == 0
    end(database, job)
    assert (tick(notifier), tick(notifier)) == (1, 0)
    assert len(set(receiver.ids)) == 2


@pytest.mark.parametrize("ends_again", [False, True])
def test_a_job_reopened_before_delivery_is_delivered_at_its_next_end(
    notifier: Notifier,
    database: Database,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    ends_again: bool,
) -> None:
    job = told_of(database, receiver.url)
    end(database, job)
    post = Notifier._post

    def taken_up(self: Notifier, work: DeliveryWork) -> Answer | None:
        with database.write() as connection:
            repair.reopen(connection, job, Moved())
        if ends_again:
            end(database, job)
        return post(self, work)

    with monkeypatch.context() as patched:
        patched.setattr(Notifier, "_post", taken_up)
        tick(notifier)
    assert receiver.got == []
    if not ends_again:
        assert tick(notifier) == 0
        end(database, job)
    assert (tick(notifier), tick(notifier)) == (1, 0)
    assert [told["type"] for told in receiver.got] == ["job.cancelled"]
    assert row(database).attempts == 1


def test_two_notifiers_deliver_once(
    notifier: Notifier, database: Database, receiver: Receiver
) -> None:
    for _ in range(6):
        end(database, told_of(database, receiver.url))
    other = Notifier(notifier.services, notifier.messenger)
    counts = jobs.at_once(lambda n: tick((notifier, other)[n % 2]), range(16), threads=4)
    assert sum(counts) == 6
    assert len(set(receiver.ids)) == len(receiver.ids) == 6


def test_an_undeliverable_webhook_does_not_block_the_others(
    notifier: Notifier, database: Database, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "TICK_SECONDS", 0.01)
    end(database, told_of(database, receiver.url))
    real, failures = notifier.tick, [KeyError("a bug")]

    def failing(self: Notifier) -> int:
        if failures:
            raise failures.pop()
        return real()

    monkeypatch.setattr(Notifier, "tick", failing)
    thread = notifier.start()
    eventually(lambda: receiver.got)
    notifier.services.stopping.set()
    thread.join()
    assert len(receiver.got) == 1


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.7", "169.254.169.254", "::1"])
def test_a_name_may_not_lead_inside(address: str) -> None:
    messenger = Messenger(SECRET, resolve=lambda host, port: [address])
    answer = messenger.post("http://inside.example/x", "msg_1", "{}", at=datetime.now(UTC))
    assert not answer.taken
    assert "not a public address" in str(answer.error)


def test_an_unreachable_receiver_is_told_in_words() -> None:
    messenger = Messenger(SECRET, hosts=("127.0.0.1",))
    answer = messenger.post("http://127.0.0.1:1/x", "msg_1", "{}", at=datetime.now(UTC))
    assert (answer.status, "refused" in str(answer.error)) == (None, True)


def test_a_submission_can_request_a_webhook(services: Services, make_images: Any) -> None:
    given = {"images": [str(make_images(2))], "ask": "?", "webhook": "https://shop.example/hook"}
    submit(services, parse_spec(given))
    assert row(services.database).url == "https://shop.example/hook"


def test_unsigned_webhooks_are_never_sent(services: Services, make_images: Any) -> None:
    services.settings = services.settings.model_copy(update={"webhook_secret": None})
    assert messenger_of(services) is None
    given = {"images": [str(make_images(2))], "ask": "?", "webhook": "https://shop.example/hook"}
    with pytest.raises(WrongUsage, match="WEBHOOK_SECRET"):
        submit(services, parse_spec(given))
    with pytest.raises(WrongUsage, match="webhook"):
        parse_spec({"images": ["a"], "ask": "?", "webhook": "ftp://shop.example"})


def test_a_receiver_with_a_slow_reply_is_given_up_in_time():
    """One deadline covers the whole exchange, so one slow receiver cannot hold up the others."""

    def drip() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            while not given_up.wait(0.01):
                connection.sendall(b"a")

    given_up = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dripping = threading.Thread(target=drip)
        dripping.start()
        messenger = Messenger(SECRET, hosts=("127.0.0.1",), timeout_seconds=0.3)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        answer = messenger.post(url, "id", "{}", datetime.now(UTC))
        given_up.set()
        dripping.join()
    assert answer == Answer(None, "it took longer than 0.3 s")


@contextlib.contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """The URL of a receiver that answers each connection with these bytes."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    connection.recv(65_536)
                    connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize(
    "answer",
    [
        b"\0",
        b"HTTP/1.1 500 a\0b\r\n\r\n",
        b"HTTP/1.1 500 \x9b2J\r\n\r\n\0\x1b[31m\n\n\n",
        b"HTTP/1.1 \0 x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n\0\r\n",
        b"HTTP/1.1 500 " + b"x" * 60_000 + b"\r\n\r\n",
    ],
)
def test_what_a_receiver_answers_is_kept_as_one_short_line(
    notifier: Notifier, database: Database, answer: bytes
) -> None:
    """A NUL in the status line, or in an error about it, was refused by PostgreSQL each time."""
    with answering(answer) as url:
        end(database, told_of(database, url))
        assert tick(notifier) == 1
    kept = row(database)
    assert (kept.status, kept.attempts, kept.lease_until) == ("open", 1, 0.0)
    assert kept.error
    assert kept.error.isprintable()
    assert len(kept.error) <= 1_003


@contextlib.contextmanager
def holding(data: bytes) -> Iterator[tuple[str, list[socket.socket]]]:
    """A receiver that sends ``data`` to each connection for ever, and its open connections."""

    def hold(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while not ended.wait(0.01):
                connection.sendall(data)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                held.append(connection)
                threading.Thread(target=hold, args=[connection], daemon=True).start()

    held: list[socket.socket] = []
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://slow.example:{listener.getsockname()[1]}/", held
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize(
    "data", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: y\r\n", b""]
)
def test_a_receiver_that_never_ends_delays_nobody_else(
    services: Services, database: Database, receiver: Receiver, data: bytes
) -> None:
    """With 40 of its own due before, and with no time limit that could end it."""
    hosts = ("slow.example", "127.0.0.1")
    local = Messenger(SECRET, hosts, 3_600.0, resolve=lambda host, port: ["127.0.0.1"])
    notifier = Notifier(services, local)
    with holding(data) as (url, held):
        for _ in range(40):
            end(database, told_of(database, url))
        assert notifier.tick() == webhooks.AT_ONCE_A_HOST
        eventually(lambda: len(held) == webhooks.AT_ONCE_A_HOST)
        end(database, told_of(database, receiver.url))
        assert notifier.tick() == 1
        eventually(lambda: receiver.got)
        assert notifier.tick() == 0  # the slow one has all that it may have
        assert len(held) == webhooks.AT_ONCE_A_HOST
        other = Notifier(services, local)  # in another process
        assert other.tick() == webhooks.AT_ONCE_A_HOST
    for each in (notifier, other):
        each.finish()


def test_what_was_not_tried_comes_before_what_failed(
    notifier: Notifier, database: Database, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "DUE_MAX", 1)
    receiver.status = 500
    failed = told_of(database, receiver.url)
    end(database, failed)
    tick(notifier)
    make_due(database)
    end(database, new := told_of(database, receiver.url))
    tick(notifier)
    assert [told["data"]["job"] for told in receiver.got] == [failed, new]
