"""Ctrl-C, SIGTERM and SIGHUP: stop what the command has started."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.console import Console


@dataclass(slots=True)
class Interrupts:
    """Counts signals: the first asks to stop, the second stops at once."""

    count: int = 0
    first: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        def handle(number: int, frame: object) -> None:
            self.count += 1
            self.first.set()
            if self.count > 1:
                raise KeyboardInterrupt

        before = {
            number: signal.signal(number, handle)
            for number in (signal.SIGINT, signal.SIGTERM, *hangup_signals())
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def ends_cleanly(console: Console) -> Iterator[threading.Event]:
    """SIGTERM and SIGHUP end the block like Ctrl-C, so that what it has started is stopped.

    Only the first signal counts, and none after the caller sets the event: a signal must not
    interrupt the stopping.
    """
    ending = threading.Event()

    def handle(number: int, frame: object) -> None:
        if not ending.is_set():
            ending.set()
            raise KeyboardInterrupt

    before = {
        number: signal.signal(number, handle) for number in (signal.SIGTERM, *hangup_signals())
    }
    try:
        yield ending
    except KeyboardInterrupt:
        console.print("interrupted: run the same command again to continue", highlight=False)
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def hangup_signals() -> tuple[signal.Signals, ...]:
    """SIGHUP, unless it is ignored already (nohup)."""
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return () if ignored else (signal.SIGHUP,)
