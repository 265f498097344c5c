"""From nothing to a first answer: ``overstory init`` on a terminal and in a script."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from overstory.sandbox.process import SandboxProcess
from tests.support.command import Person
from tests.support.ports import free_port
from tests.support.strangers import mode

pytestmark = pytest.mark.acceptance
SILENT_SECONDS = 60.0


@pytest.fixture
def server() -> Iterator[str]:
    """An endpoint with the models of StepFun, which takes any key."""
    with SandboxProcess() as sandbox:
        yield sandbox.base_url


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Person]:
    person = Person(tmp_path / "home", tmp_path, OVERSTORY_CONFIG=str(tmp_path / "new" / "c.toml"))
    yield person
    person.clean_up()


def dialogue(person: Person, *answers: tuple[str, str]) -> tuple[int, str]:
    """Run ``init`` on a terminal. Each answer is given when the screen ends with its prompt."""
    program = str(Path(sys.executable).with_name("overstory"))
    environment = os.environ | person.settings
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [program, "init"], env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown, left = "", list(answers)
    try:
        while select.select([ours], [], [], SILENT_SECONDS)[0]:
            try:
                shown += os.read(ours, 4096).decode()
            except OSError:  # the program has ended
                break
            if left and shown.rstrip().endswith(left[0][0]):
                os.write(ours, f"{left.pop(0)[1]}\n".encode())
        assert left == [], shown
        return process.wait(SILENT_SECONDS), shown
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_a_newcomer_answers_four_questions_and_gets_an_answer(
    newcomer: Person, server: str, make_images: Callable[..., Path]
) -> None:
    closed = f"http://127.0.0.1:{free_port()}/v1"
    status, shown = dialogue(
        newcomer,
        ("Number:", "12"),
        ("Base URL:", closed),
        ("not shown):", "sk-of-a-newcomer"),
        (f"[{closed}]:", server),  # the first one does not answer
        ("accepts images:", "step-3.7"),  # misspelt
        ("accepts images:", "step-3.7-flash"),
    )
    assert status == 0, shown
    assert "does not answer" in shown
    assert "not among the 5 models" in shown
    assert "sk-of-a-newcomer" not in shown
    file = Path(newcomer.settings["OVERSTORY_CONFIG"])
    assert mode(file) == 0o600
    assert 'api_key = "sk-of-a-newcomer"' in file.read_text()

    doctor = newcomer.say("doctor", "--json").result
    sources = {one["name"]: one["source"] for one in doctor["settings"]}
    assert sources["OVERSTORY_MODEL"] == sources["OVERSTORY_API_KEY"] == str(file)
    assert "sk-of-a-newcomer" not in json.dumps(doctor)
    ran = newcomer.run(make_images(2), "--json", "--yes")
    assert ran.result["coverage"]["included"] == 2


def test_a_script_is_asked_nothing_and_keeps_what_stands_in_the_file(
    newcomer: Person, server: str
) -> None:
    file = Path(newcomer.settings["OVERSTORY_CONFIG"])
    file.parent.mkdir()
    file.write_text("# ours\nrpm = 12\n")
    missing = newcomer.say("init")
    assert (missing.status, file.read_text()) == (2, "# ours\nrpm = 12\n")
    assert "--base-url" in missing.err
    unnamed = newcomer.say("init", "--base-url", server)
    assert unnamed.status == 2
    assert "step-3.7-flash" in unnamed.err

    done = newcomer.say("init", "--base-url", server, "--model", "step-3.7-flash")
    assert done.status == 0, done.err
    text = file.read_text()
    assert text.startswith("# ours\nrpm = 12\n")
    assert "step-3.7-flash" in text
    assert "api_key" not in text
