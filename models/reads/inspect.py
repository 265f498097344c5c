"""Queries for people: jobs, trees, images, calls and the course of a job. Nothing here writes.

They may read a whole job, unlike those of models.reads.pipeline, which must be fast.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    and_,
    case,
    cast,
    func,
    or_,
    select,
)

from core.access import LOCAL
from core.account.estimate import OpenNode
from core.account.habit import ENOUGH, PastCall
from core.account.pace import PastRun, Work
from core.answers.spec import values_of
from core.errors import RefusalCode
from core.states import (
    ANSWERED_JOBS,
    SETTLED_NODES,
    UNSETTLED_IMAGES,
    CallStatus,
    ImageStatus,
    JobStatus,
    NodeKind,
    NodeStatus,
    Seen,
)
from models.engine import now
from models.ledger import SENT
from models.reads.pipeline import image_columns, seen_where
from models.records import columns_of, record
from models.tables import Call, Event, Image, Job, Node

WAITING_IMAGES = (*UNSETTLED_IMAGES, ImageStatus.UPLOADED)
REPLIES = 50
"""Recent replies that predict the next one."""
ONLY_SENT = and_(
    Image.status == ImageStatus.INCLUDED, func.coalesce(Image.seen, Seen.SENT) == Seen.SENT
)


@dataclass(frozen=True, slots=True)
class JobLine:
    """A job for a list. ``seconds``: from its submission until it ended or was paused, or until
    now, without earlier pauses. ``idle_seconds``: those."""

    id: str
    status: JobStatus
    label: str | None
    ask: str
    model: str
    submitted: int
    included: int
    failed: int
    requests: int
    cost: float
    currency: str
    created_at: float
    finished_at: float | None
    seconds: float
    idle_seconds: float
    owner: str | None  # name of a token; None: this machine, or a message


@dataclass(frozen=True, slots=True)
class ImageLine:
    """An image with all that people may want to know about it."""

    position: int
    name: str
    location: str
    page: int | None
    root: str | None
    bytes: int | None
    status: ImageStatus
    error_code: str | None
    error: str | None
    duplicate_of: int | None
    remarks: str | None
    source_sha256: str | None
    sha256: str | None
    width: int | None
    height: int | None
    prepared_bytes: int | None
    tokens: int | None
    attempts: int
    node_id: int | None
    seen: str | None  # of an included image: a value of Seen
    look: int  # 2: it was looked at twice
    unclear: list[str] | None  # fields that the model could not tell; []: the whole image
    note: str | None  # the line that the model wrote about it
    unit: int | None  # number of its unit, in a job by units
    similar_to: int | None = None  # position of the image that stands for it


@dataclass(frozen=True, slots=True)
class NodeLine:
    """A node of the tree, and the totals of its calls."""

    id: int
    parent_id: int | None
    kind: NodeKind
    level: int
    first_position: int
    last_position: int
    status: NodeStatus
    text: str | None
    images: int
    refused_citations: int
    error: str | None
    started_at: float | None
    finished_at: float | None
    requests: int
    tokens: int
    cost: float


@dataclass(frozen=True, slots=True)
class CallLine:
    """One request. ``kind``: whether it showed ``images`` (leaf) or notes on them (branch)."""

    id: int
    node_id: int | None
    kind: NodeKind | None
    status: CallStatus
    model: str
    images: int
    reserved_tokens: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    cost: float
    currency: str
    finish_reason: str | None
    http_status: int | None
    error: str | None
    trace: str | None
    started_at: float
    settled_at: float | None


def jobs(
    connection: Connection,
    statuses: Collection[str] = (),
    label: str | None = None,
    limit: int = 50,
    owner: str | None = None,
) -> list[JobLine]:
    """Up to ``limit`` jobs, newest first, with their current counts. ``owner``: of this token
    alone; LOCAL: of none."""
    query = select(Job).order_by(Job.created_at.desc(), Job.id).limit(limit)
    if statuses:
        query = query.where(Job.status.in_(statuses))
    if label is not None:
        query = query.where(Job.label == label)
    if owner is not None:
        query = query.where(Job.owner == (None if owner == LOCAL else owner))
    rows = connection.execute(query).all()
    ids = [row.id for row in rows]
    counts = _image_counts(connection, ids)
    spent = _spent(connection, ids)
    return [
        _job_line(row, counts.get(row.id, {}), spent.get(row.id), _until(connection, row))
        for row in rows
    ]


def _until(connection: Connection, job: Any) -> float:
    """When a job ended or was paused; now, if it runs."""
    stopped = job.idle_since or job.finished_at
    return float(stopped or connection.execute(select(now())).scalar_one())


def _job_line(row: Any, counts: dict[str, int], spent: Any, until: float) -> JobLine:
    return record(
        JobLine,
        row,
        status=JobStatus(row.status),
        included=counts.get(ImageStatus.INCLUDED, 0),
        failed=counts.get(ImageStatus.FAILED, 0),
        requests=spent.requests if spent else 0,
        cost=float(spent.cost) if spent else 0.0,
        currency=spent.currency if spent else "USD",
        seconds=max(until - row.created_at - row.idle_seconds, 0.0),
    )


def _image_counts(connection: Connection, ids: Collection[str]) -> dict[str, dict[str, int]]:
    rows = connection.execute(
        select(Image.job_id, Image.status, func.count())
        .where(Image.job_id.in_(ids))
        .group_by(Image.job_id, Image.status)
    )
    counts: dict[str, dict[str, int]] = {}
    for job_id, status, number in rows:
        counts.setdefault(job_id, {})[status] = number
    return counts


def _spent(connection: Connection, ids: Collection[str]) -> dict[str, Any]:
    rows = connection.execute(
        select(
            Call.job_id,
            func.count(case((SENT, 1))).label("requests"),
            func.sum(Call.cost).label("cost"),
            func.max(Call.currency).label("currency"),
        )
        .where(Call.job_id.in_(ids), Call.status != CallStatus.STARTED)
        .group_by(Call.job_id)
    )
    return {row.job_id: row for row in rows}


def job_line(connection: Connection, job_id: str) -> JobLine:
    """An existing job, for a list."""
    row = connection.execute(select(Job).where(Job.id == job_id)).one()
    counts = _image_counts(connection, [job_id])
    spent = _spent(connection, [job_id]).get(job_id)
    return _job_line(row, counts.get(job_id, {}), spent, _until(connection, row))


def job_ids(connection: Connection, start: str, limit: int = 20) -> list[tuple[str, str]]:
    """(id, question) of the newest jobs whose id starts with ``start``."""
    rows = connection.execute(
        select(Job.id, Job.ask)
        .where(Job.id.startswith(start, autoescape=True))
        .order_by(Job.created_at.desc())
        .limit(limit)
    )
    return [(row.id, row.ask) for row in rows]


def images(
    connection: Connection,
    job_id: str,
    statuses: Collection[str] = (),
    unseen: bool = False,
    similar_to: int | None = None,
    which: ColumnElement[bool] | None = None,
) -> list[ImageLine]:
    """A job's images in order; with ``statuses``, only those. ``unseen``: only images without a
    proof that the model saw them: they were only sent, or failed for it. ``similar_to``: only
    those that the image at this position stands for. ``which``: only those for which this condition
    holds."""
    query = select_images(job_id, statuses, unseen, similar_to)
    query = query if which is None else query.where(which)
    return [image_line(row) for row in connection.execute(query.order_by(Image.position))]


def select_images(
    job_id: str,
    statuses: Collection[str] = (),
    unseen: bool = False,
    similar_to: int | None = None,
) -> Select[*tuple[Any, ...]]:
    """The query of ``images``, without an order."""
    query = select(*image_columns(ImageLine)).where(Image.job_id == job_id)
    if statuses:
        query = query.where(Image.status.in_(statuses))
    if unseen:
        query = query.where(or_(ONLY_SENT, Image.error_code == RefusalCode.UNSEEN))
    if similar_to is not None:
        query = query.where(Image.similar_to == similar_to)
    return query


def image_line(row: Any) -> ImageLine:
    """A row of ``select_images``."""
    return record(ImageLine, row, status=ImageStatus(row.status))


def image(connection: Connection, job_id: str, position: int) -> ImageLine | None:
    """One image of a job."""
    query = select(*image_columns(ImageLine)).where(
        Image.job_id == job_id, Image.position == position
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else image_line(row)


def seen_lately(connection: Connection, seconds: float) -> dict[str, int]:
    """Included images by ``seen``, of jobs that have not ended or ended within ``seconds``."""
    return seen_where(connection, or_(Job.finished_at.is_(None), Job.finished_at > now() - seconds))


def nodes(
    connection: Connection,
    job_id: str,
    which: ColumnElement[bool] | None = None,
    text_most: int | None = None,
) -> list[NodeLine]:
    """A job's nodes except split ones, in the order of their images, root first; with ``which``,
    only those for which this condition holds. ``text_most``: characters of a text that are read."""
    wanted = _nodes_where(job_id, which)
    paid = (
        select(
            Call.node_id,
            func.count(case((SENT, 1))).label("requests"),
            func.sum(Call.prompt_tokens + Call.completion_tokens).label("spent_tokens"),
            func.sum(Call.cost).label("cost"),
        )
        .where(Call.job_id == job_id, Call.status != CallStatus.STARTED)
        .group_by(Call.node_id)
    )
    if which is not None:
        paid = paid.where(Call.node_id.in_(select(Node.id).where(wanted)))
    spent = paid.subquery()
    text = Node.text if text_most is None else func.substr(Node.text, 1, text_most)
    rows = connection.execute(
        select(
            *(column for column in columns_of(NodeLine, Node) if column.key != "text"),
            text.label("text"),
            func.coalesce(spent.c.requests, 0).label("requests"),
            func.coalesce(spent.c.spent_tokens, 0).label("spent_tokens"),
            func.coalesce(spent.c.cost, 0.0).label("cost"),
        )
        .outerjoin(spent, spent.c.node_id == Node.id)
        .where(wanted)
        .order_by(*_NODE_ORDER)
    )
    return [
        record(
            NodeLine,
            row,
            kind=NodeKind(row.kind),
            status=NodeStatus(row.status),
            tokens=int(row.spent_tokens),
            cost=float(row.cost),
        )
        for row in rows
    ]


def node_ids(connection: Connection, job_id: str) -> list[int]:
    """The ids of ``nodes``, in the same order."""
    query = select(Node.id).where(_nodes_where(job_id, None)).order_by(*_NODE_ORDER)
    return list(connection.execute(query).scalars())


_NODE_ORDER = (Node.first_position, Node.level.desc(), Node.id)


def _nodes_where(job_id: str, which: ColumnElement[bool] | None) -> ColumnElement[bool]:
    is_shown = and_(Node.job_id == job_id, Node.status != NodeStatus.SPLIT)
    return is_shown if which is None else and_(is_shown, which)


def levels(connection: Connection, job_id: str) -> list[list[NodeStatus]]:
    """The nodes' states in the order of their images: one list for each level, leaves first."""
    rows = connection.execute(
        select(Node.level, Node.status)
        .where(Node.job_id == job_id, Node.status != NodeStatus.SPLIT)
        .order_by(Node.level, Node.first_position)
    )
    by_level: dict[int, list[NodeStatus]] = {}
    for level, status in rows:
        by_level.setdefault(level, []).append(NodeStatus(status))
    return list(by_level.values())


def last_event(connection: Connection, job_id: str) -> int:
    """The id of a job's newest event; 0 if it has none."""
    newest = select(func.coalesce(func.max(Event.id), 0)).where(Event.job_id == job_id)
    return int(connection.execute(newest).scalar_one())


def spans(connection: Connection, job_id: str) -> list[list[tuple[int, int]]]:
    """The first and the last position below each node, in the lists and the order of ``levels``."""
    rows = connection.execute(
        select(Node.level, Node.first_position, Node.last_position)
        .where(Node.job_id == job_id, Node.status != NodeStatus.SPLIT)
        .order_by(Node.level, Node.first_position)
    )
    by_level: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for level, first, last in rows:
        by_level[level].append((first, last))
    return list(by_level.values())


def calls(connection: Connection, job_id: str, failed: bool = False) -> list[CallLine]:
    """A job's requests, oldest first; with ``failed``, only those without a reply."""
    query = (
        select(*columns_of(CallLine, Call, Node))
        .outerjoin(Node, Node.id == Call.node_id)
        .where(Call.job_id == job_id)
        .order_by(Call.started_at, Call.id)
    )
    if failed:
        without_reply = (CallStatus.REFUSED, CallStatus.FAILED, CallStatus.UNKNOWN)
        query = query.where(Call.status.in_(without_reply))
    return [
        record(
            CallLine,
            row,
            kind=NodeKind(row.kind) if row.kind else None,
            status=CallStatus(row.status),
        )
        for row in connection.execute(query)
    ]


MOMENTS = ("image.prepared", "image.uploaded", "image.included", "image.failed", "node.done")


def past_calls(
    connection: Connection, model: str, endpoint: str, last: int = 500
) -> list[PastCall]:
    """The ``last`` paid calls to a model at an endpoint, to estimate the next ones. For a call that
    showed no image, ``images`` counts all images below its node."""
    return _past_calls(connection, and_(Call.model == model, Job.endpoint == endpoint), last)


def replies_like(connection: Connection, job_id: str, model: str, endpoint: str) -> list[PastCall]:
    """The recent paid calls that predict the next reply to a job: its own, or while it has few,
    those of all jobs to its model, if these are enough."""
    own = _past_calls(connection, Job.id == job_id, REPLIES)
    if len(own) >= ENOUGH:
        return own
    others = past_calls(connection, model, endpoint, REPLIES)
    return others if len(others) >= ENOUGH else own


def _past_calls(connection: Connection, which: ColumnElement[bool], last: int) -> list[PastCall]:
    rows = connection.execute(
        select(
            Node.kind,
            case((Call.images > 0, Call.images), else_=Node.images).label("images"),
            Call.completion_tokens,
            (Call.settled_at - Call.started_at).label("seconds"),
            Call.node_id,
            Job.options,
        )
        .join(Node, Node.id == Call.node_id)
        .join(Job, Job.id == Node.job_id)
        .where(which, Call.status == CallStatus.SETTLED, Call.settled_at.is_not(None))
        .order_by(Call.id.desc())
        .limit(last)
    ).all()
    calls = Counter(row.node_id for row in rows)
    past = []
    for row in rows:  # the newest first
        calls[row.node_id] -= 1
        again, values = calls[row.node_id] > 0, values_of(row.options)
        kind, written = NodeKind(row.kind), row.completion_tokens
        past.append(PastCall(kind, row.images, written, row.seconds, values, again))
    return past


def past_runs(connection: Connection, endpoint: str, last: int = 5) -> list[PastRun]:
    """The ``last`` jobs at an endpoint that prepared images without a pause, to estimate how long
    the next ones take."""
    begun = (
        select(Event.job_id)
        .where(Event.name == f"job.{JobStatus.RUNNING}")
        .group_by(Event.job_id)
        .having(func.count() == 1)
    )
    recent = connection.execute(
        select(Job.id, func.coalesce(_resumed_at(), Job.created_at).label("began"))
        .where(Job.endpoint == endpoint, Job.status.in_(ANSWERED_JOBS), Job.id.in_(begun))
        .order_by(Job.created_at.desc())
        .limit(4 * last)
    ).all()
    runs = (_past_run(connection, job.id, job.began) for job in recent)
    return [run for run in runs if run is not None][:last]


def _resumed_at() -> ColumnElement[float]:
    return (
        select(Event.at)
        .where(Event.job_id == Job.id, Event.name == f"job.{JobStatus.RUNNING}")
        .limit(1)
        .scalar_subquery()
    )


def _past_run(connection: Connection, job_id: str, began: float) -> PastRun | None:
    of_job = (Event.job_id == job_id, Image.id == Event.image_id)
    prepared = connection.execute(
        select(
            func.count(case((Image.page.is_(None), 1))).label("files"),
            func.coalesce(func.sum(case((Image.page.is_(None), Image.bytes))), 0).label("bytes"),
            func.count(Image.page).label("pages"),
            func.min(Event.at).label("first"),
            func.max(Event.at).label("last"),
        ).where(*of_job, Event.name == "image.prepared", Image.bytes.is_not(None))
    ).one()
    if prepared.first is None:
        return None
    half = connection.execute(
        select(Event.at)
        .join(Image, Image.id == Event.image_id)
        .where(Event.job_id == job_id, Event.name == "image.prepared", Image.bytes.is_not(None))
        .order_by(Event.at)
        .offset((prepared.files + prepared.pages - 1) // 2)
        .limit(1)
    ).scalar_one()
    uploaded = connection.execute(
        select(func.count(), func.min(Event.at), func.max(Event.at)).where(
            Event.job_id == job_id, Event.name == "image.uploaded"
        )
    ).one()
    work = Work(prepared.files, int(prepared.bytes), prepared.pages)
    moments = (prepared.first, half, prepared.last)
    first, half, last = (moment - began for moment in moments)
    sent = tuple((moment or began) - began for moment in uploaded[1:])
    return PastRun(work, first, half, last, uploaded[0], *sent)


def open_nodes(
    connection: Connection, job_id: str, typical: float | None, most: float
) -> list[OpenNode]:
    """The nodes that a planned job still has to ask. ``typical``: tokens of an image that is not
    prepared yet; None: as of those that are, or ``most`` if none is."""
    rows = connection.execute(
        select(Node.id, Node.parent_id, Node.kind, Node.status, Node.text, Node.images, Node.look)
        .where(Node.job_id == job_id, Node.status != NodeStatus.SPLIT)
        .order_by(Node.level, Node.first_position)
    ).all()
    shown = _shown(connection, job_id, typical, most)
    images: dict[int, int] = {}
    notes: dict[int | None, int] = defaultdict(int)
    pending: dict[int | None, int] = defaultdict(int)
    unanswered = []
    for row in rows:
        own, tokens = shown.get(row.id, (0, 0))
        images[row.id] = (
            row.images if row.status == NodeStatus.DONE else own + images.get(row.id, 0)
        )
        if row.parent_id is not None:
            images[row.parent_id] = images.get(row.parent_id, 0) + images[row.id]
        if row.status == NodeStatus.DONE:
            notes[row.parent_id] += len((row.text or "").encode())
        elif row.status not in SETTLED_NODES:
            pending[row.parent_id] += images[row.id]
            unanswered.append((row, images[row.id], tokens))
    return [
        OpenNode(NodeKind(row.kind), count, tokens, notes[row.id], pending[row.id], row.look)
        for row, count, tokens in unanswered
    ]


def looked_twice(connection: Connection, job_id: str) -> int:
    """How many images of a job were looked at twice, or are about to be."""
    twice = select(func.count()).where(Image.job_id == job_id, Image.look > 1)
    return int(connection.execute(twice).scalar_one())


def _shown(
    connection: Connection, job_id: str, typical: float | None, most: float
) -> dict[int, tuple[int, int]]:
    """For each leaf: the number of images it will show, and the sum of their tokens."""
    rows = connection.execute(
        select(
            Image.node_id,
            func.count(),
            func.count(Image.tokens),
            cast(func.coalesce(func.sum(Image.tokens), 0), Integer),
        )
        .where(Image.job_id == job_id, Image.status.in_(WAITING_IMAGES), Image.node_id.is_not(None))
        .group_by(Image.node_id)
    ).all()
    if typical is None:
        average = select(func.avg(Image.tokens)).where(Image.job_id == job_id)
        typical = float(connection.execute(average).scalar() or most)
    return {
        leaf: (count, tokens + round((count - known) * typical))
        for leaf, count, known, tokens in rows
        if leaf is not None
    }
