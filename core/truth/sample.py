"""Which labelled images are asked under each setting."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence

from core.truth.readings import as_text, folded, number
from core.truth.truth import Not, Truth, Value

QUARTERS = 4


def stratified(
    truth: Truth, names: Sequence[str], size: int, chance: random.Random
) -> tuple[str, ...]:
    """``size`` of the labelled ``names``, or all. The first of each group of equal labels comes
    first, those of large groups before others; then each group is taken in proportion to its size.
    Numbers are grouped by quarters. The same ``chance`` gives the same sample."""
    edges = {field: _edges(list(truth.values(field))) for field in truth.fields}
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name in sorted(names):
        groups[_group(truth.rows[name], edges)].append(name)
    ranked: list[tuple[bool, float, float, str]] = []
    for members in groups.values():
        chance.shuffle(members)
        for place, name in enumerate(members):
            share = (place + 0.5) / len(members)
            ranked.append((place > 0, share if place else -len(members), chance.random(), name))
    return tuple(name for *_, name in sorted(ranked)[:size])


def _edges(values: Sequence[Value]) -> tuple[float, ...] | None:
    """The upper edges of the first three quarters; None unless all values are numbers."""
    read = [None if isinstance(value, Not) else number(value) for value in values]
    known = sorted(float(value) for value in read if value is not None)
    if len(known) < len(read) or len(set(known)) <= QUARTERS:
        return None
    return tuple(known[len(known) * part // QUARTERS] for part in range(1, QUARTERS))


def _group(
    row: Mapping[str, Value], edges: Mapping[str, tuple[float, ...] | None]
) -> tuple[str, ...]:
    return tuple(
        "" if field not in row else _label(row[field], bounds) for field, bounds in edges.items()
    )


def _label(value: Value, bounds: tuple[float, ...] | None) -> str:
    read = None if bounds is None or isinstance(value, Not) else number(value)
    if bounds is not None and read is not None:
        return str(bisect_left(bounds, float(read)))
    return folded(as_text(value.value if isinstance(value, Not) else value))
