"""Reads of a job of any size: parts of its images, and counts that the database makes. The memory
that they take does not grow with the job."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Integer, and_, case, cast, func, or_, select, true

from core.states import ImageStatus, NodeKind
from models.engine import Database
from models.reads.export import in_pages
from models.reads.inspect import (
    MOMENTS,
    ImageLine,
    NodeLine,
    image_line,
    images,
    node_ids,
    nodes,
    select_images,
)
from models.reads.pipeline import ImageRow, image_columns, image_row
from models.tables import Event, Image, Node

Which = ColumnElement[bool]
"""A condition on the images of a job, or on its nodes."""
NODES_READ = 500
"""Nodes of a page; the text of one has 3 to 6 KB."""
INCLUDED = Image.status == ImageStatus.INCLUDED
ANSWERED = and_(INCLUDED, Image.answer.is_not(None))
FAILED = Image.status == ImageStatus.FAILED
UNMEASURED = Image.tokens.is_(None)
EVERY = true()
REMARKED = and_(Image.remarks.is_not(None), Image.status != ImageStatus.FAILED)


def images_in_pages(
    database: Database, job_id: str, which: Which | None = None
) -> Iterator[ImageRow]:
    """A job's images in order; with ``which``, only those for which this condition holds."""
    query = select(*image_columns(ImageRow)).where(Image.job_id == job_id)
    return map(image_row, in_pages(database, query if which is None else query.where(which)))


def lines_in_pages(
    database: Database,
    job_id: str,
    statuses: Collection[str] = (),
    unseen: bool = False,
    similar_to: int | None = None,
) -> Iterator[ImageLine]:
    """The images of ``models.reads.inspect.images``, a page at a time."""
    query = select_images(job_id, statuses, unseen, similar_to)
    return map(image_line, in_pages(database, query))


def nodes_in_pages(database: Database, job_id: str) -> Iterator[NodeLine]:
    """The nodes of ``models.reads.inspect.nodes``, a page at a time."""
    with database.read() as connection:
        ids = node_ids(connection, job_id)
    for first in range(0, len(ids), NODES_READ):
        page = Node.id.in_(ids[first : first + NODES_READ])
        with database.read() as connection:
            lines = nodes(connection, job_id, page)
        yield from lines


def positions(
    connection: Connection, job_id: str, which: Which, most: int | None = None
) -> list[int]:
    """The first ``most`` positions for which ``which`` holds; None: all."""
    query = select(Image.position).where(Image.job_id == job_id, which)
    return list(connection.execute(query.order_by(Image.position).limit(most)).scalars())


def sampled(connection: Connection, job_id: str, which: Which, most: int) -> list[ImageLine]:
    """At most ``most`` of the images for which ``which`` holds, spread evenly over them."""
    found = positions(connection, job_id, which)
    some = found[:: -(-len(found) // most)] if found else []
    return images(connection, job_id, which=at(some))


def count(connection: Connection, job_id: str, which: Which) -> int:
    """The number of a job's images for which ``which`` holds."""
    query = select(func.count()).where(Image.job_id == job_id, which)
    return connection.execute(query.select_from(Image)).scalar_one()


def said(start: int) -> Which:
    """The images from ``start`` on about which something was said alone: an answer or a line."""
    alone = or_(Image.answer.is_not(None), Image.note.is_not(None))
    return and_(alone, Image.position >= start)


def names(connection: Connection, job_id: str, wanted: Collection[int]) -> dict[int, str]:
    """The names of some images of a job, by position."""
    rows = connection.execute(
        select(Image.position, Image.name).where(Image.job_id == job_id, at(wanted))
    )
    return {row.position: row.name for row in rows}


def at(wanted: Collection[int]) -> Which:
    return Image.position.in_(wanted)


def shown(first: int, last: int, apart: Collection[int]) -> Which:
    """The images from ``first`` to ``last``, and those at the positions ``apart``."""
    own = and_(Image.position >= first, Image.position <= last)
    return or_(own, at(apart)) if apart else own


def nodes_around(first: int, last: int, apart: Collection[int], branches: bool) -> Which:
    """The nodes about an image from ``first`` to ``last``, and those with the ids ``apart``;
    ``branches``: also all branches."""
    around = and_(Node.first_position <= last, Node.last_position >= first)
    some = [Node.id.in_(apart)] if apart else []
    return or_(around, *some, *([Node.kind == NodeKind.BRANCH] if branches else []))


def statuses(connection: Connection, job_id: str) -> dict[str, int]:
    """How many images of a job have each status."""
    rows = connection.execute(
        select(Image.status, func.count()).where(Image.job_id == job_id).group_by(Image.status)
    )
    return dict(rows.all())


@dataclass(frozen=True, slots=True)
class Counted:
    """What the images of a job tell together. ``twice``: those with a second look, ``unclear``: of
    them, those that it could not tell either, ``left``: unclear ones that the bound left no room
    for; ``similar``: those that others stand for."""

    twice: int
    unclear: int
    left: int
    similar: int


def counted(connection: Connection, job_id: str) -> Counted:
    told = Image.unclear.is_not(None)
    row = connection.execute(
        select(
            func.count(case((Image.look > 1, 1))),
            func.count(case((and_(Image.look > 1, told), 1))),
            func.count(case((and_(Image.look == 1, told), 1))),
            func.count(Image.similar_to),
        ).where(Image.job_id == job_id)
    ).one()
    return Counted(*row)


@dataclass(frozen=True, slots=True)
class Moments:
    """How many events of a kind a job has in one of the equal parts of its time, and the times of
    the first and the last of them. ``kind``: of the node; None for images."""

    name: str
    kind: NodeKind | None
    part: int
    count: int
    first: float
    last: float


def moments(
    connection: Connection, job_id: str, start: float, seconds: float, parts: int
) -> list[Moments]:
    """The progress events of a job's images and nodes, counted in ``parts`` of ``seconds`` from
    ``start``."""
    share = (Event.at - start) / max(seconds, 1e-9) * parts
    part = cast(func.floor(share) if connection.dialect.name == "postgresql" else share, Integer)
    rows = connection.execute(
        select(Event.name, Node.kind, part, func.count(), func.min(Event.at), func.max(Event.at))
        .outerjoin(Node, Node.id == Event.node_id)
        .where(Event.job_id == job_id, Event.name.in_(MOMENTS))
        .group_by(Event.name, Node.kind, part)
    )
    return [
        Moments(name, NodeKind(kind) if kind else None, min(max(at, 0), parts - 1), count, *times)
        for name, kind, at, count, *times in rows
    ]
