"""The gauntlet's own tools: its fault points exist in the product, and its counts are right."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.faults.crash_points import Fault, Weather, environment, happened
from tests.support.faults.judge import paid

pytestmark = pytest.mark.slow

EVERY_POINT = """
from tests.support.faults import crash_points
for install in crash_points.points().values():
    install([])
"""
PASS_THREE_TIMES = """
from tests.support.faults import crash_points
crash_points.install()
from tasks.calls import send
for _ in range(3):
    try:
        send.answered()
    except TypeError:
        pass
"""


def python(words: str, **told: str) -> subprocess.CompletedProcess[str]:
    """Run a separate process, because the patches stay installed."""
    return subprocess.run(
        [sys.executable, "-c", words], env=os.environ | told, capture_output=True, text=True
    )


def test_every_named_point_is_in_the_product() -> None:
    done = python(EVERY_POINT)
    assert done.returncode == 0, done.stderr


def test_a_fault_happens_exactly_as_often_as_allowed_over_all_processes(tmp_path: Path) -> None:
    told = environment([Fault("settled", nth=2, times=2)], Weather(), tmp_path / "flags")
    ends = [python(PASS_THREE_TIMES, **told).returncode for _ in range(4)]
    assert ends == [-9, -9, 0, 0]
    assert happened(tmp_path / "flags") == 2


def reply(request: str, status: int = 200, kind: str = "") -> dict[str, object]:
    return {"event": "reply", "request": request, "status": status, "kind": kind}


@pytest.mark.parametrize(
    ("ledger", "calls", "repeated"),
    [
        ([], 0, 0),
        ([reply("a"), reply("b")], 2, 0),
        ([reply("a"), reply("a"), reply("a")], 3, 2),
        ([reply("a", 499), reply("a")], 2, 1),  # the caller died and is billed
        ([reply("a", 500), reply("a", 429), reply("a")], 1, 0),  # not billed
        ([reply("a", kind="cut"), reply("a")], 2, 0),  # paid, without an answer
        ([{"event": "start", "request": "a"}, reply("a")], 1, 0),
    ],
)
def test_paid_calls_are_counted_from_the_endpoints_ledger(
    ledger: list[dict[str, object]], calls: int, repeated: int
) -> None:
    sums = paid(ledger)
    assert (sums.calls, sums.repeated) == (calls, repeated)
