"""Answers reused in a changed set cite the positions of the new set."""

from __future__ import annotations

import json

import pytest

from core.answers.spec import parts_of

FIND = {
    "type": "object",
    "required": ["what", "image"],
    "properties": {
        "what": {"type": "string"},
        "image": {"type": "integer", "x-image": True},
        "count": {"type": "integer"},
    },
}
POSITIONS = {3: 4, 7: 8}


@pytest.mark.parametrize(
    ("schema", "answer", "moved"),
    [
        (None, "Like [7], but red.", "Like [8], but red."),
        (
            FIND,
            {"what": "as in [7]", "image": 3, "count": 3},
            {"what": "as in [8]", "image": 4, "count": 3},
        ),
    ],
)
def test_citations_and_image_numbers_move_and_other_numbers_stay(schema, answer, moved):
    parts = parts_of(None if schema is None else json.dumps(schema), folds=False)
    assert parts.moved(answer, POSITIONS, 4) == moved
