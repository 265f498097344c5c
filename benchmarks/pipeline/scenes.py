"""Which jobs are measured, and in which order. The limits are the newest table's, unscaled, but for
the rows of the table before it: ten requests a window bind long before anything else does, so its
window is made shorter."""

from __future__ import annotations

from benchmarks.pipeline.baselines import script_seconds
from benchmarks.pipeline.bounds import Tree, schedule
from benchmarks.pipeline.command import Scene

TIERS = ("V0", "V1", "V2", "V3", "V4")
SIZES = (60, 600, 6_000)
WINDOW_SECONDS = 60.0
SMALL_SIDE = 960
"""Pixels across of pictures as messengers and web pages have them."""
SMALL = ((600, "V4"), (600, "V0"), (6_000, "V4"))
STRICT, STRICT_WINDOWS = "a:V0", ((600, 30.0), (6_000, 15.0))
"""The older table's first tier, ten requests a window of so many seconds."""
FIRST = (
    *("600-V0", "600-V4", "60-V4", "60-V0", "6000-V4", "6000-V0", "600-a:V0"),
    *("600-V4-small", "600-V2", "60-V2", "600-V1", "600-V3"),
)
"""What tells most: the account binds, then nothing but the CPU does, at each size. Sets of 60 and
600 meet no limit of V1 and above, so their rows should be alike."""
ABOVE_QUOTA = (6_000, "V4")
"""A set above the file quota at a tier whose calls are not what holds it: asked inline, too."""
LONG = {
    *("6000-V1", "6000-V2", "6000-V3", "6000-a:V0", "6000-V4-small", "600-V0-small"),
    "6000-V4-inline",
}
"""In the long form alone: what lies between its neighbours, or is no default."""
SCRIPT_SIZES, SCRIPT_TIERS = SIZES[:2], ("V0", "V2", "V4")
"""Where the plain script runs. At 6,000 images its rate is that at 600."""
IDLE_CORES = 0.5
"""Up to so much CPU of a script and its sandbox, calls set its pace, and not what it sends: there
the shrinking script would be the same, and a script may run beside something else."""

# about, on cores like those of 2026: a row is left out by them, nothing is judged
IMAGE_SECONDS = {True: 0.026, False: 0.037}
"""CPU of an image (small or not), everything in it, as we and the sandbox take it."""
OWN_SECONDS = 6.0
"""Start, stop, the sandbox's start, and the look at bare work after a row."""
LEAF_IMAGES, LEAF_TOKENS, FAN_IN = 60, 12_000, 25
"""Pictures in a request at low detail, its tokens, and notes that a branch reads."""


def scenes(latency_seconds: float, side: int, full: bool) -> list[Scene]:
    """All rows, those first that tell most. Small pictures are no row where all are small."""
    found = [
        Scene(images, name, latency_seconds, WINDOW_SECONDS, side)
        for images in SIZES
        for name in TIERS
    ]
    found += [
        Scene(images, STRICT, latency_seconds, window, side) for images, window in STRICT_WINDOWS
    ]
    images, name = ABOVE_QUOTA
    found.append(Scene(images, name, latency_seconds, WINDOW_SECONDS, side, inline=True))
    if side > SMALL_SIDE:
        found += [
            Scene(images, name, latency_seconds, WINDOW_SECONDS, SMALL_SIDE, small=True)
            for images, name in SMALL
        ]
    chosen = [scene for scene in found if full or scene.name not in LONG]
    return sorted(chosen, key=lambda scene: _rank(scene.name))


def _rank(name: str) -> int:
    return FIRST.index(name) if name in FIRST else len(FIRST)


def has_script(scene: Scene) -> bool:
    """Whether the plain script runs on the same set."""
    return scene.images in SCRIPT_SIZES and scene.tier in SCRIPT_TIERS and not scene.small


def has_shrinking(scene: Scene) -> bool:
    """Whether the script that shrinks pictures first does: on the larger set, where what it saves
    can show."""
    return has_script(scene) and scene.images == max(SCRIPT_SIZES) and not in_calls(scene)


def in_calls(scene: Scene) -> bool:
    """Whether the script's pace is that of its calls: so few at once that the CPU is idle."""
    return scene.limits.concurrency / scene.latency_seconds * IMAGE_SECONDS[False] < IDLE_CORES


def expected_seconds(scene: Scene, cores: int) -> float:
    """About how long a row takes with the scripts that run after it, to know whether there is time
    for it: the best schedule with all work of an image in it, and what does not grow."""
    image_seconds = scene.images * IMAGE_SECONDS[scene.side <= SMALL_SIDE] / cores
    account = (scene.limits, scene.window_seconds, scene.latency_seconds)
    job = schedule(image_seconds, _tree(scene.images), *account).seconds
    return OWN_SECONDS + job + _scripts_seconds(scene)


def _tree(images: int) -> Tree:
    """What a job will ask, about."""
    leaves = -(-images // LEAF_IMAGES)
    levels = 1 if leaves == 1 else 2 if leaves <= FAN_IN else 3
    sizes = (images // leaves,) * leaves
    return Tree(sizes, (LEAF_TOKENS,) * leaves, (LEAF_TOKENS,) * (levels - 1), levels)


def _scripts_seconds(scene: Scene) -> float:
    """Those after the row: waves of calls until none may start, then the last one's answers."""
    scripts = (has_script(scene) and not in_calls(scene)) + has_shrinking(scene)
    waves = -(-scene.images // scene.limits.concurrency) * scene.latency_seconds
    asking = min(waves, script_seconds(scene.latency_seconds))
    return scripts * (asking + scene.latency_seconds)
