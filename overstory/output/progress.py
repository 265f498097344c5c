"""Progress of a job on stderr: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from core import stages
from models.reads.pipeline import Progress as Standing
from models.reads.pipeline import Used
from overstory.output.learned import untold
from overstory.output.plural import pluralize
from overstory.output.terminal import print_plain, safe_line

PLAIN_SECONDS = 5.0
"""The least time between two plain lines, so that the log of a long job stays readable."""
RATE_SECONDS = 15.0
STARTING = "starting the workers"
STAGES = tuple(stage.label for stage in stages.STAGES if stage.takes is not None)


@dataclass(frozen=True, slots=True)
class Counts:
    """Done and total of each stage in STAGES, and what was used."""

    done: tuple[int, int, int, int]
    total: tuple[int, int, int, int]
    used: Used

    @property
    def images(self) -> float:
        """Images done; each of the three image stages counts a third. The last stage alone would
        move in jumps, because up to sixty images of a leaf are recorded at once."""
        return sum(self.done[:3]) / 3

    @property
    def left(self) -> float:
        return self.total[2] - self.images


def counts_of(standing: Standing, leaf_images: int) -> Counts:
    """Counts of a job with ``leaf_images`` distinct images. The last stage counts branch nodes."""
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
    """Images per second over the last RATE_SECONDS."""

    seen: deque[tuple[float, float]] = field(default_factory=deque)

    def add(self, at: float, images: float) -> None:
        if not images:
            self.seen.clear()  # the start-up time of the workers is not part of their rate
        self.seen.append((at, images))
        while len(self.seen) > 2 and at - self.seen[0][0] > RATE_SECONDS:
            self.seen.popleft()

    def per_second(self) -> float:
        if not self.seen:
            return 0.0
        (start, before), (end, after) = self.seen[0], self.seen[-1]
        return (after - before) / (end - start) if end > start else 0.0

    def eta_seconds(self, left: float) -> float | None:
        rate = self.per_second()
        return left / rate if rate > 0 else None


def is_priced(cost: float, tokens: int) -> bool:
    """Whether a cost is worth saying: tokens that cost nothing have no known price, or none."""
    return cost > 0 or tokens == 0


def figures(counts: Counts, rate: Rate) -> str:
    """``12.3 images/s · 4 requests · 21,034 tokens · 0.0087 USD · about 40 s left``; empty before
    the first image, without a rate while nothing moves, and without money at no known price."""
    if not counts.images:
        return ""
    used = counts.used
    speed = per_time(rate.per_second())
    parts = [*([speed] if speed else []), pluralize(used.requests, "request")]
    tokens = used.prompt_tokens + used.completion_tokens
    parts.append(f"{tokens:,} tokens")
    if is_priced(used.cost, tokens):
        parts.append(f"{used.cost:.4f} {used.currency}")
    eta = rate.eta_seconds(counts.left)
    if counts.left and eta is not None:
        parts.append(f"about {duration(eta)} left")
    return " · ".join(parts)


def per_time(images_per_second: float) -> str:
    """``12.3 images/s``, ``4.5 images/min``, ``2.0 images/h``; empty if nothing moves."""
    for seconds, unit in ((1, "s"), (60, "min"), (3600, "h")):
        if images_per_second * seconds >= 1:
            return f"{images_per_second * seconds:.1f} images/{unit}"
    return ""


def plain_line(counts: Counts, rate: Rate, note: str = "") -> str:
    """``prepare 4/9, upload 2/9, look 0/9``, the figures and the note in one line."""
    stages = ", ".join(
        f"{stage} {done}/{total}"
        for stage, done, total in zip(STAGES, counts.done, counts.total, strict=True)
        if total
    )
    state = " · ".join(filter(None, (figures(counts, rate), safe_line(note)))) or STARTING
    return f"{stages} · {state}"


def duration(seconds: float) -> str:
    """``40 s``, ``3 min``, ``2.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


class Display:
    """Shows where a job stands. This one shows nothing (``--quiet``)."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        return None

    def show(self, counts: Counts, note: str = "", above: RenderableType | None = None) -> None:
        """``note``: what holds the job back. ``above``: drawn above the bars of a terminal."""

    def wait(self, note: str) -> None:
        """Show what keeps the progress itself from being read."""

    def report(self, sentences: Iterable[str]) -> None:
        """Print each sentence that was not shown yet, in a line that stays."""


class Bars(Display):
    """A bar for each stage, the figures and the note, redrawn in place on a terminal."""

    def __init__(self, console: Console, timed: bool = True) -> None:
        """``timed``: show how long each stage has been running since this display began."""
        self._bars = Progress(
            TextColumn("{task.description:>9}"),
            BarColumn(bar_width=40),
            TextColumn("{task.fields[of]}", justify="right"),
            *([TimeElapsedColumn()] if timed else []),
            console=console,
        )
        self._ids: list[TaskID] = [
            self._bars.add_task(
                stage, total=None, visible=stage != stages.AGGREGATE.label, of="0/?"
            )
            for stage in STAGES
        ]
        start = Group(self._bars, Text(STARTING, "dim"))
        self._live = Live(start, console=console, transient=True)
        self._rate = Rate()
        self._counts: Counts | None = None

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._live.stop()

    def show(self, counts: Counts, note: str = "", above: RenderableType | None = None) -> None:
        self._counts = counts
        self._live.update(self.draw(counts, note, above))

    def wait(self, note: str) -> None:
        if self._counts is not None:
            self._live.update(self.draw(self._counts, note))
        else:
            self._live.update(Group(self._bars, Text(safe_line(note), "yellow")))

    def report(self, sentences: Iterable[str]) -> None:
        console = self._live.console
        for sentence in untold(console, sentences):
            print_plain(console, safe_line(sentence))  # above the bars

    def draw(
        self, counts: Counts, note: str = "", above: RenderableType | None = None
    ) -> RenderableType:
        self._rate.add(time.monotonic(), counts.images)
        for task, done, total in zip(self._ids, counts.done, counts.total, strict=True):
            of = f"{done:,}/{total:,}"
            self._bars.update(task, completed=done, total=total, visible=total > 0, of=of)
        line = figures(counts, self._rate) or ("" if note else STARTING)
        texts = [Text(line, "dim"), Text(safe_line(note), "yellow")]
        return Group(*([] if above is None else [above]), self._bars, *filter(None, texts))


class Lines(Display):
    """A plain line when something has changed, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rate = Rate()
        self._next = 0.0
        self._last: tuple[object, str] | None = None
        self._counts: Counts | None = None

    def show(self, counts: Counts, note: str = "", above: RenderableType | None = None) -> None:
        now = time.monotonic()
        self._rate.add(now, counts.images)
        if now < self._next or (counts.done, note) == self._last:
            return
        self._next = now + PLAIN_SECONDS
        self._last, self._counts = (counts.done, note), counts
        print_plain(self._console, plain_line(counts, self._rate, note))

    def wait(self, note: str) -> None:
        if self._counts is not None:
            self.show(self._counts, note)
        elif self._last != (None, note):
            self._last = (None, note)
            print_plain(self._console, safe_line(note))

    def report(self, sentences: Iterable[str]) -> None:
        for sentence in untold(self._console, sentences):
            print_plain(self._console, safe_line(sentence))


def display(console: Console, quiet: bool) -> Display:
    if quiet:
        return Display()
    return Bars(console) if console.is_terminal else Lines(console)
