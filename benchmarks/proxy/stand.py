"""The sandbox, LiteLLM's proxy in front of it, and the real command in front of both."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overstory.sandbox.process import SandboxProcess
from tests.support.pictures import draw_image
from tests.support.ports import free_port

IMAGES = 16
START_SECONDS = 120.0
RUN_SECONDS = 300.0
OWN = ("OVERSTORY_", "STEPFUN_", "OPENAI_")
MODEL = "step-3.7-flash"
PRICES = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
MODELS = ("vlm", "impatient", "budgeted")
PRICED = json.dumps(
    {"as_of": "2026-11-29", "models": {name: {"prompt": 1.0, "completion": 2.0} for name in MODELS}}
)
PLAIN, WRONG = "sk-plain", "sk-wrong"
PARALLEL, REQUESTS, TOKENS, BUDGET = "sk-parallel", "sk-requests", "sk-tokens", "sk-budget"


def spends(most: float) -> dict[str, Any]:
    """The limits of a key that may spend so much on the model a day."""
    return {"model_max_budget": {"vlm": {"budget_limit": most, "time_period": "1d"}}}


KEYS: dict[str, dict[str, Any]] = {
    PLAIN: {},
    PARALLEL: {"max_parallel_requests": 2},
    REQUESTS: {"rpm_limit": 12},
    TOKENS: {"tpm_limit": 40_000},
    BUDGET: spends(0.002),
}


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run came to: its result, what it said, and the seconds that it took. ``refused``: its
    requests that the endpoint was not paid for."""

    result: dict[str, Any]
    said: str
    seconds: float
    refused: int


@dataclass
class Stand:
    """One proxy for all rows; each row has a state folder of its own."""

    folder: Path
    sandbox: SandboxProcess
    url: str

    def limit(self, key: str, limits: dict[str, Any]) -> None:
        """What a key may do, from the next request on."""
        path = self.folder / "keys.json"
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        aside = path.with_suffix(".new")
        aside.write_text(json.dumps(known | {key: limits}), encoding="utf-8")
        aside.replace(path)

    def run(
        self,
        key: str,
        model: str = "vlm",
        *,
        pack: int = 1,
        until: str | None = None,
        then: Callable[[], object] | None = None,
    ) -> Ran:
        """Run the command. When it has said ``until`` (a pattern), do ``then``, else interrupt it.
        Raises RuntimeError if it prints no result."""
        home = self.folder / "home"
        shutil.rmtree(home, ignore_errors=True)
        self.sandbox.reset()
        argv = [sys.executable, "-m", "overstory", "run", str(self.folder / "pictures")]
        argv += ["--ask", "Which colours are there?", "--pack", str(pack), "--json", "--yes"]
        begun = time.monotonic()
        with (self.folder / "said.txt").open("w+", encoding="utf-8") as said:
            process = subprocess.Popen(
                argv, env=self._environment(home, key, model), stdout=subprocess.PIPE, stderr=said
            )
            try:
                if until is not None:
                    _wait_for(said.name, until, process)
                    then() if then else process.send_signal(signal.SIGINT)
                out, _ = process.communicate(timeout=RUN_SECONDS)
            finally:
                process.kill()
            seconds = time.monotonic() - begun
            said.seek(0)
            text = said.read()
        if not out.strip():
            raise RuntimeError(f"the command exited with {process.returncode}: {text[-2_000:]}")
        result = json.loads(out)
        sent = result["usage"]["requests"]
        return Ran(result, text, seconds, sent - self.sandbox.stats()["paid"])

    def _environment(self, home: Path, key: str, model: str) -> dict[str, str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(OWN)}
        return clean | {
            "OVERSTORY_HOME": str(home),
            "OVERSTORY_API_KEY": key,
            "OVERSTORY_PROVIDER": "openai",
            "OVERSTORY_BASE_URL": self.url,
            "OVERSTORY_MODEL": model,
            "OVERSTORY_PRICES": PRICED,
            "OVERSTORY_CONCURRENCY": "8",
            "OVERSTORY_RPM": "1000",
            "OVERSTORY_TPM": "10000000",
        }


@contextmanager
def stand(litellm: Path, folder: Path) -> Iterator[Stand]:
    """The sandbox and the proxy while the block lasts. Raises RuntimeError if the proxy does not
    start within two minutes."""
    for number in range(IMAGES):
        draw_image(folder / "pictures" / f"{number:02}.png", number)
    with SandboxProcess(tier="b:V4", latency_seconds=0.3) as sandbox:
        port = free_port()
        ready = Stand(folder, sandbox, f"http://127.0.0.1:{port}/v1")
        for key, limits in KEYS.items():
            ready.limit(key, limits)
        process = _start(litellm, folder, sandbox.base_url, port)
        try:
            _wait_until_alive(process, port, folder)
            yield ready
        finally:
            process.terminate()
            process.wait(30)


def _start(litellm: Path, folder: Path, upstream: str, port: int) -> subprocess.Popen[bytes]:
    config = folder / "config.yaml"  # JSON is YAML
    config.write_text(json.dumps(_config(upstream)), encoding="utf-8")
    shutil.copy(Path(__file__).with_name("litellm_keys.py"), folder)
    with (folder / "proxy.txt").open("wb") as log:
        return subprocess.Popen(
            [litellm, "--config", config, "--host", "127.0.0.1", "--port", str(port)],
            cwd=folder,
            stdout=log,
            stderr=log,
            env=os.environ
            | {
                "PROXY_KEYS": str(folder / "keys.json"),
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it fetches one
                "LITELLM_TELEMETRY": "False",
                "LITELLM_LOG": "ERROR",
            },
        )


def _config(upstream: str) -> dict[str, Any]:
    params = {"model": f"openai/{MODEL}", "api_base": upstream, "api_key": "sk-upstream", **PRICES}
    models = {
        "vlm": params,
        "impatient": params | {"timeout": 1},
        "budgeted": params | {"model": f"hosted_vllm/{MODEL}"},
    }
    budget = {"budget_limit": 0.002, "time_period": "1d"}
    return {
        "model_list": [{"model_name": k, "litellm_params": v} for k, v in models.items()],
        "router_settings": {"num_retries": 0, "provider_budget_config": {"hosted_vllm": budget}},
        "general_settings": {
            "master_key": f"sk-{os.urandom(24).hex()}",
            "custom_auth": "litellm_keys.authenticate",
            "custom_auth_run_common_checks": True,
        },
        "litellm_settings": {"enable_post_custom_auth_checks": True},
    }


def _wait_until_alive(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    for _ in range(int(START_SECONDS)):
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health/liveliness", timeout=2).close()
        except OSError:
            time.sleep(1.0)
        else:
            return
    log = (folder / "proxy.txt").read_text(encoding="utf-8")
    raise RuntimeError(f"LiteLLM's proxy did not start: {log[-2_000:]}")


def _wait_for(path: str, pattern: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until the command has said it, or has ended."""
    ends = time.monotonic() + RUN_SECONDS
    while process.poll() is None and time.monotonic() < ends:
        if re.search(pattern, Path(path).read_text(encoding="utf-8")):
            return
        time.sleep(0.2)
