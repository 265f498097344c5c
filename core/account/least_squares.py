"""Linear least squares for quantities that are never negative, robust to a few odd observations.

Observations count by their relative error: one of 500 tells as much as one of 50,000. It is
relative to the larger of what was observed and what is predicted, so one that is far too low does
not count for many. They are weighted anew from the residuals of the last solution (iteratively
reweighted least squares): first by their inverse (least absolute errors), then by Tukey's biweight,
which ignores what lies far off. Holland and Welsch, "Robust regression using iteratively
reweighted least-squares", 1977.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

TUKEY = 4.685
"""Residuals beyond so many scales count nothing: 95 % efficient for normal errors."""
MAD_SCALE = 1.4826
"""Median absolute deviation to standard deviation, for normal errors."""
NOISE = 0.002
"""The least relative scale of residuals: counts are whole numbers, and formulas have steps."""
PRIOR_NOISE = 0.01
"""A prior counts as one observation of this relative scale."""
ABSOLUTE_STEPS, TUKEY_STEPS = 8, 3
"""More steps change no coefficient that matters."""


@dataclass(frozen=True, slots=True)
class Prior:
    """What is expected of a coefficient; it counts as one observation (PRIOR_NOISE)."""

    mean: float
    deviation: float


Row = tuple[Sequence[float], float]
"""The values that the coefficients multiply, and the observed sum (above 0)."""


def fitted(rows: Sequence[Row], priors: Sequence[Prior]) -> list[float]:
    """The coefficients, none below 0, that explain ``rows``, or follow from ``priors`` where rows
    do not tell them."""
    weights = [1.0 / observed**2 for _, observed in rows]
    solution: list[float] = []
    for step in range(ABSOLUTE_STEPS + TUKEY_STEPS):
        solution = _solution(rows, weights, priors)
        errors = [error_of(row, solution) for row in rows]
        scale = max(MAD_SCALE * median(errors), NOISE) if errors else NOISE
        counts = _by_distance if step < ABSOLUTE_STEPS else _by_biweight
        weights = [
            counts(error / scale) / _size(row, solution) ** 2
            for row, error in zip(rows, errors, strict=True)
        ]
    return solution


def _by_distance(error: float) -> float:
    return 1.0 / max(error, 1.0)


def _by_biweight(error: float) -> float:
    return max(1.0 - (error / TUKEY) ** 2, 0.0) ** 2


def error_of(row: Row, solution: Sequence[float]) -> float:
    """How far ``solution`` is from an observation: from 0 to 1."""
    values, observed = row
    return abs(observed - predicted(values, solution)) / _size(row, solution)


def _size(row: Row, solution: Sequence[float]) -> float:
    values, observed = row
    return max(observed, predicted(values, solution))


def predicted(values: Sequence[float], solution: Sequence[float]) -> float:
    return sum(value * coefficient for value, coefficient in zip(values, solution, strict=True))


def _solution(
    rows: Sequence[Row], weights: Sequence[float], priors: Sequence[Prior]
) -> list[float]:
    """The weighted solution. A coefficient that would be negative is 0, and the others are solved
    again without it."""
    size = len(priors)
    matrix = [[0.0] * size for _ in priors]
    target = [0.0] * size
    for (values, observed), weight in zip(rows, weights, strict=True):
        for i in range(size):
            share = weight * values[i]
            if not share:
                continue
            target[i] += share * observed
            line = matrix[i]
            for j in range(i, size):
                line[j] += share * values[j]
    for i, prior in enumerate(priors):
        strength = (PRIOR_NOISE / prior.deviation) ** 2
        matrix[i][i] += strength
        target[i] += strength * prior.mean
        for j in range(i):
            matrix[i][j] = matrix[j][i]
    free = list(range(size))
    while free:
        part = _solved([[matrix[i][j] for j in free] for i in free], [target[i] for i in free])
        lowest = min(range(len(free)), key=part.__getitem__)
        if part[lowest] >= 0.0:
            found = dict(zip(free, part, strict=True))
            return [found.get(i, 0.0) for i in range(size)]
        del free[lowest]
    return [0.0] * size


def _solved(matrix: list[list[float]], target: list[float]) -> list[float]:
    """The solution of a positive definite system, by Gaussian elimination with scaled pivots."""
    size = len(target)
    rows = [[*line, value] for line, value in zip(matrix, target, strict=True)]
    for i in range(size):
        pivot = rows[i][i]
        for below in rows[i + 1 :]:
            factor = below[i] / pivot
            for j in range(i, size + 1):
                below[j] -= factor * rows[i][j]
    solution = [0.0] * size
    for i in reversed(range(size)):
        known = sum(rows[i][j] * solution[j] for j in range(i + 1, size))
        solution[i] = (rows[i][size] - known) / rows[i][i]
    return solution
