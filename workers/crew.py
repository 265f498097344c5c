"""One process that loads the code once and forks a worker for each order it reads.

A worker's start is nearly all imports (a second of CPU each, three workers), and a command waits
for them. ``overstory run`` starts this first, so that it loads while the command plans the job;
each worker is then a fork, up in a tenth of a second, sharing the memory of the code. It holds no
connection and no thread before it forks. It ends when its stdin does; its workers then see that
their parent is gone.

An order is a line of JSON, {"pool", "queues", "concurrency", "name", "level", "log",
"environment"}; the answer is a line with the worker's process id.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

FIRST = (
    "celery.apps.worker",
    "celery.concurrency.prefork",
    "celery.concurrency.thread",
    "celery.worker.consumer",
    "tasks.submit",
    "tasks.preprocess",
    "tasks.upload",
    "tasks.infer",
    "tasks.aggregate",
    "clients.blobs",
    "clients.imaging",
)
"""What every worker needs. Images are prepared first, so their workers are forked with no more."""
PROVIDER = "clients.provider"
"""The SDK takes a quarter of the time, and only who speaks to the provider needs it."""
COMM = Path("/proc/self/comm")


def main() -> None:
    """Load, then serve orders until stdin ends."""
    workers = _load("workers.app", *FIRST)
    signal.signal(signal.SIGCHLD, _reap)
    while line := sys.stdin.buffer.readline():
        order = json.loads(line)
        if order["queues"] != "preprocess":
            _load(PROVIDER)
        pid = _fork(workers, order)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def _load(*names: str) -> Any:
    """The first of the modules ``names``, after all of them were imported."""
    gc.disable()  # nothing that is imported is garbage, and looking for it takes a tenth
    modules = [importlib.import_module(name) for name in names]
    gc.freeze()  # nor should a fork touch (and so copy) what it shares
    gc.enable()
    return modules[0]


def _fork(workers: Any, order: dict[str, Any]) -> int:
    """The process id of a new worker, which by then leads its own session (it is stopped as a
    group) and writes its own log."""
    ready, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ready)
        _become(workers, order, tell)
    os.close(tell)
    os.read(ready, 1)  # ends when the worker closes it, or is gone
    os.close(ready)
    return pid


def _reap(number: int, frame: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _become(workers: Any, order: dict[str, Any], tell: int) -> NoReturn:
    """Be a worker to the end; closing ``tell`` says that it is one. Interpreter and modules are
    not taken down piece by piece: the worker has closed what it had."""
    status = 1
    try:
        _leave_crew(order)
        os.close(tell)
        workers.app = app = workers.make_app(workers.configuration.load())
        worker = app.Worker(
            hostname=order["name"],
            pool=order["pool"],
            queues=order["queues"],
            concurrency=order["concurrency"],
            loglevel=order["level"],
            without_gossip=True,
            without_mingle=True,
        )
        worker.start()
        status = worker.exitcode or 0
    except BaseException:  # whatever it is, it must not go on as a second crew
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _leave_crew(order: dict[str, Any]) -> None:
    """A session, streams and an environment of its own, as a process that was started alone."""
    os.setsid()
    parent = os.getppid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDONLY)
    log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for found, wanted in ((null, 0), (log, 1), (log, 2)):
        os.dup2(found, wanted)
    os.environ.update(order["environment"], OVERSTORY_PARENT_PID=str(parent))
    with contextlib.suppress(OSError):
        COMM.write_text(order["name"][:15], encoding="utf-8")  # what ps and top show


if __name__ == "__main__":
    main()
