"""A thread that ended its task wakes its worker's loop, after the task counts no more."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from celery.concurrency.prefork import TaskPool as ProcessPool
from celery.concurrency.thread import TaskPool

from core.settings import Settings
from workers import free_threads
from workers.app import make_app
from workers.free_threads import FreeThreads


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What a pool's callbacks were told, with "woken" for each time that the loop was woken."""
    seen: list[object] = []
    hub = SimpleNamespace(call_soon=lambda callback: seen.append("woken"))
    monkeypatch.setattr(free_threads, "get_event_loop", lambda: hub)
    return seen


def consumer_with(pool: object) -> SimpleNamespace:
    consumer = SimpleNamespace(pool=pool, steps=[])
    FreeThreads(consumer).include(consumer)
    return consumer


def test_the_loop_is_woken_after_each_task(ended: list[object]) -> None:
    pool = consumer_with(TaskPool(1)).pool
    for number in range(3):
        pool.apply_async(lambda n: n, (number,), callback=ended.append).get()
    pool.on_stop()
    assert ended == [0, "woken", 1, "woken", 2, "woken"]


def test_the_loop_is_woken_if_a_callback_fails(ended: list[object]) -> None:
    def callback(result: object) -> None:
        raise ConnectionError

    pool = consumer_with(TaskPool(1)).pool
    with pytest.raises(ConnectionError):
        pool.apply_async(lambda: 1, callback=callback).get()
    pool.on_stop()
    assert ended == ["woken"]


def test_child_processes_wake_the_loop_themselves() -> None:
    pool = ProcessPool(1)
    apply = pool.on_apply
    assert consumer_with(pool).pool.on_apply == apply


def test_a_process_without_a_loop_has_nothing_to_wake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(free_threads, "get_event_loop", lambda: None)
    free_threads.wake()


def test_our_workers_have_it() -> None:
    assert FreeThreads in make_app(Settings()).steps["consumer"]
