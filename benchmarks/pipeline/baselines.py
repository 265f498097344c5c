"""Baselines: the plain script, and a bare Celery worker on the same broker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.pipeline.command import Scene, sandbox_of
from benchmarks.pipeline.measure import cpu_of, watched
from benchmarks.pipeline.pictures import forget
from core.settings import load
from overstory.local.stack import LocalStack
from workers.app import make_app

NOOPS = 2_500
START_SECONDS = 60.0
SCRIPT_SECONDS = 8.0
"""About how long the plain script may send requests; its rate gives the time of the full set."""
PATIENCE_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Plain:
    """The script's run on a set. If it was stopped early, its rate extrapolates ``seconds``."""

    answers: int
    images: int
    retries: int
    seconds: float
    cpu: float
    sandbox_cpu: float
    stopped: bool


def script_seconds(latency_seconds: float) -> float:
    """How long the script may send requests: a multiple of a call's time, to get a fair rate."""
    return max(1, round(SCRIPT_SECONDS / latency_seconds)) * latency_seconds


def plain(scene: Scene, pictures: Path, shrinking: bool) -> Plain:
    """Run the plain script against the same limits, for ``script_seconds`` plus its last calls."""
    seconds = script_seconds(scene.latency_seconds)
    forget(pictures.iterdir())
    with tempfile.TemporaryDirectory() as folder, sandbox_of(scene) as endpoint:
        argv = [sys.executable, "-m", "benchmarks.pipeline.plain_script", str(pictures)]
        argv += [endpoint.base_url, str(scene.limits.concurrency)]
        argv += [str(scene.window_seconds), str(seconds)]
        argv += ["--shrink"] if shrinking else []
        ended = watched(argv, dict(os.environ), Path(folder) / "plain", seconds + PATIENCE_SECONDS)
        result = json.loads((Path(folder) / "plain.out").read_text())
        sandbox_cpu = cpu_of(endpoint.pid)
    answers, images = result["answers"], result["images"]
    return Plain(
        answers=answers,
        images=images,
        retries=result["retries"],
        seconds=ended.wall + seconds * (images - answers) / max(answers, 1),
        cpu=ended.cpu,
        sandbox_cpu=sandbox_cpu,
        stopped=answers < images,
    )


@dataclass(frozen=True, slots=True)
class Noop:
    """Bare Celery: messages per second, and CPU seconds per message of sender and worker."""

    per_second: float
    send_cpu: float
    run_cpu: float


def noop() -> Noop:
    """Measure empty tasks through the embedded Valkey and one worker that sends events."""
    with tempfile.TemporaryDirectory(prefix="noop-") as name:
        home = Path(name)
        settings = load(home=home, api_key="bench-key-0123456789", base_url="http://127.0.0.1:1/v1")
        embedded = LocalStack(settings)
        embedded.start()
        try:
            return _noop(home)
        finally:
            embedded.stop()


def _noop(home: Path) -> Noop:
    app = make_app(load(home=home))
    done = home / "done"
    begun = time.process_time()
    for _ in range(NOOPS):
        app.send_task(
            "overstory.preprocess",
            kwargs={"total": NOOPS, "signal": str(done)},
            ignore_result=True,
        )
    send_cpu = time.process_time() - begun
    worker = _worker(home)
    try:
        log = home / "logs" / "noop.log"
        _until(lambda: " ready." in log.read_text())
        cpu, started = cpu_of(worker.pid), time.time()
        left = app.connection_for_read().default_channel.queue_declare("preprocess", passive=True)
        _until(done.exists)
        seconds = float(done.read_text()) - started
        return Noop(
            per_second=left.message_count / seconds,
            send_cpu=send_cpu / NOOPS,
            run_cpu=(cpu_of(worker.pid) - cpu) / left.message_count,
        )
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait()


def _worker(home: Path) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "celery", "-A", "benchmarks.pipeline.noop", "worker"]
    argv += ["-Q", "preprocess", "-P", "threads", "-c", "8"]
    argv += ["--without-gossip", "--without-mingle", "-l", "INFO"]
    with (home / "logs" / "noop.log").open("ab") as log:
        return subprocess.Popen(
            argv,
            env=os.environ | {"OVERSTORY_HOME": str(home)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _until(holds: object) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not holds():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise TimeoutError("the bare worker made no progress")
        time.sleep(0.01)
