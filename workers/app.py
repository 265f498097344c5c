"""The Celery app: ``celery -A workers.app worker -Q preprocess ...``.

The comment at a setting says why it differs from Celery's default. How Celery 5.7.0 behaves under
faults with and without it is in the project's reference (celery.md).
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import Any

from celery import Celery, bootsteps, signals
from kombu.entity import Exchange, Queue

from clients import private_files
from clients.images import decoder_source
from clients.redis import RedisServer
from core import settings as configuration
from core.errors import ServiceAway, ServiceRefuses, WrongUsage
from core.settings import Settings
from core.stages import PREPROCESS, STAGES, SUBMIT
from tasks.runtime.services import Services
from workers import heap
from workers.broker_health import await_broker
from workers.endpoints import celery_connection, embedded_url
from workers.free_threads import FreeThreads, wake
from workers.logs import configure_logs
from workers.parent import end_with_parent
from workers.services import build_services

CONTROL_EXCHANGE, EVENT_EXCHANGE = "overstory", "overstory.events"
"""Where ``inspect``, ``control`` and Flower reach our workers, and no worker of another app."""
CELERY_PROGRAMS = ("/celery", "/celery/__main__.py")
LAST_RESULT_SECONDS = 2.0
"""A parent that still reads results does so within milliseconds."""


class OverstoryCelery(Celery):  # type: ignore[misc]
    """The app with its services, which each process builds on first use, so after any fork."""

    _services: tuple[int, Services] | None = None

    def services(self) -> Services:
        if self._services is None or self._services[0] != os.getpid():
            self._services = (os.getpid(), build_services(configuration.load(), self))
        return self._services[1]

    def let_go(self) -> None:
        """Send the last spans of this process, if it built services."""
        if self._services is not None and self._services[0] == os.getpid():
            self._services[1].traces.close()


def queue(name: str) -> Queue:
    exchange = Exchange(name, type="direct")  # type: ignore[no-untyped-call]
    return Queue(name, exchange, routing_key=name)  # type: ignore[no-untyped-call]


def make_app(settings: Settings) -> OverstoryCelery:
    app = OverstoryCelery("overstory")
    connection = celery_connection(settings)
    app.conf.update(connection)
    app.conf.update(
        # only overstory.submit has a result, the job's id; a result for each task costs a third
        result_expires=86_400,
        task_ignore_result=True,
        # JSON only: a message cannot carry code
        accept_content=["json"],
        task_serializer="json",
        result_serializer="json",
        # early ack: leases recover lost work; late acks kill 5.7.0 workers at a broker restart
        task_acks_late=False,
        # no prefetch, so early ack loses at most the running tasks
        worker_disable_prefetch=True,
        worker_prefetch_multiplier=1,
        # the reconciler sends lost messages again; a publisher must not hang on a dead broker
        task_publish_retry=False,
        # workers retry the broker without limit
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_transport_options=connection["broker_transport_options"]
        | {
            # messages are acknowledged early. A record of those that are not would be shared with
            # other apps of this database: each would send again what is late by its own clock. And
            # a full server could not take the record of a message that was just popped
            "ack_emulation": False,
            "socket_keepalive": True,
            "health_check_interval": 10,
            "client_name": _client_name() if settings.broker_url is None else None,
        },
        # how long a stopping worker waits for its calls; leases recover the others
        worker_soft_shutdown_timeout=settings.soft_shutdown_seconds,
        worker_max_memory_per_child=settings.child_memory_kib,
        # Flower shows events
        worker_send_task_events=settings.task_events is not False,
        task_send_sent_event=settings.task_events is not False,
        task_track_started=True,
        # our own logging, set up below
        worker_hijack_root_logger=False,
        # other apps may use this database: their queues, broadcasts and events are not ours
        task_default_queue=SUBMIT.name,
        task_queues=[queue(stage.name) for stage in STAGES],
        control_exchange=CONTROL_EXCHANGE,
        event_exchange=EVENT_EXCHANGE,
        event_queue_prefix=EVENT_EXCHANGE,
        # events carry ids and positions, never the question
        task_annotations={"*": {"Request": "workers.redaction:Request"}},
        task_routes={stage.task: {"queue": stage.name} for stage in STAGES},
        imports=[f"tasks.{stage.name}" for stage in STAGES],
        # a message in the wrong form ends neither this worker nor the next
        worker_consumer="workers.consumer:Consumer",
        worker_proc_alive_timeout=30,
        timezone="UTC",
    )
    app.steps["consumer"].add(FreeThreads)
    if settings.broker_url is None:
        app.steps["consumer"].add(LetGo)
    return app


def _client_name() -> str:
    """The name of this process's connections to the broker."""
    return f"overstory-{os.getpid()}"


class LetGo(bootsteps.StartStopStep):  # type: ignore[misc]
    """When a worker of the embedded broker ends, make its last blocking pop return at once, empty.
    Closing the connection waits for that pop, otherwise up to a second."""

    requires = ("celery.worker.consumer:Connection",)

    def shutdown(self, consumer: Any) -> None:
        url = embedded_url(configuration.load().home, 0)
        if url is None:
            return
        server = RedisServer(url, timeout_seconds=1.0)
        with contextlib.suppress(ServiceAway):
            server.unblock(consumer.app.conf.broker_transport_options["client_name"])
        server.close()


def _app() -> OverstoryCelery:
    """The app of ``celery -A workers.app``, which shows a traceback for any error: a wrong setting
    ends it with its sentence instead."""
    try:
        return make_app(configuration.load())
    except WrongUsage as error:
        if sys.argv[0].endswith(CELERY_PROGRAMS):
            raise SystemExit(f"overstory: {error}") from None
        raise


app = _app()


@signals.celeryd_init.connect  # type: ignore[untyped-decorator]
def _be_private(**_: Any) -> None:
    """What a worker creates is for its owner alone. Not in a program that only imports the app."""
    os.umask(private_files.UMASK)


@signals.celeryd_init.connect  # type: ignore[untyped-decorator]
def _await_broker(**_: Any) -> None:
    """End a worker that can never work with its broker, with the reason; wait for a broker that is
    full or starting. One that does not answer is Celery's to wait for."""
    settings = configuration.load()
    configure_logs(settings)
    try:
        await_broker(settings)
    except (ServiceRefuses, WrongUsage) as error:
        raise SystemExit(f"overstory: {error}") from None


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def _logs(**_: Any) -> None:
    configure_logs(configuration.load())


@signals.worker_init.connect  # type: ignore[untyped-decorator]
def _end_child_soon(**_: Any) -> None:
    """Shorten the wait of a pool's child that ends.

    It waits up to half a minute for its parent to read its last result. If the parent was asked to
    stop between sending the task and hearing of its start, Celery 5.7.0 forgets the task and never
    reads. We need no such result: a task's work is in the database, and the child has already sent
    the only result there is.
    """
    from billiard import pool

    pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = round(
        LAST_RESULT_SECONDS / pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_INTERVAL
    )


@signals.worker_init.connect  # type: ignore[untyped-decorator]
def _load_decoders(sender: Any, **_: Any) -> None:
    """Start the source of decoding processes before the pool is forked: its children share it."""
    if PREPROCESS.name in sender.app.amqp.queues.consume_from:
        decoder_source.begin()


@signals.worker_init.connect  # type: ignore[untyped-decorator]
def _bound_memory(sender: Any, **_: Any) -> None:
    """Many threads send and read in a worker that calls the provider. Image preparation takes
    large blocks all the time, which are the C library's to keep."""
    if PREPROCESS.name not in sender.app.amqp.queues.consume_from:
        heap.keep_little()


@signals.worker_init.connect  # type: ignore[untyped-decorator]
def _end_with_parent(**_: Any) -> None:
    """An embedded worker stops when the command that started it has ended for any reason."""
    end_with_parent(_has_work)


def _has_work() -> bool:
    """Whether this worker has an unfinished message."""
    from celery.worker import state  # loaded in a worker; a command does not need it

    return bool(state.reserved_requests or state.active_requests)


@signals.worker_process_shutdown.connect  # type: ignore[untyped-decorator]
def _child_ends(**_: Any) -> None:
    """A pool's child ends without the interpreter's exit handlers: send its last spans here."""
    app.let_go()


@signals.worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _stopping(**_: Any) -> None:
    """Release threads that wait for admission, so that a warm shutdown waits only for calls."""
    app.services().stopping.set()
    # the loop would see the shutdown when its poll ends; this thread may hold the hub's lock
    threading.Thread(target=wake, name="wake").start()
