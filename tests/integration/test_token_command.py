"""``overstory token``: the secret is shown once and kept as a hash; a name is never used twice."""

from __future__ import annotations

import hashlib
import json
import re

import pytest
from sqlalchemy import select

from models import tokens
from models.tables import Token
from overstory.doctor.api import api
from overstory.doctor.context import Context
from overstory.doctor.finding import Finding, Level
from tests.support.shell import say


def told(*words: str) -> str:
    shown = say("token", *words)
    assert shown.returncode == 0, shown.stderr
    return shown.stdout


def test_a_secret_is_shown_once_and_kept_as_a_hash(own) -> None:
    shown = say("token", "create", "lab", "--budget", "20/month")
    assert shown.returncode == 0, shown.stderr
    assert re.fullmatch(r"ovs_[A-Za-z0-9_-]{43}\n", shown.stdout)  # alone, so it can be piped
    secret = shown.stdout.strip()
    assert secret not in shown.stderr
    with own.read() as connection:
        kept = connection.execute(select(Token.hash)).scalars().all()
    assert kept == [hashlib.sha256(secret.encode()).hexdigest()]


def test_tokens_are_listed_with_what_they_may_do(own) -> None:
    with own.write() as connection:
        for name, is_admin, read_only in (
            ("lab", False, False),
            ("boss", True, False),
            ("page", False, True),
        ):
            assert tokens.create(connection, name, name, is_admin, read_only, None)
    assert told("budget", "lab", "5/day") == "token lab: budget 5/day\n"
    assert told("revoke", "page") == "token page revoked\n"
    listed = {row["name"]: row for row in json.loads(told("list", "--json"))}
    assert [*listed] == ["boss", "lab", "page"]
    assert listed["boss"]["is_admin"]
    assert listed["page"]["read_only"]
    assert listed["page"]["revoked_at"] is not None
    assert (listed["lab"]["budget"], listed["lab"]["budget_period"]) == (5.0, "day")
    assert "0 of 5/day" in told("list")
    assert told("budget", "lab", "none") == "token lab: no budget\n"


def test_doctor_says_if_a_token_is_needed_and_there_is_none(own, monkeypatch) -> None:
    def finding() -> Finding:
        found = api(Context.examine({}))
        assert found is not None
        return found

    assert (finding().level, "no token yet" in finding().says) == (Level.OK, True)
    monkeypatch.setenv("OVERSTORY_API_HOSTS", "vision.internal")
    assert finding().level == Level.WARNING
    assert finding().says.startswith("answers as vision.internal and asks everybody for a token")
    assert "overstory token create" in (finding().do or "")
    with own.write() as connection:
        assert tokens.create(connection, "lab", "h", False, False, None)
    assert (finding().level, "1 token" in finding().says) == (Level.OK, True)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("create", "local"), "means jobs without a token"),
        (("create", "gone"), "there is or was a token 'gone'"),
        (("budget", "nobody", "5/day"), "there is no token 'nobody'"),
    ],
)
def test_what_cannot_be_is_refused(own, arguments, why) -> None:
    with own.write() as connection:
        assert tokens.create(connection, "gone", "h", False, False, None)
        assert tokens.revoke(connection, "gone")
    shown = say("token", *arguments)
    assert shown.returncode == 2
    assert why in shown.stderr
    assert shown.stdout == ""
