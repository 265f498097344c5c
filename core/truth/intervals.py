"""How far a figure from a sample may be from the figure of all: 95 % intervals."""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import sqrt


def wilson(right: int, of: int, z: float = 1.96) -> tuple[float, float]:
    """The share ``right / of`` as an interval from 0 to 1; ``z`` = 1.96 is 95 %. Nothing is known
    of a share of 0 images: (0, 1).

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22
    (1927). It holds for few images and for shares near 0 and 1, unlike the normal interval.
    """
    if of == 0:
        return 0.0, 1.0
    share = right / of
    scale = 1 + z * z / of
    middle = (share + z * z / (2 * of)) / scale
    half = z * sqrt(share * (1 - share) / of + z * z / (4 * of * of)) / scale
    low = 0.0 if right == 0 else max(0.0, middle - half)
    return low, 1.0 if right == of else min(1.0, middle + half)


def bootstrap_mean(
    values: Sequence[float], chance: random.Random, draws: int = 2000
) -> tuple[float, float]:
    """The 95 % interval of the mean of ``values``: percentiles of the means of ``draws`` samples
    drawn with replacement. Raises ValueError without values.

    B. Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7 (1979).
    """
    if not values:
        raise ValueError("there are no values to draw from")
    count = len(values)
    means = sorted(sum(chance.choices(values, k=count)) / count for _ in range(draws))
    return means[int(draws * 0.025)], means[min(draws - 1, int(draws * 0.975))]
