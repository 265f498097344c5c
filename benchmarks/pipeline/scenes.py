"""Which jobs are measured, and in which order. The limits are those of the newest table, unscaled.

A row's name is IMAGES-TIER, with ``-small`` for small pictures, ``-auto``, ``-always`` or
``-never`` for a value of OVERSTORY_STORE, and ``-keep`` for ``--keep-files``, in this order.
"""

from __future__ import annotations

import re

from benchmarks.pipeline.bounds import Tree, schedule
from benchmarks.pipeline.command import Scene
from core.catalog.tiers import tier

WINDOW_SECONDS = 60.0
SMALL_SIDE = 960
"""Width in pixels of pictures from messengers and web pages."""
SHORT = (
    *("600-V2", "600-V4", "600-V2-small", "600-V4-small", "600-V0", "60-V2", "60-V4", "60-V0"),
    *("6000-V4", "6000-V2", "6000-V4-small", "6000-V2-small", "6000-V0"),
)
"""The most informative rows first: the short form ends with those for which time is left."""
STRICT = "600-a:V0"
"""The older table's first tier: ten requests a window, which is the limit long before any other."""
FULL = (*SHORT, STRICT)
STRICT_WINDOW = 30.0
"""Seconds per window of the older table's first tier."""
NAME = re.compile(r"(\d+)-((?:[ab]:)?V\d)(-small)?(?:-(auto|always|never))?(-keep)?")
DAFT, DAFT_FULL = ("600-V4",), ("600-V4", "600-V2")
"""The rows after which Daft runs."""

# estimates for cores of 2026; they only decide which rows are skipped
IMAGE_SECONDS = {True: 0.026, False: 0.037}
"""CPU seconds per image (key: small or not), ours and the sandbox's, everything included."""
OWN_SECONDS = 6.0
"""Start, stop, the sandbox's start, and the measurement of bare image work after a row."""
DAFT_SECONDS = 80.0
LEAF_IMAGES, LEAF_TOKENS, FAN_IN = 60, 12_000, 25
"""Images and tokens of a request at low detail, and notes that a branch reads."""


def scene_of(name: str, latency_seconds: float, side: int) -> Scene:
    """The row of that name. ``side``: width of the pictures in pixels, if it is not small.

    Raises ValueError, or WrongUsage for an unknown tier.
    """
    match = NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is not a row: use a name like 600-V2, 6000-V4-small-never-keep")
    images, level, small, store, keep = match.groups()
    tier(level)
    window = STRICT_WINDOW if level == "a:V0" else WINDOW_SECONDS
    width = SMALL_SIDE if small else side
    return Scene(int(images), level, latency_seconds, window, width, bool(small), store, bool(keep))


def expected_seconds(scene: Scene, cores: int, rounds: int, has_daft: bool) -> float:
    """Estimated time of a row with its rivals: the best schedule with all CPU per image, plus the
    constant parts, for each job and script. Decides whether there is time for the row."""
    image_seconds = scene.images * IMAGE_SECONDS[scene.side <= SMALL_SIDE] / cores
    account = (scene.limits, scene.window_seconds, scene.latency_seconds)
    job = schedule(image_seconds, _tree(scene.images), *account).seconds
    return rounds * 2 * (OWN_SECONDS / 2 + job) + has_daft * DAFT_SECONDS


def _tree(images: int) -> Tree:
    """The estimated requests of a job."""
    leaves = -(-images // LEAF_IMAGES)
    levels = 1 if leaves == 1 else 2 if leaves <= FAN_IN else 3
    sizes = (images // leaves,) * leaves
    return Tree(sizes, (LEAF_TOKENS,) * leaves, (LEAF_TOKENS,) * (levels - 1), levels)
