"""The first calls of a burst are spread only if much work is waiting."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from sqlalchemy import update

from core.settings import load
from core.states import NodeKind, NodeStatus
from models.tables import Node
from tasks.calls import stagger
from tests.support import jobs


def services(database, calls: int, call_seconds: float = 100.0, account: str = jobs.ACCOUNT):
    leases = SimpleNamespace(calls=lambda: calls, call_seconds=lambda: call_seconds)
    return SimpleNamespace(
        settings=load(tier="V0"), leases=leases, database=database, account=account
    )


def ready(database, leaves: int, account: str) -> None:
    submitted(database, leaves, account)
    with database.write() as connection:
        connection.execute(
            update(Node).where(Node.kind == NodeKind.LEAF).values(status=NodeStatus.READY)
        )


def submitted(database, leaves: int, account: str) -> None:
    jobs.submit(database, [1] * leaves, fan_in=60, account=account)


@pytest.mark.parametrize(
    ("leaves", "calls", "call_seconds", "spread"),
    [
        (50, 1, 100.0, True),  # waiting work for ten rounds of five slots
        (49, 1, 100.0, False),  # too little work
        (50, 4, 100.0, False),  # only the last slot is free: no other call starts
        (50, 1, 0.0, False),  # the latency is not known yet
    ],
)
def test_a_burst_is_spread_over_one_call_if_much_work_waits(
    database, leaves, calls, call_seconds, spread
):
    account = f"pace-{leaves}-{calls}-{call_seconds}-{database.url}"[:32]
    ready(database, leaves, account)
    mine = services(database, calls, call_seconds, account)
    assert stagger.wait_seconds(mine, NodeKind.LEAF) == 0.0  # the very first call starts at once
    stagger.admitted(mine)
    seconds = stagger.wait_seconds(mine, NodeKind.LEAF)
    assert 10.0 < seconds <= 20.0 if spread else seconds == 0.0


@pytest.mark.parametrize(("kind", "spread"), [(NodeKind.LEAF, True), (NodeKind.BRANCH, False)])
def test_leaves_whose_images_are_still_to_come_count_as_waiting(database, kind, spread):
    account = f"coming-{kind}-{database.url}"[:32]
    submitted(database, 50, account)
    mine = services(database, calls=1, account=account)
    stagger.admitted(mine)
    assert (stagger.wait_seconds(mine, kind) > 0.0) == spread
