"""Which jobs are measured, and in which order. The limits are those of the newest table, unscaled.
Rows of the older table have a shorter window, because its ten requests per window bind long before
any other limit."""

from __future__ import annotations

from benchmarks.pipeline.baselines import script_seconds
from benchmarks.pipeline.bounds import Tree, schedule
from benchmarks.pipeline.command import Scene

TIERS = ("V0", "V1", "V2", "V3", "V4")
SIZES = (60, 600, 6_000)
WINDOW_SECONDS = 60.0
SMALL_SIDE = 960
"""Width in pixels of pictures from messengers and web pages."""
SMALL = ((600, "V4"), (600, "V0"), (6_000, "V4"))
STRICT, STRICT_WINDOWS = "a:V0", ((600, 30.0), (6_000, 15.0))
"""The older table's first tier (ten requests per window), by images and seconds per window."""
FIRST = (
    *("600-V0", "600-V4", "60-V4", "60-V0", "6000-V4", "6000-V0", "600-a:V0"),
    *("600-V4-small", "600-V2", "60-V2", "600-V1", "600-V3"),
)
"""The most informative rows: at each size, one bound by the account and one by the CPU alone. Sets
of 60 and 600 reach no limit of V1 and above, so their rows should be alike."""
ABOVE_QUOTA = (6_000, "V4")
"""A set above the file quota, at a tier whose call limits do not bind: also run inline."""
LONG = {
    *("6000-V1", "6000-V2", "6000-V3", "6000-a:V0", "6000-V4-small", "600-V0-small"),
    "6000-V4-inline",
}
"""Only in the long form: results lie between those of other rows, or the setting is not default."""
SCRIPT_SIZES, SCRIPT_TIERS = SIZES[:2], ("V0", "V2", "V4")
"""Where the plain script runs. Its rate at 6,000 images is the same as at 600."""
IDLE_CORES = 0.5
"""If a script and its sandbox use less CPU than this, calls set its pace. Then the shrinking script
would be no faster, and a script may run at the same time as other work."""

# estimates for cores of 2026; they only decide which rows are skipped
IMAGE_SECONDS = {True: 0.026, False: 0.037}
"""CPU seconds per image (key: small or not), ours and the sandbox's, everything included."""
OWN_SECONDS = 6.0
"""Start, stop, the sandbox's start, and the measurement of bare image work after a row."""
LEAF_IMAGES, LEAF_TOKENS, FAN_IN = 60, 12_000, 25
"""Images and tokens of a request at low detail, and notes that a branch reads."""


def scenes(latency_seconds: float, side: int, full: bool) -> list[Scene]:
    """All rows, the most informative first. No rows for small pictures if ``side`` is small too."""
    rows = [
        Scene(images, name, latency_seconds, WINDOW_SECONDS, side)
        for images in SIZES
        for name in TIERS
    ]
    rows += [
        Scene(images, STRICT, latency_seconds, window, side) for images, window in STRICT_WINDOWS
    ]
    images, name = ABOVE_QUOTA
    rows.append(Scene(images, name, latency_seconds, WINDOW_SECONDS, side, inline=True))
    if side > SMALL_SIDE:
        rows += [
            Scene(images, name, latency_seconds, WINDOW_SECONDS, SMALL_SIDE, small=True)
            for images, name in SMALL
        ]
    chosen = [scene for scene in rows if full or scene.name not in LONG]
    return sorted(chosen, key=lambda scene: _rank(scene.name))


def _rank(name: str) -> int:
    return FIRST.index(name) if name in FIRST else len(FIRST)


def has_script(scene: Scene) -> bool:
    """Whether the plain script runs on the same set."""
    return scene.images in SCRIPT_SIZES and scene.tier in SCRIPT_TIERS and not scene.small


def has_shrinking(scene: Scene) -> bool:
    """Whether the shrinking script also runs: only on the larger set, where its savings show."""
    return has_script(scene) and scene.images == max(SCRIPT_SIZES) and not in_calls(scene)


def in_calls(scene: Scene) -> bool:
    """Whether calls set the script's pace: so few at once that the CPU is mostly idle."""
    return scene.limits.concurrency / scene.latency_seconds * IMAGE_SECONDS[False] < IDLE_CORES


def expected_seconds(scene: Scene, cores: int) -> float:
    """Estimated time of a row and the scripts after it: the best schedule with all CPU per image,
    plus the constant parts. Decides whether there is time for the row."""
    image_seconds = scene.images * IMAGE_SECONDS[scene.side <= SMALL_SIDE] / cores
    account = (scene.limits, scene.window_seconds, scene.latency_seconds)
    job = schedule(image_seconds, _tree(scene.images), *account).seconds
    return OWN_SECONDS + job + _scripts_seconds(scene)


def _tree(images: int) -> Tree:
    """The estimated requests of a job."""
    leaves = -(-images // LEAF_IMAGES)
    levels = 1 if leaves == 1 else 2 if leaves <= FAN_IN else 3
    sizes = (images // leaves,) * leaves
    return Tree(sizes, (LEAF_TOKENS,) * leaves, (LEAF_TOKENS,) * (levels - 1), levels)


def _scripts_seconds(scene: Scene) -> float:
    """Time of the scripts after the row: waves of calls until the limit, then the last answers."""
    scripts = (has_script(scene) and not in_calls(scene)) + has_shrinking(scene)
    waves = -(-scene.images // scene.limits.concurrency) * scene.latency_seconds
    sending = min(waves, script_seconds(scene.latency_seconds))
    return scripts * (sending + scene.latency_seconds)
