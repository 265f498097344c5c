"""The configuration file: below the environment, above the defaults, changed without loss."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from core.config_file import config_path
from core.errors import WrongUsage
from core.settings import load, sources
from overstory.setup.config_text import changed


def write(text: str) -> Path:
    path = config_path()
    path.write_text(text)
    return path


def key_of() -> str:
    key = load().api_key
    assert key is not None
    return key.get_secret_value()


def test_the_environment_wins_over_the_file_and_that_over_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = write('model = "of the file"\ntier = "V2"\nskip_folders = ["a", "b c"]\n')
    monkeypatch.setenv("OVERSTORY_MODEL", "of the environment")
    monkeypatch.setenv("OVERSTORY_TIER", "")  # as in an .env file: not set
    settings = load(rpm=7)
    assert (settings.model, settings.tier, settings.rpm) == ("of the environment", "V2", 7)
    assert settings.skip_folders == ("a", "b c")
    found = [sources().get(name) for name in ("model", "tier", "detail")]
    assert found == ["OVERSTORY_MODEL", str(path), None]


def test_a_key_of_the_file_goes_before_the_one_that_other_programs_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = write('api_key = "of the file"\nbase_url = "https://api.openai.com/v1"\n')
    monkeypatch.setenv("STEPFUN_API_KEY", "for StepFun alone")
    assert (key_of(), sources().get("api_key")) == ("of the file", str(path))
    monkeypatch.setenv("OVERSTORY_API_KEY", "ours")
    assert (key_of(), sources().get("api_key")) == ("ours", "OVERSTORY_API_KEY")
    path.unlink()
    monkeypatch.delenv("OVERSTORY_API_KEY")
    assert (key_of(), sources().get("api_key")) == ("for StepFun alone", "STEPFUN_API_KEY")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('modle = "x"', "'modle' is not a setting, did you mean 'model'"),
        ("[section]", "'section' is not a setting"),
        ("tier = [", "not valid TOML"),
        ('tier = "V9"', "tier in .*config.toml: unknown tier 'V9'"),
        ("rpm = 0", "rpm in .*config.toml"),
    ],
)
def test_what_is_wrong_in_the_file_is_told_with_its_name(text: str, told: str) -> None:
    write(text)
    with pytest.raises(WrongUsage, match=told):
        load()


def test_a_wrong_variable_is_named_even_if_the_file_has_the_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write('tier = "V1"')
    monkeypatch.setenv("OVERSTORY_TIER", "V9")
    with pytest.raises(WrongUsage, match="OVERSTORY_TIER: unknown tier"):
        load()


def test_a_file_that_cannot_be_read_is_told() -> None:
    config_path().mkdir()
    with pytest.raises(WrongUsage, match="cannot be read"):
        load()


def test_what_a_person_wrote_stays() -> None:
    text = '# mine\nmodel = "old"  # why\nrpm = 5\napi_key = "k"\n\n# the end\n'
    new = changed(text, {"model": 'a "b" \\ c', "tier": "V1", "api_key": None}, Path("c.toml"))
    assert tomllib.loads(new) == {"model": 'a "b" \\ c', "rpm": 5, "tier": "V1"}
    assert new.startswith("# mine\n")
    assert "# the end\n" in new


def test_a_new_file_begins_with_what_it_is() -> None:
    assert changed("", {"model": "m"}, Path("c.toml")).startswith("# Settings of Overstory")


@pytest.mark.parametrize("text", ['model = """\nold\n"""\n', 'prices = """\nmodel = 1\n"""\n'])
def test_a_file_that_cannot_be_changed_line_by_line_is_left_to_the_person(text: str) -> None:
    with pytest.raises(WrongUsage, match="by hand"):
        changed(text, {"model": "new"}, Path("c.toml"))
