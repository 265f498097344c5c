"""What a job is compared with: the careful script, Daft, and a bare Celery worker."""

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

from benchmarks.pipeline.command import RUN_SECONDS, Scene, sandbox_of
from benchmarks.pipeline.measure import Ended, cpu_of, watched
from benchmarks.pipeline.pictures import forget
from core.settings import load
from overstory.local.stack import LocalStack
from workers.app import make_app

NOOPS = 2_500
START_SECONDS = 60.0
DAFT_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Rival:
    """A script's run over a whole set, in seconds from its start to its end. ``answers``: pictures
    in its answer; 0 if it ended with an error or was stopped."""

    answers: int
    images: int
    seconds: float
    cpu: float
    sandbox_cpu: float
    refused: int  # calls


def careful(scene: Scene, pictures: Path) -> Rival:
    """Run the careful script against the limits of the scene's account."""
    argv = [sys.executable, "-m", "benchmarks.pipeline.careful_script"]
    return _rival(scene, pictures, argv, RUN_SECONDS)


def daft(scene: Scene, pictures: Path, python: Path) -> Rival:
    """Run the script of Daft in its own environment. It is stopped after ``DAFT_SECONDS``."""
    argv = [str(python), str(Path(__file__).with_name("daft_script.py"))]
    return _rival(scene, pictures, argv, DAFT_SECONDS)


def _rival(scene: Scene, pictures: Path, argv: list[str], seconds: float) -> Rival:
    forget(pictures.iterdir())
    with tempfile.TemporaryDirectory() as folder, sandbox_of(scene) as endpoint:
        out = Path(folder) / "rival"
        argv += [str(pictures), endpoint.base_url, str(scene.limits.concurrency)]
        try:
            ended = watched(argv, dict(os.environ), out, seconds)
        except TimeoutError:
            ended = Ended(wall=seconds)
        stats, sandbox_cpu = endpoint.stats(), cpu_of(endpoint.pid)
        lines = out.with_suffix(".out").read_text(encoding="utf-8").splitlines()
    return Rival(
        answers=json.loads(lines[-1])["answers"] if lines and not ended.status else 0,
        images=scene.images,
        seconds=ended.wall,
        cpu=ended.cpu,
        sandbox_cpu=sandbox_cpu,
        refused=sum(stats["refused_429"].values()),
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
