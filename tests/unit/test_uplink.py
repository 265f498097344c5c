"""The measurement of the line: bytes of requests with images, by the time that they share."""

from __future__ import annotations

import threading

import pytest

from clients.provider.body import InlineBody
from clients.provider.uplink import ENOUGH_BYTES, TELL_SECONDS, Uplink
from core.requests.request import Inline


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_rate_is_bytes_by_the_time_in_which_anything_was_sent(clock: Clock) -> None:
    told: list[float] = []
    uplink = Uplink(told.append, clock)
    for _ in range(2):
        with uplink.sending() as took:
            took(ENOUGH_BYTES // 2)
            clock.now += 0.25
        clock.now += 60  # nothing is sent meanwhile
    assert told == [ENOUGH_BYTES / 0.5]


def test_requests_that_are_sent_at_once_share_the_line(clock: Clock) -> None:
    told: list[float] = []
    uplink = Uplink(told.append, clock)
    with uplink.sending() as one:
        with uplink.sending() as two:
            one(ENOUGH_BYTES)
            two(ENOUGH_BYTES)
            clock.now += 4
        assert told == [ENOUGH_BYTES / 2]
        one(ENOUGH_BYTES)
        clock.now += 1
    assert told == [ENOUGH_BYTES / 2, ENOUGH_BYTES]


def test_little_tells_nothing_and_is_kept_for_later(clock: Clock) -> None:
    told: list[float] = []
    uplink = Uplink(told.append, clock)
    for _ in range(4):
        with uplink.sending() as took:
            took(ENOUGH_BYTES // 4)
            clock.now += 0.25
    assert told == [ENOUGH_BYTES]


def test_a_slow_line_is_told_while_its_request_is_sent(clock: Clock) -> None:
    told: list[float] = []
    uplink = Uplink(told.append, clock)
    with uplink.sending() as took:
        took(ENOUGH_BYTES)  # what the buffers of the system take at once
        for _ in range(4):
            clock.now += TELL_SECONDS / 2
            took(100_000)
    fast, slow = told
    assert fast == pytest.approx((ENOUGH_BYTES + 200_000) / TELL_SECONDS)
    assert slow == pytest.approx(200_000 / TELL_SECONDS)


def test_threads_add_up(clock: Clock) -> None:
    told: list[float] = []
    uplink = Uplink(told.append, clock)
    all_in = threading.Barrier(8, action=lambda: setattr(clock, "now", clock.now + 1))

    def send() -> None:
        with uplink.sending() as took:
            took(ENOUGH_BYTES)
            all_in.wait()

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told[0] == 8 * ENOUGH_BYTES  # the first that ends tells of all


def test_a_body_counts_what_was_taken_and_ends_when_it_is_given_up(clock: Clock) -> None:
    told: list[float] = []
    uplink = Uplink(told.append, clock)
    image = Inline("image/jpeg", ENOUGH_BYTES, lambda: bytes(ENOUGH_BYTES))
    body = {"messages": [{"image_url": {"url": "sha256:a"}}]}
    content = InlineBody(body, {"sha256:a": image}, uplink)
    whole = b""
    for piece in content:
        whole += piece
        clock.now += 0.25
    assert len(whole) == content.size
    assert told == [pytest.approx(len(whole) / 0.75)]
    pieces = iter(content)
    next(pieces)
    del pieces  # the connection broke
    with uplink.sending() as took:
        clock.now += 1
        took(ENOUGH_BYTES)
    assert told[1] == pytest.approx(ENOUGH_BYTES, rel=0.01)
