"""``overstory account`` where the server that keeps the limits does not answer."""

from __future__ import annotations

import json

import pytest

from tests.support import shell


@pytest.mark.parametrize("name", ["OVERSTORY_BROKER_URL", "OVERSTORY_LIMITER_URL"])
def test_a_server_that_does_not_answer_is_named_by_its_setting(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "redis://127.0.0.1:1/0")
    done = shell.say("account")
    assert done.returncode == 1
    assert f"correct {name}" in done.stderr


def test_without_a_stack_nothing_is_in_flight() -> None:
    done = shell.say("account", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["state"] is None
