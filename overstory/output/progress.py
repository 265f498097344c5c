"""Live progress on stderr: bars where it is a terminal, plain lines where it is not."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from models.reads.pipeline import Progress as Standing
from models.reads.pipeline import Used
from overstory.output.plural import pluralize
from overstory.output.terminal import safe_line

PLAIN_SECONDS = 5.0
"""A plain line at most this often, so that a log of a long job stays readable."""
RATE_SECONDS = 15.0
STAGES = ("prepare", "upload", "look", "summarise")


@dataclass(frozen=True, slots=True)
class Counts:
    """How many of how many, for each stage; what was used."""

    done: tuple[int, int, int, int]
    total: tuple[int, int, int, int]
    used: Used

    @property
    def images(self) -> float:
        """How far the images have come: one counts a third for each of its three stages. Leaves
        are recorded sixty images at a time, so the last stage alone would move in jumps."""
        return sum(self.done[:3]) / 3

    @property
    def left(self) -> float:
        return self.total[2] - self.images


def counts_of(standing: Standing, leaf_images: int) -> Counts:
    """Progress of the stages in images, and of the branches in nodes."""
    by = standing.images
    settled = by.get("included", 0) + by.get("failed", 0) + by.get("skipped", 0)
    uploaded = settled + by.get("uploaded", 0)
    prepared = uploaded + by.get("prepared", 0)
    branches = sum(standing.branches.values())
    read = sum(standing.branches.get(state, 0) for state in ("done", "failed", "cancelled"))
    return Counts(
        (prepared, uploaded, settled, read),
        (leaf_images, leaf_images, leaf_images, branches),
        standing.used,
    )


@dataclass(slots=True)
class Rate:
    """Images a second over the last RATE_SECONDS, and what that means for the rest."""

    seen: deque[tuple[float, float]] = field(default_factory=deque)

    def add(self, at: float, images: float) -> None:
        if not images:
            self.seen.clear()  # the time the workers take to start says nothing about their rate
        self.seen.append((at, images))
        while len(self.seen) > 2 and at - self.seen[0][0] > RATE_SECONDS:
            self.seen.popleft()

    def per_second(self) -> float:
        (start, before), (end, after) = self.seen[0], self.seen[-1]
        return (after - before) / (end - start) if end > start else 0.0

    def eta_seconds(self, left: float) -> float | None:
        rate = self.per_second()
        return left / rate if rate > 0 else None


def line(counts: Counts, rate: Rate, note: str = "") -> str:
    """``12.3 images/s · 4 requests · 21,034 tokens · 0.0087 USD · about 40 s left``."""
    note = safe_line(note)
    if not counts.images:
        return note or "starting the workers"
    used = counts.used
    words = [f"{rate.per_second():.1f} images/s", pluralize(used.requests, "request")]
    words.append(f"{used.prompt_tokens + used.completion_tokens:,} tokens")
    words.append(f"{used.cost:.4f} {used.currency}")
    eta = rate.eta_seconds(counts.left)
    if counts.left and eta is not None:
        words.append(f"about {duration(eta)} left")
    if note:
        words.append(note)
    return " · ".join(words)


def duration(seconds: float) -> str:
    """``40 s``, ``3 min``, ``2.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


class Display(Protocol):
    """Something that shows where a job stands."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *details: object) -> None: ...

    def show(self, counts: Counts, note: str = "") -> None: ...


class Silent:
    """Shows nothing: ``--quiet``."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        return None

    def show(self, counts: Counts, note: str = "") -> None:
        return None


class Bars:
    """A bar for each stage and one line of figures."""

    def __init__(self, console: Console) -> None:
        self._bars = Progress(
            TextColumn("{task.description:>9}"),
            BarColumn(bar_width=40),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        )
        self._ids: list[TaskID] = [
            self._bars.add_task(stage, total=None, visible=stage != "summarise") for stage in STAGES
        ]
        self._figures = Text("starting the workers")
        self._live = Live(Group(self._bars, self._figures), console=console, transient=True)
        self._rate = Rate()

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._live.stop()

    def show(self, counts: Counts, note: str = "") -> None:
        self._rate.add(time.monotonic(), counts.images)
        for task, done, total in zip(self._ids, counts.done, counts.total, strict=True):
            self._bars.update(task, completed=done, total=total, visible=total > 0)
        self._figures = Text(line(counts, self._rate, note), style="dim")
        self._live.update(Group(self._bars, self._figures))


class Lines:
    """A line when something has changed, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rate = Rate()
        self._next = 0.0
        self._last: tuple[object, str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        return None

    def show(self, counts: Counts, note: str = "") -> None:
        now = time.monotonic()
        self._rate.add(now, counts.images)
        if now < self._next or (counts.done, note) == self._last:
            return
        self._next = now + PLAIN_SECONDS
        self._last = (counts.done, note)
        stages = ", ".join(
            f"{stage} {done}/{total}"
            for stage, done, total in zip(STAGES, counts.done, counts.total, strict=True)
            if total
        )
        self._console.print(
            f"{stages} · {line(counts, self._rate, note)}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def display(console: Console, quiet: bool) -> Display:
    if quiet:
        return Silent()
    return Bars(console) if console.is_terminal else Lines(console)
