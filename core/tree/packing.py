"""Packs images into requests: contiguous, in input order, by the limit that binds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Weight:
    """The size of one item: encoded bytes (base64 for images), prompt tokens, and how many places
    it takes: a unit has one for each of its images."""

    bytes: int
    tokens: int
    items: int = 1


@dataclass(frozen=True, slots=True)
class Budget:
    """The capacity of one request."""

    items: int
    bytes: int
    tokens: int


def balanced(count: int, packs: int) -> list[int]:
    """Sizes of ``packs`` parts of ``count`` that differ by at most one, larger ones first."""
    size, larger = divmod(count, packs)
    return [size + 1] * larger + [size] * (packs - larger)


def pack(weights: Sequence[Weight], budget: Budget) -> list[int]:
    """Sizes of the fewest contiguous packs within ``budget``, as even as the budget allows.

    An item that exceeds the budget alone gets its own pack: the provider decides about it. 61 equal
    items with room for 60 give [31, 30].
    """
    if not weights:
        return []
    loads = [_load(weight, budget) for weight in weights]
    count = len(_greedy(weights, budget, 1.0))
    even = balanced(len(weights), count)
    if all(w.items == 1 for w in weights) and _fits(even, weights, budget):
        return even
    return _greedy(weights, budget, _smallest_cap(weights, budget, count, max(loads)))


def cut(items: Sequence[Item], weights: Sequence[Weight], budget: Budget) -> list[list[Item]]:
    """``items`` in order, cut into the packs of ``pack``."""
    return runs(items, pack(weights, budget))


def halves(items: Sequence[Item]) -> list[list[Item]]:
    """``items`` in order, cut into two parts of about the same length."""
    return runs(items, balanced(len(items), 2))


def groups(items: Sequence[Item], largest: int) -> list[list[Item]]:
    """``items`` in order, cut into the fewest balanced groups of at most ``largest``."""
    return runs(items, balanced(len(items), -(-len(items) // largest)))


def runs(items: Sequence[Item], sizes: Sequence[int]) -> list[list[Item]]:
    """``items`` in order, cut into runs of ``sizes``."""
    starts = accumulate(sizes, initial=0)
    return [list(items[start : start + size]) for start, size in zip(starts, sizes, strict=False)]


def fits(weights: Sequence[Weight], budget: Budget) -> bool:
    """Whether all of ``weights`` fit into one request."""
    return (
        sum(w.items for w in weights) <= budget.items
        and sum(w.bytes for w in weights) <= budget.bytes
        and sum(w.tokens for w in weights) <= budget.tokens
    )


def _load(weight: Weight, budget: Budget) -> float:
    """The share of a request that one item uses, by the limit that binds."""
    return max(
        weight.items / budget.items, weight.bytes / budget.bytes, weight.tokens / budget.tokens
    )


def _fits(sizes: Sequence[int], weights: Sequence[Weight], budget: Budget) -> bool:
    return all(len(run) == 1 or fits(run, budget) for run in runs(weights, sizes))


def _greedy(weights: Sequence[Weight], budget: Budget, cap: float) -> list[int]:
    """Fill each pack up to ``cap`` times the budget. For runs in order, greedy gives the fewest."""
    sizes: list[int] = []
    count = items = load_bytes = load_tokens = 0
    for weight in weights:
        over = (
            items + weight.items > budget.items * cap
            or load_bytes + weight.bytes > budget.bytes * cap
            or load_tokens + weight.tokens > budget.tokens * cap
        )
        if count and over:
            sizes.append(count)
            count = items = load_bytes = load_tokens = 0
        count += 1
        items += weight.items
        load_bytes += weight.bytes
        load_tokens += weight.tokens
    return [*sizes, count]


def _smallest_cap(weights: Sequence[Weight], budget: Budget, count: int, heaviest: float) -> float:
    """The smallest share of the budget with which ``count`` packs suffice (bisection)."""
    low, high = min(heaviest, 1.0), 1.0
    for _ in range(24):
        middle = (low + high) / 2
        if len(_greedy(weights, budget, middle)) <= count:
            high = middle
        else:
            low = middle
    return high
