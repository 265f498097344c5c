"""Which jobs are measured. The limits are the newest table's; windows are shorter where said."""

from __future__ import annotations

from benchmarks.pipeline.command import Scene
from core.limits import tier

TIERS = ("V0", "V1", "V2", "V3", "V4")
SIZES = (60, 600, 6_000)
WINDOW_SECONDS = 60.0
SHORT_WINDOW_SECONDS = 40.0
"""For the one row whose tokens fill several windows: 6,000 images at V0 (2 minutes unscaled)."""
SHORT_SIZES = {"V0", "V2", "V4"}
"""Tiers at which the short form runs its largest set: an account that binds, then none."""


def scenes(latency_seconds: float, full: bool) -> list[Scene]:
    """All rows, small sets first."""
    return [
        Scene(images, name, latency_seconds, _window(images, name))
        for images in SIZES
        for name in TIERS
        if full or images < max(SIZES) or name in SHORT_SIZES
    ]


def _window(images: int, name: str) -> float:
    return SHORT_WINDOW_SECONDS if (images, name) == (max(SIZES), "V0") else WINDOW_SECONDS


def expected_seconds(scene: Scene) -> float:
    """About how long a row takes, to know whether there is time for it."""
    leaves = -(-scene.images // 60)
    rounds = -(-leaves // tier(f"b:{scene.tier}").concurrency)
    return 8.0 + max(scene.images * 0.012, (rounds + 1) * scene.latency_seconds)
