"""What a job can reuse from an earlier one: its tree, its texts, its prepared images."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    Text,
    and_,
    bindparam,
    or_,
    select,
    tuple_,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from core.requests.leaf import in_order
from core.states import ANSWERED_JOBS, ImageStatus, NodeKind, NodeStatus
from core.tree.replan import OldNode
from models.records import columns_of
from models.tables import Image, Job, Node, Unit

Identity = tuple[str, int | None, int | None, int | None, str | None]
"""Location, page, bytes, modification time and version: they identify an image that has not
changed."""

ALIKE_NAMES = 50
"""How many file names are looked up to find the earlier job: one in common is enough."""
NAMES_MAX = 500
"""Up to this many files are looked up by name in an earlier job; above, all its images are read."""


@dataclass(frozen=True, slots=True)
class KnownImage:
    """An image's result in the earlier job, with which its row in the new job begins."""

    position: int
    status: ImageStatus
    error_code: str | None
    error: str | None
    remarks: str | None
    source_sha256: str | None
    sha256: str | None
    mime: str | None
    width: int | None
    height: int | None
    prepared_bytes: int | None
    tokens: int | None
    answer: Any
    seen: str | None
    note: str | None
    look: int = 1
    unclear: list[str] | None = None
    facts: dict[str, Any] | None = None
    likeness: dict[str, Any] | None = None
    similar_to: int | None = None


@dataclass(frozen=True, slots=True)
class KeptNode:
    """A node's text to reuse. Its citations are positions in the earlier job."""

    text: str
    images: int
    refused_citations: int


@dataclass(frozen=True, slots=True)
class Earlier:
    """An earlier job: its tree, its texts by node, its images by identity."""

    job_id: str
    root: OldNode
    texts: dict[int, KeptNode]
    images: dict[Identity, KnownImage]
    units: EarlierUnits | None = None  # of a job by units


UnitKey = tuple[str, tuple[Identity, ...]]
"""The name of a unit, and what identifies its images."""


@dataclass(frozen=True, slots=True)
class EarlierUnits:
    """The units of an earlier job. ``root``: its tree, whose leaves hold units in place of images;
    ``images``: by the name of their unit and by identity."""

    root: OldNode
    images: dict[tuple[str, Identity], KnownImage]
    answers: dict[UnitKey, Any]


class name_key(FunctionElement[int]):  # noqa: N801 -- a SQL function, like models.engine.now
    """What the index of file names holds of a name: on PostgreSQL its hash, on SQLite all."""

    type = BigInteger()
    inherit_cache = True
    name = "name_key"


@compiles(name_key, "sqlite")
def _name_key_sqlite(element: name_key, compiler: Any, **kw: Any) -> str:
    return str(compiler.process(element.clauses, **kw))


@compiles(name_key, "postgresql")
def _name_key_postgresql(element: name_key, compiler: Any, **kw: Any) -> str:
    return f"hashtextextended({compiler.process(element.clauses, **kw)}, 0)"


def _named(names: Collection[str]) -> ColumnElement[bool]:
    """Whether an image has one of the names. The index finds it, also if the names are long."""
    keys = [name_key(bindparam(None, name, Text)) for name in names]
    return and_(name_key(Image.name).in_(keys), Image.name.in_(names))


_REUSABLE = (
    Image.look == 1,
    Image.sha256.is_not(None),
    or_(Image.changed_ns.is_not(None), Image.version.is_not(None)),
)
"""Prepared images that another job can take; those of a second look may be at another detail."""


def newest_alike(
    connection: Connection,
    family: str,
    images: Collection[tuple[str, str]],
    owner: str | None = None,
) -> str | None:
    """The owner's newest answered job with the same question (``family``) that has at least one of
    ``images`` (name, location)."""
    return connection.execute(
        _sharing(images)
        .where(Job.family == family, Job.status.in_(ANSWERED_JOBS), Job.owner == owner)
        .order_by(Job.created_at.desc())
    ).scalar()


def prepared(
    connection: Connection,
    detail: str,
    images: Collection[tuple[str, str]],
    is_alike: Callable[[str, str], bool],
) -> dict[Identity, KnownImage]:
    """Prepared images among ``images`` (name, location) of an earlier job at ``detail`` with any
    question: the newest answered job that has one of them, else the newest. ``is_alike``: whether a
    model at an endpoint gets images in the same sizes. Images by URL do not count, because the
    content behind a URL may have changed."""
    used = connection.execute(
        select(Job.model, Job.endpoint).where(Job.detail == detail).distinct()
    )
    alike = [(row.model, row.endpoint) for row in used if is_alike(row.model, row.endpoint)]
    job_id = connection.execute(
        _sharing(images, *_REUSABLE)
        .where(Job.detail == detail, tuple_(Job.model, Job.endpoint).in_(alike))
        .order_by(Job.status.in_(ANSWERED_JOBS).desc(), Job.created_at.desc())
    ).scalar()
    if job_id is None:
        return {}
    query = _images_of(job_id).where(*_REUSABLE)
    if len(images) <= NAMES_MAX:
        query = query.where(_named({name for name, _ in images}))
    known, _ = _by_identity(connection.execute(query))
    return known


def _sharing(images: Collection[tuple[str, str]], *which: ColumnElement[bool]) -> Select[str]:
    """A query for the id of a job that has one of ``images`` (name, location), of which ``which``
    holds."""
    some = list(images)[:: max(1, len(images) // ALIKE_NAMES)]
    # apart, and DISTINCT: else PostgreSQL may read the index of all images of each earlier job
    sharing = (
        select(Image.job_id)
        .where(
            _named({name for name, _ in some}),
            Image.location.in_([location for _, location in some]),
            *which,
        )
        .distinct()
        .subquery("sharing")
    )
    return select(Job.id).join(sharing, sharing.c.job_id == Job.id).limit(1)


def earlier(connection: Connection, job_id: str) -> Earlier | None:
    """The job's tree, texts and images to continue from; None unless its tree has one root."""
    nodes = connection.execute(
        select(
            Node.id,
            Node.parent_id,
            Node.kind,
            Node.status,
            Node.text,
            Node.images,
            Node.refused_citations,
            Node.look,
            Node.unit,
            Node.first_position,
            Node.last_position,
        )
        .where(Node.job_id == job_id, Node.status != NodeStatus.SPLIT)
        .order_by(Node.first_position, Node.level)
    ).all()
    images, held = _by_identity(connection.execute(_images_of(job_id)))
    tops = [node.id for node in nodes if node.parent_id is None]
    if len(tops) != 1:
        return None
    texts = {
        node.id: KeptNode(node.text, node.images, node.refused_citations)
        for node in nodes
        if node.status == NodeStatus.DONE and node.text
    }
    units = _units(connection, job_id, tops[0], nodes, texts)
    nodes = _looks_joined(nodes, images, held, texts)
    return Earlier(job_id, _tree(tops[0], nodes, held, texts), texts, images, units)


def _units(
    connection: Connection,
    job_id: str,
    root: int,
    nodes: Sequence[Any],
    texts: Mapping[int, KeptNode],
) -> EarlierUnits | None:
    """The units of a job; None if it has none."""
    rows = connection.execute(
        select(Unit.number, Unit.name, Unit.answer).where(Unit.job_id == job_id)
    ).all()
    if not rows:
        return None
    names = {row.number: row.name for row in rows}
    units_of = select(Image.unit).where(Image.job_id == job_id).order_by(Image.position)
    images: dict[tuple[str, Identity], KnownImage] = {}
    members: dict[int, list[Identity]] = {}
    homes: dict[int, list[int]] = {}
    home_of = _homes(nodes)
    shown = zip(
        connection.execute(units_of).scalars(), connection.execute(_images_of(job_id)), strict=True
    )
    for unit, (leaf, location, page, size, changed, version, *known) in shown:
        identity = (location, page, size, changed, version)
        if unit is None:
            continue
        image = KnownImage(*known)
        if image.status != ImageStatus.DUPLICATE or (names[unit], identity) not in images:
            images[names[unit], identity] = image
        if leaf is None:
            continue
        members.setdefault(unit, []).append(identity)
        held = homes.setdefault(home_of[leaf], [])
        if unit not in held[-1:]:
            held.append(unit)
    keys = {unit: (names[unit], tuple(members.get(unit, ()))) for unit in names}
    answers = {keys[row.number]: row.answer for row in rows}
    below: dict[int | None, list[int]] = {}
    for node in nodes:
        if home_of[node.id] == node.id:
            below.setdefault(node.parent_id, []).append(node.id)

    def build(node_id: int) -> OldNode:
        held = tuple(keys[unit] for unit in homes.get(node_id, ()))
        is_answered = all(answers[key] is not None for key in held)
        children = () if held else tuple(build(child) for child in below.get(node_id, ()))
        return OldNode(node_id, held, children, node_id in texts and is_answered)

    return EarlierUnits(build(root), images, answers)


def _homes(nodes: Sequence[Any]) -> dict[int, int]:
    """For each node the one that answers for its units: itself, or the branch over all parts of its
    unit."""
    by_id = {node.id: node for node in nodes}
    homes: dict[int, int] = {}
    for node in nodes:
        home = node
        while home.unit is not None and by_id[home.parent_id].unit is not None:
            home = by_id[home.parent_id]
        homes[node.id] = home.id
    return homes


def _looks_joined(
    nodes: Sequence[Any],
    images: Mapping[Identity, KnownImage],
    held: dict[int, list[Identity]],
    texts: dict[int, KeptNode],
) -> list[Any]:
    """``nodes`` with a leaf that looked again as a part of the one that it was taken from: images
    of one stand between those of the other, and leaves of a plan follow each other. ``held`` and
    ``texts`` are joined likewise."""
    joined: list[Any] = []
    before: dict[int | None, Any] = {}  # the last leaf below each parent
    reach: dict[int | None, int] = {}
    for node in nodes:
        parent = node.parent_id
        leaf: Any = before.get(parent)
        overlaps = leaf is not None and node.first_position < reach[parent]
        if node.kind != NodeKind.LEAF or not overlaps or max(node.look, leaf.look) == 1:
            joined.append(node)
            if node.kind == NodeKind.LEAF:
                before[parent], reach[parent] = node, node.last_position
            continue
        reach[parent] = max(reach[parent], node.last_position)
        both = [*held.get(leaf.id, ()), *held.pop(node.id, ())]
        held[leaf.id] = sorted(both, key=lambda identity: images[identity].position)
        first, second = texts.pop(leaf.id, None), texts.pop(node.id, None)
        if first is not None and second is not None:
            texts[leaf.id] = _joined(first, second)
    return joined


def _joined(first: KeptNode, second: KeptNode) -> KeptNode:
    text = in_order([first.text, second.text])
    refused = first.refused_citations + second.refused_citations
    return KeptNode(text, first.images + second.images, refused)


def _images_of(job_id: str) -> Select[*tuple[Any, ...]]:
    """A query for a job's images in order: leaf, identity, then the columns of KnownImage."""
    identity = (Image.location, Image.page, Image.bytes, Image.changed_ns, Image.version)
    return (
        select(Image.node_id, *identity, *columns_of(KnownImage, Image))
        .where(Image.job_id == job_id)
        .order_by(Image.position)
    )


def _by_identity(
    rows: Iterable[Any],
) -> tuple[dict[Identity, KnownImage], dict[int, list[Identity]]]:
    """The images by identity, and the identities in each leaf, in order."""
    images: dict[Identity, KnownImage] = {}
    held: dict[int, list[Identity]] = {}
    for row in rows:
        leaf, location, page, size, changed, version, *known = tuple(row)
        identity = (location, page, size, changed, version)
        image = KnownImage(*known)
        if image.status != ImageStatus.DUPLICATE or identity not in images:
            images[identity] = image  # a file that was named twice is known by its first row
        if leaf is not None:
            held.setdefault(leaf, []).append(identity)
    return images, held


def _tree(
    root: int, nodes: Sequence[Any], held: dict[int, list[Identity]], texts: dict[int, KeptNode]
) -> OldNode:
    below: dict[int, list[int]] = {}
    leaves = set()
    spans = {}
    for node in nodes:
        below.setdefault(node.parent_id, []).append(node.id)
        spans[node.id] = (node.first_position, node.last_position)
        if node.kind == NodeKind.LEAF:
            leaves.add(node.id)

    def build(node_id: int) -> OldNode:
        settled = node_id in texts
        if node_id in leaves:
            items = tuple(held.get(node_id, ()))
            return OldNode(node_id, items=items, settled=settled, span=spans[node_id])
        children = tuple(build(child) for child in below.get(node_id, ()))
        return OldNode(node_id, children=children, settled=settled)

    return build(root)


def newest_version(connection: Connection, job_id: str) -> str:
    """The newest job in the chain of jobs that follow ``job_id`` with the same question."""
    family = connection.execute(select(Job.family).where(Job.id == job_id)).scalar()
    while family is not None:
        following = connection.execute(
            select(Job.id)
            .where(Job.follows == job_id, Job.family == family)
            .order_by(Job.created_at.desc())
            .limit(1)
        ).scalar()
        if following is None:
            break
        job_id = following
    return job_id


def turns(connection: Connection, job_id: str) -> list[str]:
    """Ids of the jobs with further questions about a job's images, oldest first."""
    rows = connection.execute(
        select(Job.id)
        .where(Job.follows == job_id, Job.family.is_(None))
        .order_by(Job.created_at, Job.id)
    )
    return list(rows.scalars())
