"""docker-compose.yml, Dockerfile and .env.example keep the service's promises."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from core.settings import Settings, load
from core.stages import STAGES
from tests.support import compose

EXAMPLE = compose.example()
SERVICES = compose.services(EXAMPLE)
OURS = [name for name, s in SERVICES.items() if s.raw["image"].startswith("overstory:")]
LASTING = [name for name in SERVICES if name != "migrate"]
NOT_HANDED_ON = {
    "accelerator",  # needs packages that are not in the image
    "sandbox",  # a service of its own, with the profile sandbox
    "limit_window_seconds",  # only for benchmarks
    # set by the file itself: processes, threads, ports, and the matching grace periods
    *("cpu_workers", "infer_processes", "upload_threads", "metrics_host", "metrics_port"),
    *("read_timeout_seconds", "child_memory_kib", "soft_shutdown_seconds"),
    # timing that all processes of one version share
    *("lease_seconds", "slot_seconds", "slice_images", "gate_wait_seconds"),
}
"""Settings without a place in docker-compose.yml."""


def test_the_file_passes_the_compose_schema() -> None:
    words = ["--builtin-schema", "vendor.compose-spec", str(compose.FILE)]
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", *words], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("missing", ["VALKEY_PASSWORD", "POSTGRES_PASSWORD", "FLOWER_PASSWORD"])
def test_a_missing_password_is_refused(missing: str) -> None:
    with pytest.raises(KeyError, match=missing):
        compose.services({**EXAMPLE, missing: ""})


def test_the_example_itself_starts_nothing() -> None:
    with pytest.raises(KeyError, match="_PASSWORD"):
        compose.services(compose.env_file(compose.ROOT / ".env.example"))


def test_every_variable_is_in_the_example() -> None:
    used = set(re.findall(r"\$\{(\w+)", compose.FILE.read_text("utf-8")))
    used |= {name for name, value in compose.load()["x-environment"].items() if value is None}
    text = (compose.ROOT / ".env.example").read_text("utf-8")
    named = set(re.findall(r"^#?(\w+)=", text, re.MULTILINE))
    assert used == named


def test_every_queue_has_its_worker() -> None:
    queues = [
        queue
        for service in SERVICES.values()
        if "-Q" in service.command
        for queue in service.command[service.command.index("-Q") + 1].split(",")
    ]
    assert sorted(queues) == sorted(stage.name for stage in STAGES)


def test_our_settings_exist() -> None:
    names = {name for s in SERVICES.values() for name in s.environment if "OVERSTORY_" in name}
    assert {name.removeprefix("OVERSTORY_").lower() for name in names} <= set(Settings.model_fields)


def test_every_setting_reaches_the_service_or_is_listed_as_unplaced() -> None:
    handed_on = set(compose.load()["x-environment"])
    known = {f"OVERSTORY_{name.upper()}" for name in Settings.model_fields}
    assert known - handed_on == {f"OVERSTORY_{name.upper()}" for name in NOT_HANDED_ON}


@pytest.mark.parametrize("name", LASTING)
def test_a_lasting_service_is_watched_limited_and_stopped_gracefully(name: str) -> None:
    raw = SERVICES[name].raw
    assert raw["restart"] == "unless-stopped"
    assert raw["healthcheck"]["test"]
    assert raw["stop_grace_period"]
    assert set(raw["deploy"]["resources"]["limits"]) == {"cpus", "memory"}


@pytest.mark.parametrize("name", list(SERVICES))
def test_ports_are_published_only_on_the_loopback(name: str) -> None:
    for port in SERVICES[name].raw.get("ports", []):
        assert port.startswith("127.0.0.1:")


@pytest.mark.parametrize("name", list(SERVICES))
def test_images_are_pinned(name: str) -> None:
    tag = SERVICES[name].raw["image"].partition(":")[2]
    assert re.match(r"v?\d+\.\d+\.?\d*", tag)


@pytest.mark.parametrize("name", list(SERVICES))
def test_no_container_can_gain_rights(name: str) -> None:
    assert SERVICES[name].raw["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", list(SERVICES))
def test_mounted_files_exist(name: str) -> None:
    for volume in SERVICES[name].raw.get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("./deploy"):
            assert (compose.ROOT / source).exists(), volume


@pytest.mark.parametrize("name", ["infer", "aggregate"])
def test_a_stopping_worker_has_time_for_the_longest_call(name: str) -> None:
    """SIGTERM lets calls in flight end; the kill must come after the provider's own time limit."""
    minutes = int(SERVICES[name].raw["stop_grace_period"].removesuffix("m"))
    assert minutes * 60 > load().read_timeout_seconds


@pytest.mark.parametrize("name", LASTING)
def test_a_stopping_service_has_more_time_than_a_soft_shutdown_takes(name: str) -> None:
    words = SERVICES[name].raw["stop_grace_period"]
    seconds = int(words[:-1]) * (60 if words.endswith("m") else 1)
    if "-Q" in SERVICES[name].command:
        assert seconds > load().soft_shutdown_seconds


def test_a_full_preprocess_worker_fits_its_memory() -> None:
    processes = int(SERVICES["preprocess"].command[SERVICES["preprocess"].command.index("-c") + 1])
    limit = SERVICES["preprocess"].raw["deploy"]["resources"]["limits"]["memory"]
    assert processes * load().child_memory_kib * 1024 < int(limit.removesuffix("G")) * 2**30


@pytest.mark.parametrize("name", OURS)
def test_our_containers_have_only_the_rights_they_need(name: str) -> None:
    raw = SERVICES[name].raw
    assert raw["read_only"] is True
    assert raw["cap_drop"] == ["ALL"]
    assert raw["security_opt"] == ["no-new-privileges:true"]


def test_the_image_is_pinned_and_runs_without_root() -> None:
    text = (compose.ROOT / "Dockerfile").read_text("utf-8")
    assert all(re.search(r":\d+\.\d+\.\d+", line) for line in re.findall(r"^FROM .*", text, re.M))
    assert re.findall(r"^USER (\w+)", text, re.M)[-1] == "overstory"


def test_the_image_is_made_of_locks_that_reach_the_builder() -> None:
    """run.txt, or with TRACES=1 or MCP=1 what has an extra too, at the same versions."""
    root = compose.ROOT
    reach = (root / ".dockerignore").read_text("utf-8").splitlines()
    pinned = {}
    for name in ("run", "traces", "mcp"):
        assert f"!requirements/{name}.txt" in reach
        text = (root / "requirements" / f"{name}.txt").read_text("utf-8")
        pinned[name] = set(re.findall(r"^([\w.-]+==[^ ;]+)", text, re.MULTILINE))
    assert pinned["run"] < pinned["traces"]
    assert any(word.startswith("opentelemetry-sdk==") for word in pinned["traces"])
    assert pinned["run"] < pinned["mcp"]
    assert any(word.startswith("mcp==") for word in pinned["mcp"])
    both = {*pinned["traces"], *pinned["mcp"]}
    assert len({word.partition("==")[0] for word in both}) == len(both)
