"""What the whole is compared with: the plain script, and a bare Celery on the same broker."""

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
from core.settings import load
from overstory.embedded import Embedded
from workers.app import make_app

NOOPS = 4_000
START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Plain:
    """The script on a set. Where it was stopped early, ``seconds`` goes on at the rate it had."""

    answers: int
    images: int
    retries: int
    seconds: float
    cpu: float
    stopped: bool


def plain(scene: Scene, pictures: Path, seconds: float) -> Plain:
    """Run the plain script for at most about ``seconds``, against the same limits."""
    with tempfile.TemporaryDirectory() as folder, sandbox_of(scene) as endpoint:
        words = [sys.executable, "-m", "benchmarks.pipeline.plain_script", str(pictures)]
        words += [endpoint.base_url, str(scene.limits.concurrency)]
        words += [str(scene.window_seconds), str(seconds)]
        ended = watched(words, dict(os.environ), Path(folder) / "plain", 2 * seconds + 60)
        found = json.loads((Path(folder) / "plain.out").read_text())
    stopped = found["answers"] < found["images"]
    rate = max(found["answers"], 1) / found["seconds"]
    return Plain(
        answers=found["answers"],
        images=found["images"],
        retries=found["retries"],
        seconds=found["images"] / rate if stopped else ended.wall,
        cpu=ended.cpu,
        stopped=stopped,
    )


@dataclass(frozen=True, slots=True)
class Noop:
    """Bare Celery: messages a second through a worker, and CPU of sender and worker a message."""

    per_second: float
    send_cpu: float
    run_cpu: float


def noop() -> Noop:
    """Messages that do nothing, through the embedded Valkey and one worker with events on."""
    with tempfile.TemporaryDirectory(prefix="noop-") as name:
        home = Path(name)
        settings = load(home=home, api_key="bench-key-0123456789", base_url="http://127.0.0.1:1/v1")
        embedded = Embedded(settings)
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
    words = [sys.executable, "-m", "celery", "-A", "benchmarks.pipeline.noop", "worker"]
    words += ["-Q", "preprocess", "-P", "threads", "-c", "8"]
    words += ["--without-gossip", "--without-mingle", "-l", "INFO"]
    with (home / "logs" / "noop.log").open("ab") as log:
        return subprocess.Popen(
            words,
            env=os.environ | {"OVERSTORY_HOME": str(home)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _until(holds: object) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not holds():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise TimeoutError("the bare worker did nothing")
        time.sleep(0.01)
