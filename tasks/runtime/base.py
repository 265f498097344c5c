"""The base class of all tasks: services, log context, and what happens if a service fails."""

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
    """A task that a wake-up message starts. If a service does not answer, it ends without an error.
    Nothing is lost: the database knows what is due, and the reconciler sends a new message."""

    abstract = True
    ignore_result = True

    @property
    def services(self) -> Services:
        services: Services = self.app.services()
        return services

    def show(self, **work: object) -> None:
        """Show monitors what this task works on: its wake-up message may name something else, or
        nothing."""
        if not self.request.called_directly:
            with contextlib.suppress(OperationalError, OSError):
                self.send_event("task-started", retry=False, kwargs=str(work))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with structlog.contextvars.bound_contextvars(task=self.name, job=kwargs.get("job")):
            try:
                return super().__call__(*args, **kwargs)
            except ServiceAway as error:
                log.warning("service.away", error=str(error))
                return f"waits: {error}"
