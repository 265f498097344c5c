"""Which fields are right, and whether a preparation path loses truth against another: more than a
point, and beyond chance.

Both paths were read on the same images. An image that cannot be read loses several fields at once,
so images are compared, not fields: chance would be underestimated otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.eyes import fields
from core.truth.choice import mcnemar

POINT = 0.01
CHANCE = 0.05
"""How often all tests of a run together may find a loss where there is none."""

Right = Mapping[tuple[str, str], bool]
"""(image, field) -> whether it was read right."""


@dataclass(frozen=True, slots=True)
class Compared:
    """``gap``: share of fields lost, less what was gained. ``lost``, ``gained``: fields.
    ``chance``: how often equal paths would differ by so many images or more."""

    gap: float
    lost: int
    gained: int
    chance: float

    def verdict(self, tests: int = 1) -> str:
        """``met`` within a point; ``MISSED`` if it loses more, beyond chance, as one of ``tests``;
        else ``open``: more pictures would tell."""
        if self.gap <= POINT:
            return "met"
        return "MISSED" if self.chance <= CHANCE / tests else "open"


def compared(reference: Right, other: Right) -> Compared:
    """``other`` against ``reference``, over the same fields. Raises KeyError if they differ."""
    gaps: Counter[str] = Counter()
    lost = gained = 0
    for (image, field), right in reference.items():
        gap = right - other[image, field]
        gaps[image] += gap
        lost += gap > 0
        gained += gap < 0
    worse = sum(gap > 0 for gap in gaps.values())
    better = sum(gap < 0 for gap in gaps.values())
    return Compared((lost - gained) / len(reference), lost, gained, mcnemar(better, worse))


def judged(values: dict[str, Any], truth: dict[str, Any]) -> dict[str, bool]:
    """Field -> whether it is right; each price that is printed is a field.

    Shops are compared without case, accents and spaces, and letters that look alike are equal.
    """
    shop = values.get("shop")
    named = isinstance(shop, str) and fields.folded(shop) == fields.folded(truth["shop"])
    others = {field: values.get(field) == truth[field] for field in ("date", "number", "total")}
    unseen = Counter(values.get("prices") or ())
    prices = {}
    for place, price in enumerate(truth["prices"]):
        prices[f"price {place}"] = unseen[price] > 0
        unseen[price] -= 1
    return {"shop": named, **others, **prices}
