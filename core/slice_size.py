"""How many images a worker claims at once, by how long they take and how many are left.

Messages, claims and commits are paid once a slice, so slices of cheap images are long; slices of
dear ones are short, so that work stays spread. Near the end they shrink (guided self-scheduling,
Polychronopoulos and Kuck 1987), so that no worker is left with a long one while others idle.
"""

from __future__ import annotations

from dataclasses import dataclass

SLICE_SECONDS = 0.5
LONGER = 1.5
"""Slices that shrink near the end may be so much longer before: nobody is left with one."""
FIRST_IMAGES = 4
"""Of a worker that knows nothing yet: the first images are through early."""
LAST_IMAGES = 2
"""The shortest slice near the end: below it a claim costs more than it evens out."""
SHARES = 4
"""A slice is at most this part of what is due."""
WAKE_UPS = 2
"""Messages that start a stage on its due images. Who takes a slice and leaves more due sends the
next message at once, so every idle worker gets one, and one waits for whoever is done first."""
MEMORY = 0.5
"""Share of what was known before in what is known after a slice."""


def looked_at(limit: int) -> int:
    """Due images to count, at most, before a slice of up to ``limit`` is cut from them."""
    return SHARES * limit


def share(due: int, limit: int) -> int:
    """Images of a slice of at most ``limit`` where ``due`` are waiting, counted to
    ``looked_at(limit)``."""
    return min(limit, due, max(-(-due // SHARES), LAST_IMAGES))


@dataclass(slots=True)
class SliceSize:
    """Seconds an image has taken lately; threads may share one, for a lost update costs nothing."""

    seconds_each: float | None = None

    def images(self, most: int, shrinks: bool = False) -> int:
        """Images of the next slice, 1 to ``most``; ``shrinks``: of slices that do near the end."""
        if self.seconds_each is None:
            return min(FIRST_IMAGES, most)
        seconds = SLICE_SECONDS * (LONGER if shrinks else 1.0)
        return max(1, min(most, int(seconds / max(self.seconds_each, 1e-6))))

    def took(self, seconds: float, images: int) -> None:
        """A slice of ``images`` lasted ``seconds``."""
        each = seconds / images
        before = each if self.seconds_each is None else self.seconds_each
        self.seconds_each = MEMORY * before + (1 - MEMORY) * each
