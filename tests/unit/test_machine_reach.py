"""When a machine that does not reach the provider tries again."""

from __future__ import annotations

import contextlib

import pytest

from core.errors import OverstoryError, ProviderDown, RequestRefused
from tasks.calls.reach import FIRST_SECONDS, MOST_SECONDS, Reach

NOT_SENT = ProviderDown("no route to the host", sent=False)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reach(clock: Clock) -> Reach:
    return Reach(clock)


def call(reach: Reach, error: OverstoryError | None = None) -> None:
    with contextlib.suppress(OverstoryError), reach.watching():
        if error is not None:
            raise error


def test_nothing_waits_before_a_call_has_failed(reach: Reach) -> None:
    call(reach)
    assert reach.wait_seconds() == 0.0


def test_after_a_call_that_was_not_sent_one_thread_tries_after_a_pause(
    reach: Reach, clock: Clock
) -> None:
    call(reach, NOT_SENT)
    assert reach.wait_seconds() == FIRST_SECONDS
    clock.now += FIRST_SECONDS
    assert reach.wait_seconds() == 0.0
    assert reach.wait_seconds() == FIRST_SECONDS  # the others wait for what it finds


def test_pauses_grow_to_a_bound(reach: Reach) -> None:
    seen = []
    for _ in range(6):
        call(reach, NOT_SENT)
        seen.append(reach.wait_seconds())
    assert seen[:3] == [FIRST_SECONDS, 2 * FIRST_SECONDS, 4 * FIRST_SECONDS]
    assert seen[-1] == MOST_SECONDS


@pytest.mark.parametrize(
    "error", [None, ProviderDown("cut", sent=True), RequestRefused(400, "bad", "bad", False)]
)
def test_any_answer_ends_the_pause(reach: Reach, error: OverstoryError | None) -> None:
    call(reach, NOT_SENT)
    call(reach, error)
    assert reach.wait_seconds() == 0.0
