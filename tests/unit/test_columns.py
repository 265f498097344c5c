"""Tall images are sent in columns beside each other."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.catalog.facts import facts_of
from core.catalog.formulas import LONGEST_LOW, LONGEST_STEPFUN, STEPFUN_SIZES
from core.catalog.tokens import Detail
from core.images.columns import columns_remark, plan_columns, sent_size
from core.images.sizing import is_too_narrow


@pytest.mark.parametrize(
    ("full", "detail", "count", "width"),
    [
        ((1080, 6_480), "low", 3, 236),  # a screenshot, which is 121 pixels wide without columns
        ((1080, 24_000), "low", 5, 138),  # 33
        ((1080, 24_000), "high", 5, 597),  # 136
        ((40, 4_000), "low", 6, 40),
        ((1080, 6_480), "high", 0, 0),
        ((1080, 1_920), "low", 0, 0),  # one screen of a phone
        ((24_000, 1_080), "low", 0, 0),  # a panorama shows one scene
        ((728, 8), "low", 0, 0),
    ],
)
def test_a_tall_image_is_sent_in_as_many_columns_as_show_most(
    full: tuple[int, int], detail: Detail, count: int, width: int
) -> None:
    columns = plan_columns(*full, detail)
    assert (columns is not None) is bool(count)
    if columns is not None:
        assert (columns.count, columns.width) == (count, width)


@given(
    width=st.integers(1, 4_000),
    ratio=st.floats(1.0, 100.0),
    detail=st.sampled_from(["low", "high"]),
)
def test_columns_show_every_row_and_fit(width: int, ratio: float, detail: Detail) -> None:
    full = width, round(width * ratio)
    columns = plan_columns(*full, detail)
    if columns is None:
        assert not is_too_narrow(full, STEPFUN_SIZES.of(*full, detail))
        return
    pieces = [columns.rows(column) for column in range(columns.count)]
    assert pieces[0][0] == 0
    assert pieces[-1][1] == columns.scaled[1]
    assert all(first < end <= first + columns.height for first, end in pieces)
    assert all(before[1] >= after[0] for before, after in pairwise(pieces))
    longest = LONGEST_LOW if detail == "low" else LONGEST_STEPFUN
    assert max(columns.canvas) <= longest
    assert max(columns.canvas) % 504 == 0 or detail == "low"
    right, below = columns.origin(columns.count - 1)
    assert right + columns.width <= columns.canvas[0]
    assert below + columns.height <= columns.canvas[1]
    assert min(STEPFUN_SIZES.of(*full, detail)) < columns.width <= full[0]


def test_the_remark_says_whether_columns_are_enough() -> None:
    def remark(width: int, height: int, detail: Detail) -> str:
        columns = plan_columns(width, height, detail)
        assert columns is not None
        return columns_remark((width, height), columns, detail)

    assert remark(1080, 6_480, "low") == "1080 x 6480 is sent as 3 columns beside each other"
    too_long = remark(1080, 24_000, "low")
    assert "each 138 pixels wide, in which text and small things cannot be read" in too_long
    assert too_long.endswith("cut it into 12 pieces and give those, or use --detail high")
    assert "cannot be read" not in remark(1080, 24_000, "high")
    assert "cannot be read" not in remark(40, 4_000, "low")  # it was as narrow before


def test_columns_are_counted_as_they_are_sent() -> None:
    assert sent_size(1080, 24_000, "high") == (3024, 2816)


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-5.6", "claude-opus-5", "qwen3-vl-8b", "gemma-3"])
@pytest.mark.parametrize("detail", ["low", "high"])
def test_columns_are_as_large_as_each_model_sees_them(model: str, detail: Detail) -> None:
    sizes = facts_of(model).sizes
    full = 1080, 48_000
    columns = plan_columns(*full, detail, sizes)
    if model in ("qwen3-vl-8b", "gemma-3") and detail == "high":  # they shrink no side alone
        assert columns is None
        return
    assert columns is not None
    seen = sizes.of(*columns.canvas, detail)
    assert min(sizes.of(*full, detail)) < columns.width * seen[0] / columns.canvas[0]
    assert seen[0] > 0.9 * columns.canvas[0]
