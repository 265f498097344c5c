"""The consumer of a worker: a message that cannot be read is dropped, and its sender is told.

Celery 5.7.0 takes errors in a message's form for errors of its own: the worker ends, the message
goes back to the queue, and the next worker ends, too. One message without arguments (``[]``) does
it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import structlog
from celery.worker.consumer import Consumer as CeleryConsumer

from core import settings as configuration
from core import stages
from core.errors import WrongUsage

log = structlog.get_logger()

MALFORMED = (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError)
"""What a message in the wrong form leads to. Errors of a stopping pool are others."""
UNREADABLE = "it is not JSON in the form of a task message, or is nested too deep"


class Consumer(CeleryConsumer):  # type: ignore[misc]
    """Celery's consumer with messages bounded in bytes."""

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
            try:
                return handle(message)
            except MALFORMED as error:
                self._refuse(message, UNREADABLE, error)
                return None

        return on_task_received

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Celery would write the message, which has the question, to the log."""
        self._refuse(message, UNREADABLE, exc)

    def _refuse(self, message: Any, reason: str, error: Exception | None = None) -> None:
        log.warning("message.refused", reason=reason, error=type(error).__name__)
        message.reject_log_error(log, self.connection_errors)
        headers = message.headers if isinstance(message.headers, dict) else {}
        sender = headers.get("id")
        if headers.get("task") == stages.SUBMIT.task and isinstance(sender, str):
            refusal = WrongUsage(f"overstory.submit refused its message: {reason}")
            with contextlib.suppress(Exception):  # the sender then learns it by its own time limit
                self.app.backend.mark_as_failure(sender, refusal)
