"""The first table of the benchmark: rounds side by side, and rivals that did not answer."""

from __future__ import annotations

from typing import Any

from benchmarks.pipeline.columns import RIVALS, lines

Values = dict[str, Any]


def _rival(seconds: float, answers: int = 600) -> Values:
    return {"seconds": seconds, "answers": answers, "images": 600, "refused": 7}


def _row(wall: float, script: Values | None, daft: Values | None = None) -> Values:
    return {
        "name": "600-V2",
        "images": 600,
        "small": False,
        "tier": "V2",
        "refused": 0,
        "wall": wall,
        "schedule": 10.0,
        "schedule_here": 16.0,
        "schedule_binds": "cpu",
        "script": script,
        "daft": daft,
    }


def _cells(*rows: Values) -> dict[str, str]:
    (cells,) = lines(RIVALS, rows)
    return dict(zip([name for name, _ in RIVALS], cells, strict=True))


def test_rounds_are_shown_and_their_means_are_compared() -> None:
    cells = _cells(_row(19.0, _rival(24.0), _rival(33.0)), _row(21.0, _rival(26.0)))
    assert cells == {
        "images": "600", "tier": "V2", "run, s": "19.0, 21.0", "script, s": "24.0, 26.0",
        "run / script": "0.80", "least, s (limit)": "10.0 (cpu)", "run / least": "2.00",
        "same, on the cores left": "1.25", "Daft, s": "33.0", "429: run, script, Daft": "0, 7, 7",
    }  # fmt: skip


def test_a_rival_that_left_pictures_out_says_so_and_is_not_compared() -> None:
    cells = _cells(_row(20.0, _rival(5.0, answers=540), _rival(180.0, answers=0)))
    assert cells["script, s"] == "5.0 (540 of 600 answered)"
    assert cells["run / script"] == ""
    assert cells["Daft, s"] == "180.0 (0 of 600 answered)"


def test_a_row_without_rivals_has_empty_cells() -> None:
    cells = _cells(_row(20.0, None))
    assert (cells["script, s"], cells["Daft, s"], cells["429: run, script, Daft"]) == ("", "", "0")
