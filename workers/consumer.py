"""The consumer of a worker: a message that it cannot use becomes a dead letter.

Celery 5.7.0 takes errors in a message's form for errors of its own: the worker ends, the message
goes back to the queue, and the next worker ends, too. One message without arguments (``[]``) does
it. And it drops a message for a task that is not ours, which another app may have lost.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog
from celery.exceptions import NotRegistered
from celery.worker.consumer import Consumer as CeleryConsumer

from core import settings as configuration
from core import stages
from core.errors import WrongUsage
from workers import broker_channel
from workers.broker_channel import MALFORMED, put_aside

log = structlog.get_logger()

UNREADABLE = "it is not JSON in the form of a task message, or is nested too deep"
JSON = "application/json"
RETRY_SECONDS_MAX = 5.0
"""The longest pause between two tries to reach the broker. Celery's own grows to half a minute, for
which workers stand still after the broker is back."""
FOREIGN = "its task is not one of Overstory's"


class Consumer(CeleryConsumer):  # type: ignore[misc]
    """Celery's consumer with messages bounded in bytes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        broker_channel.install()  # before its first connection
        super().__init__(*args, **kwargs)
        self._leave_alone()

    def _leave_alone(self) -> None:
        """Take from our own queues alone, also if ``-Q`` names another, as earlier versions had it:
        what is there may be another app's."""
        ours = {stage.name for stage in stages.STAGES}
        foreign = sorted(set(self.app.amqp.queues.consume_from) - ours)
        if foreign:
            self.app.amqp.queues.deselect(foreign)
            log.warning("worker.queues_left_alone", queues=foreign)

    def ensure_connected(self, conn: Any) -> Any:
        conn.ensure_connection = partial(conn.ensure_connection, interval_max=RETRY_SECONDS_MAX)
        return super().ensure_connected(conn)

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], Any]:
        handle = super().create_task_handler(*args, **kwargs)
        most = configuration.load().max_message_bytes

        def on_task_received(message: Any) -> Any:
            size = len(message.body or b"")
            if size > most:
                self._refuse(
                    message,
                    f"it has {size:,} bytes, and {most:,} is the most"
                    " (OVERSTORY_MAX_MESSAGE_BYTES): name folders or patterns instead of files",
                )
                return None
            kind = message.content_type
            if kind != JSON:
                self._refuse(message, f"its content type is {kind!r}, not {JSON}")
                return None
            try:
                return handle(message)
            except MALFORMED as error:
                self._refuse(message, UNREADABLE, error)
                return None

        return on_task_received

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Celery would write the message, which has the question, to the log."""
        self._refuse(message, UNREADABLE, exc)

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        self._refuse(message, UNREADABLE, exc)

    def on_unknown_message(self, body: Any, message: Any) -> None:
        self._refuse(message, UNREADABLE)

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Another app's task: keep it for that app, and tell who waits for the result."""
        self._drop(message, FOREIGN)
        self._fail(message, NotRegistered(_task(message)))

    def _refuse(self, message: Any, reason: str, error: Exception | None = None) -> None:
        log.warning("message.refused", reason=reason, error=type(error).__name__)
        self._drop(message, reason)
        if _task(message) == stages.SUBMIT.task:
            self._fail(message, WrongUsage(f"overstory.submit refused its message: {reason}"))

    def _drop(self, message: Any, reason: str) -> None:
        queue = (message.delivery_info or {}).get("routing_key", "")
        raw = json.dumps(message._raw)  # noqa: SLF001 - as it stood in the queue
        put_aside(message.channel, str(queue), _task(message), reason, raw)
        message.reject_log_error(log, self.connection_errors)

    def _fail(self, message: Any, refusal: Exception) -> None:
        sender = _headers(message).get("id")
        if isinstance(sender, str):
            with contextlib.suppress(Exception):  # the sender then learns it by its own time limit
                self.app.backend.mark_as_failure(sender, refusal)


def _headers(message: Any) -> dict[str, Any]:
    return message.headers if isinstance(message.headers, dict) else {}


def _task(message: Any) -> str | None:
    task = _headers(message).get("task")
    return task if isinstance(task, str) else None
