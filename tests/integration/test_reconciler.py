"""The reconciler's rounds: what is lost gets on, and what is held is left to whoever holds it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from core.states import NodeStatus
from models import repair
from models.tables import Node
from tasks.maintenance import Reconciler
from tests.integration import jobs

LEASE = 20.0


@dataclass
class Clocks:
    """Ours and the database's, which go on together until one of them is moved alone."""

    ours: float = 100.0
    database: float = 1_000_000.0

    def move(self, seconds: float) -> None:
        self.ours += seconds
        self.database += seconds


@pytest.fixture
def clocks(monkeypatch) -> Clocks:
    clocks = Clocks()
    monkeypatch.setattr(repair, "moment", lambda connection: clocks.database)
    return clocks


@pytest.mark.parametrize("how", ["its clock is set", "the machine sleeps"])
def test_leases_that_ended_by_a_jump_of_the_clock_are_left_for_one_length(
    open_account, database, clocks, how
):
    services = open_account(start=False, lease_seconds=LEASE).services
    (leaf,) = jobs.upload_all(database, jobs.submit(database, [1])).leaves
    jobs.run_node(database, leaf)
    reconciler = Reconciler(services, clock=lambda: clocks.ours)
    reconciler.tick()
    clocks.move(1.0)
    reconciler.tick()
    jobs.expire(database, Node)
    clocks.database += 3600.0
    if how == "the machine sleeps":
        clocks.ours += 3600.0
    for _ in range(20):
        reconciler.tick()
        assert jobs.the_node(database, leaf).status == NodeStatus.RUNNING
        clocks.move(1.0)
    reconciler.tick()
    assert jobs.the_node(database, leaf).status == NodeStatus.READY


def test_leases_that_end_as_they_should_are_reclaimed_at_once(open_account, database, clocks):
    services = open_account(start=False, lease_seconds=LEASE).services
    (leaf,) = jobs.upload_all(database, jobs.submit(database, [1])).leaves
    jobs.run_node(database, leaf)
    reconciler = Reconciler(services, clock=lambda: clocks.ours)
    for _ in range(int(LEASE)):
        reconciler.tick()
        clocks.move(1.1)
        clocks.database += 0.1
    jobs.expire(database, Node)
    reconciler.tick()
    assert jobs.the_node(database, leaf).status == NodeStatus.READY
