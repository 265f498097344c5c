"""The fork server: a process that has loaded the code and forks a worker for each order it reads.

Imports are most of a worker's start: a second of CPU for each of three workers, while a command
waits. So ``overstory run`` first loads the code that it shares with its workers, then forks two
servers. One forks the workers that prepare images, at once. The other loads the SDK meanwhile and
forks the workers that call the provider. A forked worker is up in a tenth of a second and shares
the memory of the code. A command that already has connections or threads starts one server as a new
process instead (``-m workers.forkserver``). A server has no connection and no thread when it forks.
It ends when its stdin is closed; its workers then see that their parent has ended.

An order is a line of JSON, {"pool", "queues", "concurrency", "name", "level", "log",
"environment"}; the answer is a line with the worker's process id.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

from clients import private_files
from clients.images import decoder_source
from core.stages import PREPROCESS, STAGES
from workers.loading import loaded

SHARED = ("workers.app", "tasks.submit", "tasks.preprocess")
"""The command needs these modules, too."""
WORKERS = (
    "celery.apps.worker",
    "celery.concurrency.prefork",
    "celery.concurrency.thread",
    "celery.worker.consumer",
    # loaded here, because each worker would otherwise load them later for itself
    *("celery.app.routes", "celery.backends.redis", "celery.events.dispatcher"),
    *("celery.events.receiver", "kombu.pidbox", "kombu.transport.redis"),
    *("billiard.popen_fork", "billiard.sharedctypes", "billiard.synchronize"),
    *(f"tasks.{stage.name}" for stage in STAGES),
    "clients.blobs",
)
PROVIDER = ("clients.provider.transport", "clients.provider.client")
"""The SDK takes a quarter of the time; only workers that call the provider need it."""
COMM = Path("/proc/self/comm")
ORDERS, ANSWERS, ERRORS = 0, 1, 2
"""Descriptors of a fork server: its orders, its answers, its error output."""
MANY = 1 << 20  # descriptors, where there is no limit


def main() -> None:
    """Run a fork server as its own process: load, then serve orders until stdin ends."""
    decoder_source.begin()
    with private_files.private_umask():
        _serve()


def split(provider: bool) -> tuple[int, int, int]:
    """Fork a server from this process, which has loaded SHARED and has no other thread.

    Returns its process id, the descriptor for its orders and the one for its answers.
    ``provider``: its workers call the provider.
    """
    orders, answers = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        _be_fork_server(orders[0], answers[1], provider)
    os.close(orders[0])
    os.close(answers[1])
    return pid, orders[1], answers[0]


def _be_fork_server(orders: int, answers: int, provider: bool) -> NoReturn:
    """Serve until the orders end, then exit without the interpreter's exit handlers: they are the
    command's."""
    try:
        os.setsid()  # Ctrl-C is for the command
        for number in (signal.SIGTERM, signal.SIGINT):  # so are its handlers
            signal.signal(number, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_WRONLY)
        for source, target in ((orders, ORDERS), (answers, ANSWERS), (null, ERRORS)):
            os.dup2(source, target)
        _close_others(decoder_source.descriptor())
        _name("overstory-forkserver")
        _serve(provider)
    finally:
        os._exit(1)


def _close_others(kept: int | None) -> None:
    """Close what is open but the streams and ``kept``."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    end = MANY if most == resource.RLIM_INFINITY else most
    kept = ERRORS if kept is None else kept
    os.closerange(ERRORS + 1, kept)
    os.closerange(kept + 1, end)


def _serve(provider: bool = False) -> None:
    workers = loaded(*SHARED, *WORKERS)
    if provider:
        loaded(*PROVIDER).authorities()
    signal.signal(signal.SIGCHLD, _reap)
    with open(ORDERS, "rb", closefd=False) as lines:
        for line in lines:
            order = json.loads(line)
            if order["queues"] != PREPROCESS.name:
                loaded(*PROVIDER).authorities()
            os.write(ANSWERS, f"{_fork(workers, order)}\n".encode())


def _fork(workers: Any, order: dict[str, Any]) -> int:
    """Fork a worker; returns its process id when it leads its own session (it is stopped as a
    group) and writes its own log."""
    ready, started = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ready)
        _be_worker(workers, order, started)
    os.close(started)
    os.read(ready, 1)  # returns when the worker closes its end or has ended
    os.close(ready)
    return pid


def _reap(number: int, frame: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _be_worker(workers: Any, order: dict[str, Any], started: int) -> NoReturn:
    """Run a worker until it ends; closes ``started`` when it is set up. Exits without the
    interpreter's exit handlers: the worker has closed what it had open."""
    status = 1
    try:
        _leave_fork_server(order)
        os.close(started)
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
    except BaseException:  # this process must never continue as a second fork server
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _leave_fork_server(order: dict[str, Any]) -> None:
    """Get its own session, streams and environment, like a process that was started alone."""
    os.setsid()
    parent = os.getppid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDONLY)
    log = private_files.opened(Path(order["log"]), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.environ.update(order["environment"], OVERSTORY_PARENT_PID=str(parent))
    _name(order["name"])


def _name(name: str) -> None:
    """Set the name that ps and top show."""
    with contextlib.suppress(OSError):
        COMM.write_text(name[:15], encoding="utf-8")


if __name__ == "__main__":
    main()
