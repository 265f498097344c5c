"""Recent reply lengths, and how many tokens the next call reserves."""

from __future__ import annotations

import pytest

from core.account.reservations import ENOUGH, KEPT, Reservations, note_tokens

LEAF, BRANCH = ("model", "leaf"), ("model", "branch")


@pytest.mark.parametrize(
    ("replies", "reserved"),
    [
        ([], 8_000),
        ([100] * (ENOUGH - 1), 8_000),  # too few samples
        ([100] * ENOUGH, 151),
        ([100] * ENOUGH + [900], 1_351),  # the longest counts
        ([900] + [100] * KEPT, 151),  # until it is too old
        ([7_000] * ENOUGH, 8_000),  # never above the allowed maximum
    ],
)
def test_a_call_reserves_more_than_the_longest_recent_reply(
    replies: list[int], reserved: int
) -> None:
    written = Reservations()
    for tokens in replies:
        written.add(LEAF, tokens)
    assert written.likely(LEAF, 8_000) == reserved


def test_branches_learn_nothing_from_leaves() -> None:
    written = Reservations()
    for _ in range(ENOUGH):
        written.add(LEAF, 100)
    assert written.likely(BRANCH, 8_000) == 8_000


@pytest.mark.parametrize(
    ("estimate", "written", "tokens"),
    [
        (3_000, 0, 3_000),  # reused from another job: only its size in bytes is known
        (3_000, 1_000, 1_166),
        (3_000, 9_000, 3_000),  # long reasoning did not make the note longer
    ],
)
def test_a_note_is_estimated_by_the_tokens_it_took_to_write(
    estimate: int, written: int, tokens: int
) -> None:
    assert note_tokens(estimate, written) == tokens
