"""Commands in a folder with modules that have the names of our packages."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command import Person

MINE = "raise RuntimeError('a module of the person, not for Overstory')\n"
NAMES = ("tasks", "models", "workers", "core", "clients", "migrations", "overstory")


@pytest.fixture(autouse=True)
def _modules(tmp_path: Path) -> None:
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(MINE)


def test_a_run_and_a_service_load_our_own_packages(
    person: Person, make_images: Callable[..., Path]
) -> None:
    ran = person.run(make_images(2))
    assert ran.status == 0, ran.err
    up = person.say("up", "--detach", "--flower-port", "0")
    try:
        assert up.status == 0, up.err
        assert person.run(make_images(3)).status == 0
    finally:
        person.say("down")
    logs = [log.read_text() for log in (person.home / "logs").iterdir()]
    assert logs
    assert not any("a module of the person" in log for log in logs)


def test_the_module_is_run_from_its_own_place(tmp_path: Path) -> None:
    (tmp_path / "overstory.py").unlink()  # which Python would run instead
    words = [sys.executable, "-m", "overstory", "--version"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert "version" in done.stdout, done.stderr
