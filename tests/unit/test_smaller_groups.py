"""Notes that do not fit one request: which ones go below new branches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.catalog.tokens import text_tokens_estimate
from core.tree.packing import Budget, fits
from models.reads.pipeline import Note
from tasks.aggregate import NOTES_MAX, smaller_groups, weights

MOST = Budget(NOTES_MAX, 1, text_tokens_estimate("x" * 1_000))


def notes(*sizes: int) -> list[Note]:
    return [Note(number, "x" * size, 1, "") for number, size in enumerate(sizes, start=1)]


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [
        ((200, 200, 200), []),  # all fit
        ((400, 400, 400, 400), [[1, 2], [3, 4]]),
        ((900, 900, 900), []),  # no two fit together: sent as they are
        ((900, 300, 300, 900), [[2, 3]]),  # a single note stays where it is
        ((5_000,), []),
    ],
)
def test_notes_are_grouped_only_if_fewer_remain(sizes, groups):
    assert smaller_groups(notes(*sizes), MOST) == groups


@given(st.lists(st.integers(1, 3_000), min_size=1, max_size=60))
def test_dividing_ends_even_if_no_note_gets_shorter(sizes):
    left = notes(*sizes)
    for _ in range(len(sizes)):
        groups = smaller_groups(left, MOST)
        if not groups:
            break
        grouped = {number for group in groups for number in group}
        longest = [max(len(n.text) for n in left if n.node_id in group) for group in groups]
        kept = [len(note.text) for note in left if note.node_id not in grouped]
        assert len(kept) + len(longest) < len(left)
        left = notes(*kept, *longest)
    else:
        pytest.fail("it goes on for ever")
    assert len(left) == 1 or fits(weights(left), MOST) or not smaller_groups(left, MOST)
