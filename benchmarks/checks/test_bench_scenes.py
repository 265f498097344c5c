"""The benchmark's rows, their names and their estimated times."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.pipeline import scenes
from benchmarks.pipeline.command import environment
from benchmarks.pipeline.scenes import expected_seconds, scene_of
from core.errors import WrongUsage


@pytest.mark.parametrize("name", [*scenes.FULL, "600-V2-small-never-keep", "60-V1-always"])
def test_a_row_is_named_as_it_was_asked_for(name: str) -> None:
    assert scene_of(name, 4.0, 4000).name == name


@pytest.mark.parametrize("name", ["600", "600-V4-large", "600-V4-keep-never"])
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a row"):
        scene_of(name, 4.0, 4000)


def test_an_unknown_tier_is_refused() -> None:
    with pytest.raises(WrongUsage, match="unknown tier"):
        scene_of("600-V9", 4.0, 4000)


def test_every_size_and_tier_that_is_compared_with_the_script_is_in_the_short_form() -> None:
    assert set(scenes.SHORT) == {
        *(f"{images}-{tier}" for images in (60, 600, 6_000) for tier in ("V0", "V2", "V4")),
        *(f"{images}-{tier}-small" for images in (600, 6_000) for tier in ("V2", "V4")),
    }


def test_the_window_is_shorter_for_ten_requests_per_window() -> None:
    strict = scene_of(scenes.STRICT, 4.0, 4000)
    assert (strict.window_seconds, strict.limits.rpm) == (30.0, 10)
    assert strict.tier_in_words == "a:V0, 30 s windows"


def test_a_row_of_small_pictures_has_its_own_width() -> None:
    assert scene_of("600-V2-small", 4.0, 4000).side == scenes.SMALL_SIDE
    assert scene_of("600-V2", 4.0, 4000).side == 4000


def test_only_a_row_that_names_a_store_sets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OVERSTORY_STORE", "always")
    plain = environment(scene_of("60-V0", 4.0, 4000), tmp_path, "http://127.0.0.1:1/v1")
    never = environment(scene_of("60-V0-never", 4.0, 4000), tmp_path, "http://127.0.0.1:1/v1")
    assert ("OVERSTORY_STORE" in plain, never["OVERSTORY_STORE"]) == (False, "never")


def test_a_row_is_expected_to_take_longer_on_fewer_cores_under_a_limit_and_with_rounds() -> None:
    def seconds(name: str, cores: int = 2, rounds: int = 1) -> float:
        return expected_seconds(scene_of(name, 4.0, 4000), cores, rounds, has_daft=False)

    assert seconds("600-V4-small") < seconds("600-V4") < seconds("600-V4", cores=1)
    assert seconds("6000-V4") < seconds("6000-V0")
    assert seconds("600-V4", rounds=2) == pytest.approx(2 * seconds("600-V4"))
