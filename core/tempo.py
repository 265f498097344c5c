"""How many images a worker claims at once, by how long they take.

Messages, claims and commits are paid once a slice, so slices of cheap images are long; slices of
dear ones are short, so that work stays spread and an answer does not wait for the last of them.
"""

from __future__ import annotations

from dataclasses import dataclass

SLICE_SECONDS = 0.5
FIRST_IMAGES = 4
"""Of a worker that knows nothing yet: the first images are through early."""
HINT_IMAGES = 8
"""Images due for each message: more than one for a long slice, so that every worker gets one."""
MEMORY = 0.5
"""Share of what was known before in what is known after a slice."""


def hints(images: int) -> int:
    """Messages to send for ``images`` that are due."""
    return -(-images // HINT_IMAGES)


@dataclass(slots=True)
class Tempo:
    """Seconds an image has taken lately; threads may share one, for a lost update costs nothing."""

    seconds_each: float | None = None

    def images(self, most: int) -> int:
        """Images of the next slice, 1 to ``most``."""
        if self.seconds_each is None:
            return min(FIRST_IMAGES, most)
        return max(1, min(most, int(SLICE_SECONDS / max(self.seconds_each, 1e-6))))

    def took(self, seconds: float, images: int) -> None:
        """A slice of ``images`` lasted ``seconds``."""
        each = seconds / images
        before = each if self.seconds_each is None else self.seconds_each
        self.seconds_each = MEMORY * before + (1 - MEMORY) * each
