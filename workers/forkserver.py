"""The fork server: a process that has loaded the code and forks a worker for each order it reads.

A worker's start is nearly all imports: a second of CPU for each of three workers, while a command
waits. So ``overstory run`` first loads what it shares with its workers, then forks two servers. One
forks the workers that prepare images, at once. The other loads the SDK meanwhile and forks those
that call the provider. A forked worker is up in a tenth of a second and shares the memory of the
code. A command that has already opened other things starts one server anew instead
(``-m workers.forkserver``). A server holds no connection and no thread before it forks. It ends
when its stdin does; its workers then notice that their parent is gone.

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

from workers.loading import loaded

SHARED = ("workers.app", "tasks.submit", "tasks.preprocess")
"""What the command needs, too."""
WORKERS = (
    "celery.apps.worker",
    "celery.concurrency.prefork",
    "celery.concurrency.thread",
    "celery.worker.consumer",
    # what these would load only when they need it, each for itself
    *("celery.app.routes", "celery.backends.redis", "celery.events.dispatcher"),
    *("celery.events.receiver", "kombu.pidbox", "kombu.transport.redis"),
    *("billiard.popen_fork", "billiard.sharedctypes", "billiard.synchronize"),
    *("PIL.BmpImagePlugin", "PIL.GifImagePlugin", "PIL.JpegImagePlugin", "PIL.PngImagePlugin"),
    "PIL.PpmImagePlugin",
    "tasks.upload",
    "tasks.infer",
    "tasks.aggregate",
    "clients.blobs",
    "clients.images.prepare",
)
PROVIDER = ("clients.provider.transport", "clients.provider.client")
"""The SDK takes a quarter of the time, and only who speaks to the provider needs it."""
COMM = Path("/proc/self/comm")
ORDERS, ANSWERS, ERRORS = 0, 1, 2
"""Descriptors of a fork server: its orders, its answers, its error output."""
MANY = 1 << 20  # descriptors, where there is no limit


def main() -> None:
    """A fork server of its own: load, then serve orders until stdin ends."""
    _serve()


def split(provider: bool) -> tuple[int, int, int]:
    """Fork a server from this process, which has loaded SHARED and has no other thread.

    Returns its process id, the descriptor for its orders and the one for its answers.
    ``provider``: its workers call the provider.
    """
    orders, told = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        _be_fork_server(orders[0], told[1], provider)
    os.close(orders[0])
    os.close(told[1])
    return pid, orders[1], told[0]


def _be_fork_server(orders: int, answers: int, provider: bool) -> NoReturn:
    """Serve to the end, then leave without what the command's interpreter would do at its own."""
    try:
        os.setsid()  # Ctrl-C is for the command
        null = os.open(os.devnull, os.O_WRONLY)
        for found, wanted in ((orders, ORDERS), (answers, ANSWERS), (null, ERRORS)):
            os.dup2(found, wanted)
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        os.closerange(ERRORS + 1, MANY if most == resource.RLIM_INFINITY else most)
        _name("overstory-forkserver")
        _serve(provider)
    finally:
        os._exit(1)


def _serve(provider: bool = False) -> None:
    workers = loaded(*SHARED, *WORKERS)
    if provider:
        loaded(*PROVIDER).authorities()
    signal.signal(signal.SIGCHLD, _reap)
    with open(ORDERS, "rb", closefd=False) as lines:
        for line in lines:
            order = json.loads(line)
            if order["queues"] != "preprocess":
                loaded(*PROVIDER).authorities()
            os.write(ANSWERS, f"{_fork(workers, order)}\n".encode())


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
        _leave_fork_server(order)
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
    except BaseException:  # whatever it is, it must not go on as a second fork server
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _leave_fork_server(order: dict[str, Any]) -> None:
    """A session, streams and an environment of its own, as a process that was started alone."""
    os.setsid()
    parent = os.getppid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDONLY)
    log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for found, wanted in ((null, 0), (log, 1), (log, 2)):
        os.dup2(found, wanted)
    os.environ.update(order["environment"], OVERSTORY_PARENT_PID=str(parent))
    _name(order["name"])


def _name(name: str) -> None:
    """What ps and top show."""
    with contextlib.suppress(OSError):
        COMM.write_text(name[:15], encoding="utf-8")


if __name__ == "__main__":
    main()
