"""Profiles: written by ``tune``, read by ``--profile``."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from core.errors import WrongUsage
from overstory.profiles import Profile, filled, read_profile, write_profile

TILES = Profile(pack=15, detail="low", model='odd "name" \\ ü')


def test_a_profile_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = write_profile(tmp_path, "tiles", TILES, "by overstory tune\n60 images")
    assert path == tmp_path / "profiles" / "tiles.toml"
    assert path.read_text().startswith("# by overstory tune\n# 60 images\npack = 15\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_profile(tmp_path, "tiles") == TILES


def test_a_path_is_a_profile_too(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text("pack = 4\n")
    assert read_profile(tmp_path / "home", str(own)) == Profile(pack=4)


def test_options_on_the_command_line_win(tmp_path: Path) -> None:
    write_profile(tmp_path, "tiles", TILES)
    given = {"profile": "tiles", "pack": None, "detail": "high", "model": None, "fetch": False}
    assert filled(tmp_path, given) == {
        "pack": 15,
        "detail": "high",
        "model": TILES.model,
        "fetch": False,
    }
    assert filled(tmp_path, {"profile": None, "pack": 3}) == {"pack": 3}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pack = 0\n", "pack: Input should be greater than or equal to 1"),
        ("pack = true\n", "pack: Input should be a valid integer"),
        ('detail = "medium"\n', "detail: Input should be 'low', 'high' or 'auto'"),
        ("budget = 3\n", "budget: Extra inputs are not permitted. A profile has pack, detail"),
        ("pack =\n", "cannot be read"),
    ],
)
def test_a_wrong_profile_is_refused_with_its_path(tmp_path: Path, text: str, said: str) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(text)
    with pytest.raises(WrongUsage) as refused:
        read_profile(tmp_path, str(wrong))
    assert said in str(refused.value)
    assert str(wrong) in str(refused.value)


def test_an_unknown_profile_is_refused_with_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="'overstory tune' writes one"):
        read_profile(tmp_path, "tiles")
    write_profile(tmp_path, "tiles", TILES)
    with pytest.raises(WrongUsage, match="Did you mean 'tiles'"):
        read_profile(tmp_path, "tile")
    with pytest.raises(WrongUsage, match=r"but tiles$"):
        read_profile(tmp_path, "receipts")


@pytest.mark.parametrize("name", ["", "-x", "a b", ".hidden"])
def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(WrongUsage, match="is not a name"):
        write_profile(tmp_path, name, TILES)
