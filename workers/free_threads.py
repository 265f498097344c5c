"""A thread that is free again lets its worker take the next message at once.

Our workers prefetch nothing: while all threads are busy, Celery's loop takes no message. Celery
5.7.0 looks again only when its poll ends, up to a second after a thread became free. On a slow line
sixteen uploads end at about the same time, and a quarter of the line's time was lost so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import bootsteps
from kombu.asynchronous import get_event_loop


class FreeThreads(bootsteps.StartStopStep):  # type: ignore[misc]
    """Part of a worker's consumer, if its pool has threads. The results of child processes wake the
    loop anyway."""

    def include_if(self, consumer: Any) -> bool:
        from celery.concurrency.thread import TaskPool  # a command does not need it

        return isinstance(consumer.pool, TaskPool)

    def create(self, consumer: Any) -> None:
        consumer.pool.on_apply = waking(consumer.pool.on_apply)


def waking(apply: Callable[..., Any]) -> Callable[..., Any]:
    """``apply`` of a pool, which wakes the loop after a task's callback: then it counts no more."""

    def on_apply(*args: Any, callback: Callable[..., Any], **options: Any) -> Any:
        def ended(*result: Any) -> None:
            try:
                callback(*result)
            finally:
                wake()

        return apply(*args, callback=ended, **options)

    return on_apply


def wake() -> None:
    """Let the loop of this process's worker look at once, from any thread."""
    hub = get_event_loop()
    if hub is not None:
        hub.call_soon(lambda: None)  # type: ignore[no-untyped-call]
