"""The API key is sent to the endpoint and appears nowhere else."""

from __future__ import annotations

import json
from pathlib import Path

import redis

from tests.support.command import Endpoint, Person
from tests.support.waiting import eventually

SECRET = "sk-the-key-of-this-test-0123456789"


def test_the_key_is_in_no_file_message_process_or_output(
    person: Person, endpoint: Endpoint, make_images
):
    """The account is also refused mid-job, so that error texts and tracebacks are checked too."""
    person.settings["OVERSTORY_API_KEY"] = SECRET
    person.settings["OVERSTORY_LOG_LEVEL"] = "DEBUG"
    endpoint.process.configure(hold=True, script=["500", "reset", "429", "empty"])
    process = person.start(make_images(4))
    eventually(endpoint.in_flight)
    everywhere = words_of_processes(person) + what_the_broker_holds(person.home)
    endpoint.process.configure(refuse_keys=True, hold=False)
    ran = person.wait(process)
    everywhere += [ran.out.encode(), ran.err.encode()]
    everywhere += [path.read_bytes() for path in person.home.rglob("*") if path.is_file()]
    assert len(everywhere) > 10
    assert [text for text in everywhere if SECRET.encode() in text] == []
    assert ran.status == 1
    assert "key" in ran.err


def words_of_processes(person: Person) -> list[bytes]:
    return ["\0".join(process.cmdline()).encode() for process in person.processes()]


def what_the_broker_holds(home: Path) -> list[bytes]:
    """Every key and value of both databases of the embedded Valkey."""
    socket = json.loads((home / "run" / "stack.json").read_text())["socket"]
    found: list[bytes] = []
    for number in (0, 1):
        client = redis.Redis(unix_socket_path=socket, db=number)
        for key in client.keys("*"):
            found += [key, client.dump(key) or b""]
        client.close()
    return found
