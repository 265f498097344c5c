"""How many images a worker claims at once (a slice), by their duration and how many are left.

A slice costs one message, one claim and one commit, so slices of fast images are long. Slices of
slow images are short, so that the work stays spread over the workers. Near the end they shrink, so
that no worker has a long slice while others idle (guided self-scheduling, Polychronopoulos and
Kuck 1987).
"""

from __future__ import annotations

from dataclasses import dataclass

SLICE_SECONDS, SLICE_SECONDS_MAX = 0.5, 5.0
"""How long the work on a slice lasts; longer if its claim and its record do, up to the second."""
LONGER = 1.5
"""Factor on the length of slices that shrink near the end: being long first costs nothing then."""
FIRST_IMAGES = 4
"""First slice of a worker that has measured nothing: its images finish early."""
LAST_IMAGES = 2
"""The shortest slice near the end: below it, claims cost more than the balance gains."""
SHARES = 4
"""A slice takes at most one part in this many of the due images."""
WAKE_UPS = 2
"""Messages that start a stage on its due images. A worker that leaves images due when it claims a
slice sends the next message at once. So each idle worker gets one, and one stays in the queue."""
MEMORY = 0.5
"""Weight of the earlier average when a slice is added to it (exponential moving average)."""


def looked_at(limit: int) -> int:
    """How many due images to count, at most, before taking a slice of up to ``limit``."""
    return SHARES * limit


def share(due: int, limit: int) -> int:
    """Images in a slice of at most ``limit`` when ``due`` wait (counted up to
    ``looked_at(limit)``)."""
    return min(limit, due, max(-(-due // SHARES), LAST_IMAGES))


@dataclass(slots=True)
class SliceSize:
    """Recent seconds per image, and per slice whatever its size: claim and record. A database far
    away makes those long, and short slices would only add more of them. Threads may share one: a
    lost update does no harm."""

    seconds_each: float | None = None
    overhead: float = 0.0

    def images(self, most: int, shrinks: bool = False) -> int:
        """Images in the next slice, 1 to ``most``. ``shrinks``: slices shrink near the end."""
        if self.seconds_each is None:
            return min(FIRST_IMAGES, most)
        seconds = max(SLICE_SECONDS, min(self.overhead, SLICE_SECONDS_MAX))
        seconds *= LONGER if shrinks else 1.0
        return max(1, min(most, int(seconds / max(self.seconds_each, 1e-6))))

    def took(self, seconds: float, images: int, overhead: float = 0.0) -> None:
        """Record that the work on ``images`` lasted ``seconds``, and the rest of their slice
        ``overhead``."""
        now = seconds / images
        before = now if self.seconds_each is None else self.seconds_each
        self.seconds_each = MEMORY * before + (1 - MEMORY) * now
        self.overhead = MEMORY * self.overhead + (1 - MEMORY) * overhead
