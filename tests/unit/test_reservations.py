"""What replies have taken lately, and what the next one reserves."""

from __future__ import annotations

import pytest

from core.account.reservations import ENOUGH, KEPT, Reservations, note_tokens

LEAF, BRANCH = ("model", "leaf"), ("model", "branch")


@pytest.mark.parametrize(
    ("replies", "reserved"),
    [
        ([], 8_000),
        ([100] * (ENOUGH - 1), 8_000),  # too few to say anything
        ([100] * ENOUGH, 151),
        ([100] * ENOUGH + [900], 1_351),  # the longest counts
        ([900] + [100] * KEPT, 151),  # until it is long ago
        ([7_000] * ENOUGH, 8_000),  # never more than it may take
    ],
)
def test_a_call_reserves_somewhat_more_than_the_longest_reply_of_late(
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
        (3_000, 0, 3_000),  # taken over from another job: its bytes are all that is known
        (3_000, 1_000, 1_166),
        (3_000, 9_000, 3_000),  # a model that thought for long wrote no longer note
    ],
)
def test_a_note_takes_about_what_it_took_to_write(estimate: int, written: int, tokens: int) -> None:
    assert note_tokens(estimate, written) == tokens
