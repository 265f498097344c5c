"""The real command in real processes, against the real sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from overstory.sandbox.config import SandboxConfig
from overstory.sandbox.process import SandboxProcess
from tests.support.command import Endpoint, Person

KEYS = count()
LONG = (
    "service",
    "run",
    "seen",
    "broker_trouble",
    "faults",
    "doctor_command",
    "followups",
    "inspecting",
    "limits",
    "estimated_bill",
    "serve",
    "spending",
    "proxies",
    "traces",
    "init",
)
"""The files that take the longest, and the longest of them first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, so that no process has to wait for one that began late."""
    places = {f"test_{name}.py": place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONG)))


@pytest.fixture(scope="session")
def _sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess(tmp_path_factory.mktemp("sandbox") / "ledger.jsonl") as process:
        yield process


@pytest.fixture
def endpoint(_sandbox: SandboxProcess) -> Endpoint:
    """Has the limits of V0; calls above them are refused and counted."""
    _sandbox.configure(**SandboxConfig().model_dump(mode="json"))
    _sandbox.reset()
    return Endpoint(_sandbox, f"key-{next(KEYS)}")


@pytest.fixture
def person(home: Path, tmp_path: Path, endpoint: Endpoint) -> Iterator[Person]:
    person = Person(
        home,
        tmp_path,
        OVERSTORY_API_KEY=endpoint.key,
        OVERSTORY_BASE_URL=endpoint.process.base_url,
        OVERSTORY_TIER="V0",  # at an address of one's own the default is auto
    )
    yield person
    person.clean_up()


@pytest.fixture
def stranger(home: Path, tmp_path: Path) -> Iterator[Person]:
    """A user without a key: the command starts its own sandbox."""
    person = Person(home, tmp_path)
    yield person
    person.clean_up()
