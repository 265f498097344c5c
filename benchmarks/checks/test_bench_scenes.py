"""The benchmark's rows and their estimated times."""

from __future__ import annotations

import pytest

from benchmarks.pipeline.scenes import expected_seconds, has_script, has_shrinking, scenes

SHORT = scenes(4.0, 4000, full=False)


def test_the_short_form_has_all_tiers_except_at_the_largest_size() -> None:
    names = {scene.name for scene in SHORT}
    assert names == {
        *(f"{images}-V{tier}" for images in (60, 600) for tier in range(5)),
        *("6000-V0", "6000-V4", "600-a:V0", "600-V4-small"),
    }


def test_the_window_is_shorter_for_ten_requests_per_window() -> None:
    strict = {scene.name: scene for scene in scenes(4.0, 4000, full=True) if ":" in scene.tier}
    assert {name: scene.window_seconds for name, scene in strict.items()} == {
        "600-a:V0": 30.0,
        "6000-a:V0": 15.0,
    }
    assert all(scene.limits.rpm == 10 for scene in strict.values())


def test_small_pictures_have_no_extra_rows_when_all_are_small() -> None:
    assert not any(scene.small for scene in scenes(4.0, 960, full=True))


@pytest.mark.parametrize(
    ("name", "script", "shrinking"),
    [
        ("60-V0", True, False),  # five calls at once: the CPU is idle
        ("60-V1", False, False),
        ("600-V2", True, False),
        ("600-V4", True, True),  # 130 at once: the CPU sets the pace
        ("6000-V4", False, False),
        ("600-V4-small", False, False),
    ],
)
def test_scripts_run_only_where_they_are_informative(
    name: str, script: bool, shrinking: bool
) -> None:
    scene = next(scene for scene in SHORT if scene.name == name)
    assert (has_script(scene), has_shrinking(scene)) == (script, shrinking)


def test_a_row_is_expected_to_take_longer_on_fewer_cores_and_under_a_limit() -> None:
    seconds = {scene.name: expected_seconds(scene, 2) for scene in SHORT}
    assert seconds["600-V4-small"] < seconds["600-V3"] < expected_seconds(SHORT[1], 1)
    assert seconds["6000-V4"] < seconds["6000-V0"]
