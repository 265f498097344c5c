"""What cuts across all tasks, once: their services, their log context, how a failure is told."""

from __future__ import annotations

import contextlib
from typing import Any

import structlog
from celery import Task
from kombu.exceptions import OperationalError

from core.errors import ServiceAway
from tasks.runtime.services import Services

log = structlog.get_logger()


class StageTask(Task):  # type: ignore[misc]
    """A task whose message is a hint. A service that is away ends it quietly: nothing is lost, for
    the database still says what is due and the reconciler sends a new hint."""

    abstract = True
    ignore_result = True

    @property
    def services(self) -> Services:
        services: Services = self.app.services()
        return services

    def show(self, **found: object) -> None:
        """Tell monitors what this task found to work on: its message was only a hint, and may have
        named something else or nothing."""
        if not self.request.called_directly:
            with contextlib.suppress(OperationalError, OSError):
                self.send_event("task-started", retry=False, kwargs=str(found))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with structlog.contextvars.bound_contextvars(task=self.name, job=kwargs.get("job")):
            try:
                return super().__call__(*args, **kwargs)
            except ServiceAway as error:
                log.warning("service.away", error=str(error))
                return f"waits: {error}"
