"""Reads a job's units: answer, coverage, positions and cost of each. Five statements for any number
of units; nothing here writes."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, or_, select

from core.states import CallStatus, ImageStatus
from models.records import columns_of, record
from models.tables import Call, Image, Node, Unit

COVERED = (ImageStatus.INCLUDED, ImageStatus.FAILED, ImageStatus.DUPLICATE, ImageStatus.SKIPPED)


@dataclass(frozen=True, slots=True)
class UnitRow:
    """A unit of a job. ``coverage`` has how many images were submitted, and how many of them are in
    each state of COVERED. ``cost`` is in the currency of the job's calls."""

    number: int
    name: str
    duplicate_of: int | None  # number of an earlier unit with the same images
    answer: Any  # text, or an object of the job's schema
    coverage: dict[str, int]
    positions: list[int]
    cost: float


def units(connection: Connection, job_id: str) -> list[UnitRow]:
    """The units of a job in order, with what is known of each at this moment."""
    query = select(*columns_of(UnitRow, Unit)).where(Unit.job_id == job_id)
    rows = connection.execute(query.order_by(Unit.number)).all()
    if not rows:
        return []
    images = _images(connection, job_id)
    positions: dict[int | None, list[int]] = defaultdict(list)
    counts: dict[int | None, Counter[str]] = defaultdict(Counter)
    for image in images:
        positions[image.unit].append(image.position)
        counts[image.unit][image.status] += 1
    copies = {row.number for row in rows if row.duplicate_of is not None}
    costs = _costs(connection, job_id, images, copies)
    return [
        record(
            UnitRow,
            row,
            coverage={
                "submitted": len(positions[row.number]),
                **{str(status): counts[row.number][status] for status in COVERED},
            },
            positions=positions[row.number],
            cost=costs.get(row.number, 0.0),
        )
        for row in rows
    ]


def names(connection: Connection, job_id: str) -> dict[int, str]:
    """The name of each unit of a job, by its number, in order."""
    query = select(Unit.number, Unit.name).where(Unit.job_id == job_id)
    rows = connection.execute(query.order_by(Unit.number))
    return {row.number: row.name for row in rows}


def shown_names(
    connection: Connection, job_id: str, numbers: Collection[int]
) -> dict[int, tuple[str, ...]]:
    """The names of units by their numbers, with the names of units with the same images behind."""
    these = or_(Unit.number.in_(numbers), Unit.duplicate_of.in_(numbers))
    rows = connection.execute(
        select(Unit.number, Unit.name, Unit.duplicate_of)
        .where(Unit.job_id == job_id, these)
        .order_by(Unit.number)
    )
    names: dict[int, tuple[str, ...]] = {}
    for row in rows:
        number = row.duplicate_of or row.number
        names[number] = (*names.get(number, ()), row.name)
    return names


@dataclass(frozen=True, slots=True)
class AnsweredUnit:
    """A unit with its answer, and the first and last position of its images."""

    name: str
    answer: Any
    first: int
    last: int


def answered_units(connection: Connection, job_id: str) -> list[AnsweredUnit]:
    """A job's units that have an answer, in order."""
    rows = connection.execute(
        select(Unit.name, Unit.answer, func.min(Image.position), func.max(Image.position))
        .join(Image, (Image.job_id == Unit.job_id) & (Image.unit == Unit.number))
        .where(Unit.job_id == job_id, Unit.answer.is_not(None))
        .group_by(Unit.id)
        .order_by(Unit.number)
    )
    return [AnsweredUnit(*row) for row in rows]


def is_of_unit(connection: Connection, node_id: int | None) -> bool:
    """Whether a node is about a part of one unit alone."""
    unit = select(Node.unit).where(Node.id == node_id)
    return connection.execute(unit).scalar() is not None


def errors(connection: Connection, job_id: str) -> dict[int, str]:
    """Why each failed image of a job failed, by position."""
    rows = connection.execute(
        select(Image.position, Image.error)
        .where(Image.job_id == job_id, Image.status == ImageStatus.FAILED)
        .order_by(Image.position)
    )
    return {row.position: row.error or "" for row in rows}


def _images(connection: Connection, job_id: str) -> Sequence[Any]:
    prepared = Image.sha256.is_not(None).label("prepared")
    return connection.execute(
        select(Image.position, Image.unit, Image.status, Image.node_id, prepared)
        .where(Image.job_id == job_id)
        .order_by(Image.position)
    ).all()


def _costs(
    connection: Connection, job_id: str, images: Sequence[Any], copies: set[int]
) -> dict[int, float]:
    """What each unit cost. A node about one unit is paid by it. Other calls that showed images are
    paid by the units of their node's images, in proportion to the number of these. What reads the
    notes of several units belongs to none of them."""
    calls = connection.execute(
        select(Node.id, Node.unit, func.sum(Call.cost).label("cost"))
        .join(Call, Call.node_id == Node.id)
        .where(
            Call.job_id == job_id,
            Call.status != CallStatus.STARTED,
            or_(Call.images > 0, Node.unit.is_not(None)),
        )
        .group_by(Node.id, Node.unit)
    ).all()
    shown = _shown(images, copies)
    below = _below(connection, job_id)
    parts: dict[int, list[float]] = defaultdict(list)
    for node, unit, cost in calls:
        shares = Counter({unit: 1}) if unit is not None else _shares(node, shown, below)
        every = shares.total()
        for number, count in shares.items():
            parts[number].append(cost * count / every)
    return {number: math.fsum(costs) for number, costs in parts.items()}


def _shown(images: Sequence[Any], copies: set[int]) -> dict[int, Counter[int]]:
    """How many images of each unit a node shows. An image that was never prepared was in no
    request."""
    shown: dict[int, Counter[int]] = defaultdict(Counter)
    for image in images:
        if image.prepared and image.node_id is not None and image.unit not in (None, *copies):
            shown[image.node_id][image.unit] += 1
    return shown


def _below(connection: Connection, job_id: str) -> dict[int, list[int]]:
    """The nodes that a node was split into, and those that are its children: a leaf that was the
    root stays there as a branch above its parts."""
    query = select(Node.id, Node.parent_id, Node.split_from).where(Node.job_id == job_id)
    below: dict[int, list[int]] = defaultdict(list)
    for node, *above in connection.execute(query):
        for other in {over for over in above if over is not None}:
            below[other].append(node)
    return below


def _shares(
    node: int, shown: Mapping[int, Counter[int]], below: Mapping[int, Sequence[int]]
) -> Counter[int]:
    """The images of a node by unit: of a divided one, those of all that it was divided into."""
    shares: Counter[int] = Counter()
    reached, waiting = {node}, [node]
    while waiting:
        at = waiting.pop()
        shares.update(shown.get(at, ()))
        fresh = set(below.get(at, ())) - reached
        reached |= fresh
        waiting += fresh
    return shares
