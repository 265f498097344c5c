"""Which settings are worse than the best beyond chance, and the cheapest of the others.

All settings were tried on the same images, so images are compared with themselves. Only settings
that are cheaper than the best are tested, in one direction: whether a dearer one is worse changes
no choice. The best is chosen by the data that is tested, which flatters it; the tests count that
in. Images asked in one request count as independent: a model that fails a whole request at once
is called worse more often than these tests say.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import comb, sqrt

ALPHA = 0.035
"""How often a setting may be called worse when all are equal. Less than 1 of 20, because a mid-p
can claim a little more often than it says: with 60 images 3.8 of 100. At 0.045 it was 4.8, and a
drop from 95 to 75 % was found in 94 instead of 93 of 100 seeds."""
Z = 1.96
TIE = 1e-9


@dataclass(frozen=True, slots=True)
class Tried:
    """``shares``: for each image, in one order, the share (0..1) of its labelled fields that are
    right. ``cost``, in any currency, and ``seconds`` are for 1,000 images."""

    shares: tuple[float, ...]
    cost: float
    seconds: float

    @property
    def mean(self) -> float:
        return sum(self.shares) / len(self.shares)


@dataclass(frozen=True, slots=True)
class Against:
    """A setting against the best. ``chance``: how often one of several equal settings would fall
    behind a dearer one by so much; 1 for what is dearer than the best, which is not tested.
    ``low`` and ``high``: the 95 % interval of its mean less the best's."""

    chance: float
    worse: bool
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Choice:
    """Places in the sequence that was given: of the best and of the chosen setting."""

    best: int
    chosen: int
    against: tuple[Against, ...]


def choose(tried: Sequence[Tried], chance: random.Random, draws: int = 2000) -> Choice:
    """The cheapest setting (then the fastest) that is not worse than the best beyond chance.

    Raises ValueError without settings, without images, or if the numbers of images differ.
    """
    if not tried or not tried[0].shares or len({len(one.shares) for one in tried}) > 1:
        raise ValueError("settings need the same images, and at least one")
    dear_first = sorted(range(len(tried)), key=lambda place: _price(tried[place]), reverse=True)
    best = max(reversed(dear_first), key=lambda place: tried[place].mean)
    cheaper = dear_first[dear_first.index(best) + 1 :]
    shares = [tried[place].shares for place in dear_first]
    chances = dict.fromkeys(dear_first, 1.0)
    for place, found in _stepped_down(shares, dear_first.index(best), chance, draws):
        chances[dear_first[place]] = found
    against = tuple(
        Against(
            chances[place], chances[place] <= ALPHA, *difference(one.shares, tried[best].shares)
        )
        for place, one in enumerate(tried)
    )
    good = [best, *(place for place in cheaper if not against[place].worse)]
    return Choice(best, min(good, key=lambda place: _price(tried[place])), against)


def _price(one: Tried) -> tuple[float, float]:
    return one.cost, one.seconds


def difference(one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the mean of ``one`` less that of ``other``, over the same images.

    D. G. Bonett and R. M. Price, "Adjusted Wald confidence interval for a difference of binomial
    proportions based on paired data", Journal of Educational and Behavioral Statistics 37 (2012):
    two images are added, one for each side. For shares of fields the same images are added.
    """
    gaps = [a - b for a, b in zip(one, other, strict=True)]
    count = len(gaps) + 2
    middle = sum(gaps) / count
    spread = (sum(gap * gap for gap in gaps) + 2) / count - middle * middle
    half = Z * sqrt(spread / count)
    return max(-1.0, middle - half), min(1.0, middle + half)


def _stepped_down(
    dear_first: Sequence[Sequence[float]], best: int, chance: random.Random, draws: int
) -> Iterator[tuple[int, float]]:
    """Settings that are cheaper than the best, from the worst on, with their chances.

    Each is tested among those that are not yet shown to be worse, up to the first that is not. So
    a setting that is much worse does not hide one that is a little worse.
    """
    left = list(range(len(dear_first)))
    least = 0.0
    for place in sorted(left[best + 1 :], key=lambda place: sum(dear_first[place])):
        columns = [dear_first[other] for other in left]
        lead = sum(dear_first[best]) - sum(dear_first[place])
        least = max(least, _chance(columns, lead, chance, draws))
        yield place, least
        if least > ALPHA:
            return
        left.remove(place)


def _chance(
    columns: Sequence[Sequence[float]], lead: float, chance: random.Random, draws: int
) -> float:
    """How often a setting falls behind a dearer one by ``lead`` if all of them are equal. Half of
    the ties count (mid-p: H. O. Lancaster, JASA 56, 1961)."""
    images = [values for values in zip(*columns, strict=True) if len(set(values)) > 1]
    if len(columns) == 2 and all(abs(a - b) == 1 for a, b in images):
        return mcnemar(sum(b > a for a, b in images), sum(a > b for a, b in images))
    return _permuted(images, lead, chance, draws)


def mcnemar(fewer: int, more: int) -> float:
    """The one-sided mid-p of McNemar's exact test: how often ``more`` or more of the images that
    are right under one of two settings only are right under the dearer one.

    M. W. Fagerland, S. Lydersen and P. Laake, "The McNemar test for binary matched-pairs data:
    mid-p and asymptotic are better than exact conditional", BMC Medical Research Methodology 13
    (2013).
    """
    count = fewer + more
    ways = 2 * sum(comb(count, k) for k in range(more + 1, count + 1)) + comb(count, more)
    return float(ways / 2 ** (count + 1))


def _permuted(
    images: Sequence[tuple[float, ...]], lead: float, chance: random.Random, draws: int
) -> float:
    """The same by permutation: if settings are equal, an image's shares could belong to any of
    them. The largest fall of all pairs is compared, which counts in that the best and the worst
    were chosen among several (P. Westfall and S. Young, "Resampling-based multiple testing",
    1993)."""
    beyond = 0.5  # the data themselves are one of the draws
    for _ in range(draws):
        drawn = [chance.sample(values, len(values)) for values in images]
        gap = _largest_fall([sum(column) for column in zip(*drawn, strict=True)]) - lead
        beyond += 0.5 if abs(gap) < TIE else float(gap > 0)
    return beyond / (draws + 1)


def _largest_fall(sums: Sequence[float]) -> float:
    """The most by which one of ``sums`` is below an earlier one."""
    highest = accumulate(sums, max)
    return max((top - one for top, one in zip(highest, sums, strict=True)), default=0.0)
