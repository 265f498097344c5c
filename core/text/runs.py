"""A set of numbers as the runs in which they follow each other: few, however many numbers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Set
from itertools import accumulate


class Runs(Set[int]):
    """``runs``: the first and the last number of each, in order, with gaps between them."""

    __slots__ = ("_before", "_firsts", "_lasts", "_length")

    def __init__(self, runs: Iterable[tuple[int, int]] = ()) -> None:
        pairs = list(runs)
        self._firsts = [first for first, _ in pairs]
        self._lasts = [last for _, last in pairs]
        *before, self._length = accumulate((1 + last - first for first, last in pairs), initial=0)
        self._before = before  # numbers in the runs before each

    @classmethod
    def of(cls, numbers: Iterable[int]) -> Runs:
        runs: list[tuple[int, int]] = []
        for number in sorted(set(numbers)):
            if runs and number == runs[-1][1] + 1:
                runs[-1] = (runs[-1][0], number)
            else:
                runs.append((number, number))
        return cls(runs)

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and self.below(number + 1) > self.below(number)

    def __iter__(self) -> Iterator[int]:
        for first, last in zip(self._firsts, self._lasts, strict=True):
            yield from range(first, last + 1)

    def __len__(self) -> int:
        return self._length

    def below(self, number: int) -> int:
        """How many numbers are smaller than ``number``."""
        run = bisect_right(self._firsts, number - 1) - 1
        if run < 0:
            return 0
        return self._before[run] + min(number, self._lasts[run] + 1) - self._firsts[run]

    def at(self, index: int) -> int:
        """The number that so many are smaller than."""
        run = bisect_right(self._before, index) - 1
        return self._firsts[run] + index - self._before[run]
