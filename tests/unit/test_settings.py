"""Settings: read once from the environment, wrong ones named, secrets never shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from core.catalog.tiers import NO_LIMIT, AccountLimits, tier
from core.errors import WrongUsage
from core.images.sizing import ImageLimits
from core.settings import DEFAULT_BASE_URL, load

OWN = "http://127.0.0.1:8000/v1"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OVERSTORY_RPM", "many"),
        ("OVERSTORY_CONCURRENCY", "0"),
        ("OVERSTORY_TPM", "-1"),
        ("OVERSTORY_TIER", "V9"),
        ("OVERSTORY_PROVIDER", "acme"),
        ("OVERSTORY_DETAIL", "medium"),
        ("OVERSTORY_IMAGES_PER_REQUEST", "0"),
        ("OVERSTORY_CONTEXT_TOKENS", "12"),
        ("OVERSTORY_REASONING_EFFORT", "max"),
        ("OVERSTORY_LEASE_SECONDS", "0"),
        ("OVERSTORY_LOG_LEVEL", "LOUD"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(WrongUsage, match=variable):
        load()


def test_every_wrong_setting_is_named_at_once(monkeypatch):
    monkeypatch.setenv("OVERSTORY_RPM", "many")
    monkeypatch.setenv("OVERSTORY_TPM", "few")
    with pytest.raises(WrongUsage, match=r"OVERSTORY_RPM.*OVERSTORY_TPM"):
        load()


def test_secrets_are_in_no_repr_and_in_no_error(monkeypatch):
    monkeypatch.setenv("OVERSTORY_API_KEY", "sk-geheim")
    settings = load()
    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == "sk-geheim"
    assert "geheim" not in f"{settings!r} {settings}"
    monkeypatch.setenv("OVERSTORY_RPM", "many")
    with pytest.raises(WrongUsage) as refused:
        load()
    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize(
    ("environment", "key"),
    [
        ({}, None),
        ({"STEPFUN_API_KEY": "theirs"}, "theirs"),
        ({"OVERSTORY_API_KEY": "ours"}, "ours"),
        ({"OVERSTORY_API_KEY": "ours", "STEPFUN_API_KEY": "theirs"}, "ours"),
    ],
)
def test_our_variable_takes_precedence_over_the_providers(monkeypatch, environment, key):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = load().api_key
    assert (found.get_secret_value() if found else None) == key


@pytest.mark.parametrize(
    ("environment", "sandbox", "endpoint"),
    [
        ({}, True, "sandbox"),
        ({"OVERSTORY_API_KEY": "k"}, False, DEFAULT_BASE_URL),
        ({"OVERSTORY_BASE_URL": "http://here/v1/"}, False, "http://here/v1"),
        ({"OVERSTORY_ENDPOINT_NAME": "lab", "OVERSTORY_API_KEY": "k"}, False, "lab"),
    ],
)
def test_without_key_and_endpoint_the_sandbox_is_used(monkeypatch, environment, sandbox, endpoint):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = load()
    assert (settings.uses_sandbox, settings.endpoint) == (sandbox, endpoint)


@pytest.mark.parametrize(
    ("given", "limits"),
    [
        ({}, tier("V0")),
        ({"tier": "a:V5"}, AccountLimits(10_000, 200_000, 100_000_000)),
        ({"rpm": 7}, AccountLimits(5, 7, 500_000)),
        ({"tier": "V1", "concurrency": 2, "tpm": 9}, AccountLimits(2, 400, 9)),
    ],
)
def test_a_configured_limit_takes_precedence_over_the_tiers(given, limits):
    assert load(**given).limits == limits


@pytest.mark.parametrize(
    ("given", "tier_name", "finds", "limits"),
    [
        ({"sandbox": True}, "V0", False, (5, 100)),
        ({"base_url": "https://api.stepfun.com/v1"}, "V0", False, (5, 100)),
        ({"base_url": OWN, "endpoint_name": "sandbox"}, "V0", False, (5, 100)),
        ({"base_url": OWN}, "auto", True, (200, NO_LIMIT)),
        ({"base_url": OWN, "rpm": 7}, "auto", True, (200, 7)),
        ({"base_url": OWN, "concurrency": 50}, "auto", False, (50, NO_LIMIT)),
        ({"base_url": OWN, "concurrency": 50, "tier": "AUTO"}, "auto", True, (50, NO_LIMIT)),
        ({"base_url": OWN, "tier": "V1"}, "V1", False, (20, 400)),
        ({"tier": "auto"}, "auto", True, (200, NO_LIMIT)),
    ],
)
def test_where_no_tier_applies_the_concurrency_finds_itself(given, tier_name, finds, limits):
    settings = load(**given)
    assert (settings.tier_name, settings.finds_concurrency) == (tier_name, finds)
    assert (settings.limits.concurrency, settings.limits.rpm) == limits
    assert settings.infer_threads == limits[0] + 2
    assert settings.sure_limits.concurrency == (4 if finds else limits[0])


def test_limits_on_images_come_from_their_settings():
    settings = load(max_image_pixels=1, max_file_bytes=2, max_aspect_ratio=3.0, max_pages=4)
    assert settings.image_limits == ImageLimits(1, 2, 3.0, 4)


def test_settings_never_change():
    with pytest.raises(ValidationError):
        load().rpm = 5


def test_an_override_takes_precedence_over_the_environment(monkeypatch, home):
    assert load().home == home
    assert load(home=Path("/elsewhere")).home == Path("/elsewhere")
    monkeypatch.setenv("OVERSTORY_MODEL", "from-the-environment")
    assert load(model="given").model == "given"


@pytest.mark.parametrize(("concurrency", "threads"), [(1, 3), (5, 7), (198, 200), (10_000, 200)])
def test_a_process_has_one_thread_per_call_up_to_its_maximum(concurrency, threads):
    assert load(concurrency=concurrency).infer_threads == threads


def test_a_relative_home_is_the_same_folder_for_every_server(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert load(home=Path("state")).home == tmp_path / "state"


@pytest.mark.parametrize(
    ("name", "url", "variable"),
    [
        ("BROKER_URL", "redis://:change-me-valkey@valkey:6379/0", "VALKEY_PASSWORD"),
        ("LIMITER_URL", "redis://:change-me-valkey@valkey:6379/1", "VALKEY_PASSWORD"),
        ("DATABASE_URL", "postgresql://o:change-me-postgres@h/overstory", "POSTGRES_PASSWORD"),
        ("DATABASE_URL", "postgresql://o:change-me@h/overstory", "set another"),
    ],
)
def test_a_password_of_the_example_is_refused_by_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, url: str, variable: str
) -> None:
    monkeypatch.setenv(f"OVERSTORY_{name}", url)
    with pytest.raises(WrongUsage, match=f"OVERSTORY_{name}.*{variable}") as told:
        load()
    assert "change-me" not in str(told.value)


def test_the_query_of_a_base_url_is_not_part_of_its_name() -> None:
    url = "https://me.openai.azure.com/openai/v1/?api-version=preview"
    assert load(api_key="k", base_url=url).endpoint == "https://me.openai.azure.com/openai/v1"
