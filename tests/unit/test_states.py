"""States: the tables of moves are complete, and every state can end."""

from __future__ import annotations

import pytest

from core.states import (
    ENDED_JOBS,
    IMAGE_MOVES,
    JOB_MOVES,
    NODE_MOVES,
    SETTLED_NODES,
    UNSETTLED_IMAGES,
    ImageStatus,
    JobStatus,
    NodeStatus,
    outcome_of_job,
)

TABLES = [(JobStatus, JOB_MOVES), (ImageStatus, IMAGE_MOVES), (NodeStatus, NODE_MOVES)]
tables = pytest.mark.parametrize(("states", "moves"), TABLES, ids=["jobs", "images", "nodes"])


def reachable(moves, start):
    found, waiting = {start}, [start]
    while waiting:
        new = moves[waiting.pop()] - found
        found |= new
        waiting += new
    return found


@tables
def test_the_tables_have_moves_for_exactly_the_known_states(states, moves):
    assert set(moves) == set(states)
    assert set().union(*moves.values()) <= set(states)
    assert not any(state in targets for state, targets in moves.items())


@pytest.mark.parametrize(
    ("moves", "first", "ends"),
    [
        (JOB_MOVES, JobStatus.RUNNING, ENDED_JOBS),
        (IMAGE_MOVES, ImageStatus.PENDING, set(ImageStatus) - set(UNSETTLED_IMAGES)),
        (NODE_MOVES, NodeStatus.WAITING, SETTLED_NODES),
    ],
    ids=["jobs", "images", "nodes"],
)
def test_every_state_is_reached_and_every_state_can_end(moves, first, ends):
    assert reachable(moves, first) == set(moves)
    for state in set(moves) - {ImageStatus.DUPLICATE, NodeStatus.SPLIT}:
        assert reachable(moves, state) & ends


@pytest.mark.parametrize("status", JobStatus)
def test_a_job_has_ended_when_it_neither_runs_nor_waits(status):
    assert status.ended == (status not in ("running", "paused"))


@pytest.mark.parametrize(
    ("included", "failed", "skipped", "status"),
    [
        (0, 0, 0, "failed"),
        (0, 3, 0, "failed"),
        (3, 0, 0, "completed"),
        (3, 1, 0, "partial"),
        (3, 0, 1, "partial"),
    ],
)
def test_a_job_ends_by_what_its_answer_includes(included, failed, skipped, status):
    assert outcome_of_job(included, failed, skipped) == status
