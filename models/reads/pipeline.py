"""Named queries of the pipeline. They must be fast, and nothing here writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    case,
    exists,
    func,
    not_,
    or_,
    select,
)

from core.errors import FORM_REFUSED, TOO_MUCH
from core.job_options import JobOptions
from core.states import (
    UNSETTLED_IMAGES,
    CallStatus,
    ImageStatus,
    JobStatus,
    NodeKind,
    NodeStatus,
    Seen,
)
from core.text.runs import Runs
from models.below import images_below
from models.engine import now
from models.ledger import SENT
from models.partial_indexes import TROUBLED
from models.records import columns_of, record
from models.tables import Call, Event, Image, Job, Node

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True, slots=True)
class JobRow:
    id: str
    key: str
    status: JobStatus
    reason: str | None
    ask: str
    model: str
    provider: str
    endpoint: str
    detail: str
    options: JobOptions
    submitted: int
    answer: str | None
    created_at: float
    finished_at: float | None
    account: str
    label: str | None
    weight: float
    family: str | None
    follows: str | None
    owner: str | None  # name of a token; None: this machine, or a message
    comparing: bool = False  # its images are compared before its tree is planned


@dataclass(frozen=True, slots=True)
class ImageRow:
    position: int
    name: str
    status: ImageStatus
    error_code: str | None
    error: str | None
    duplicate_of: int | None
    answer: Any = None  # if the job asked each image
    seen: str | None = None  # of an included image: a value of Seen
    note: str | None = None  # the line that the model wrote about it
    remarks: str | None = None  # what was noticed while it was prepared
    look: int = 1  # 2: it was looked at twice
    unclear: list[str] | None = None  # fields that the model could not tell; []: the whole image
    unit: int | None = None  # number of its unit, in a job by units
    similar_to: int | None = None  # position of the image that stands for it


@dataclass(frozen=True, slots=True)
class TreeShape:
    """``depth`` is the number of levels (1 if one request asks all). Split nodes do not count."""

    depth: int
    nodes: int
    leaves: int


@dataclass(frozen=True, slots=True)
class Used:
    """The totals of a job's calls."""

    requests: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    cost: float
    currency: str


@dataclass(frozen=True, slots=True)
class Progress:
    """A job's images and nodes by state, and its usage."""

    images: dict[str, int]
    leaves: dict[str, int]
    branches: dict[str, int]
    used: Used


@dataclass(frozen=True, slots=True)
class LookImage:
    """An image for a leaf's request."""

    id: int
    position: int
    sha256: str
    location: str
    mime: str
    prepared_bytes: int
    tokens: int
    width: int
    height: int
    note: str  # of an earlier question about the same image
    name: str = ""
    facts: Mapping[str, Any] | None = None
    unit: int | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """A child's text for a branch's request. ``written``: the most completion tokens of any reply
    to the child (the text is one of them); 0 if the text was reused or composed."""

    node_id: int
    text: str
    images: int
    key: str
    written: int = 0


def job(connection: Connection, job_id: str) -> JobRow | None:
    row = connection.execute(select(*columns_of(JobRow, Job)).where(Job.id == job_id)).first()
    return None if row is None else record(JobRow, row, status=JobStatus(row.status))


def job_status(connection: Connection, job_id: str) -> JobStatus | None:
    standing = job_standing(connection, job_id)
    return None if standing is None else standing[0]


_STANDING = select(Job.status, Job.reason).where(Job.id == bindparam("job"))


def job_standing(connection: Connection, job_id: str) -> tuple[JobStatus, str | None] | None:
    """The status and its reason: one lookup by primary key, cheap enough for polling."""
    row = connection.execute(_STANDING, {"job": job_id}).first()
    return None if row is None else (JobStatus(row.status), row.reason)


def images(
    connection: Connection, job_id: str, which: ColumnElement[bool] | None = None
) -> list[ImageRow]:
    """A job's images in order; with ``which``, only those for which this condition holds."""
    query = select(*image_columns(ImageRow)).where(Image.job_id == job_id)
    query = query if which is None else query.where(which)
    return [image_row(row) for row in connection.execute(query.order_by(Image.position))]


def image_row(row: Any) -> ImageRow:
    """``row`` has the columns of ``image_columns(ImageRow)``, read by their order: there may be
    tens of thousands."""
    return ImageRow(row[0], row[1], ImageStatus(row[2]), *row[3:])


def image_columns(record_type: type[DataclassInstance]) -> list[Any]:
    """Columns of images for ``record_type``. ``seen`` has a value for each included image, and for
    no other: what was included without a proof was only sent."""
    proof = func.coalesce(Image.seen, Seen.SENT)
    of_included = case((Image.status == ImageStatus.INCLUDED, proof)).label("seen")
    columns = columns_of(record_type, Image)
    return [of_included if column.key == "seen" else column for column in columns]


def seen(connection: Connection, job_id: str) -> dict[str, int]:
    """How many included images have an answer or a line of their own, or were only sent."""
    return seen_where(connection, Image.job_id == job_id)


def seen_where(connection: Connection, which: ColumnElement[bool]) -> dict[str, int]:
    """Included images by ``seen``: those for which ``which``, a condition on image and job, holds.
    An image of before the column was only sent."""
    counts = dict.fromkeys(map(str, Seen), 0)
    rows = connection.execute(
        select(Image.seen, func.count())
        .join(Job, Job.id == Image.job_id)
        .where(which, Image.status == ImageStatus.INCLUDED)
        .group_by(Image.seen)
    )
    for proof, count in rows:
        counts[proof or Seen.SENT] += count
    return counts


def tree_shape(connection: Connection, job_id: str) -> TreeShape:
    rows = connection.execute(
        select(Node.id, Node.parent_id, Node.kind).where(
            Node.job_id == job_id, Node.status != NodeStatus.SPLIT
        )
    ).all()
    parents = {row.id: row.parent_id for row in rows}
    depths: dict[int, int] = {}

    def depth(node_id: int) -> int:
        if node_id not in depths:
            parent = parents[node_id]
            depths[node_id] = 1 if parent is None else depth(parent) + 1
        return depths[node_id]

    return TreeShape(
        depth=max((depth(node_id) for node_id in parents), default=0),
        nodes=len(rows),
        leaves=sum(row.kind == NodeKind.LEAF for row in rows),
    )


def used(connection: Connection, job_id: str) -> Used:
    """The job's sent requests, and the tokens and cost of the paid ones."""
    row = connection.execute(
        select(
            func.count(case((SENT, 1))),
            func.coalesce(func.sum(Call.prompt_tokens), 0),
            func.coalesce(func.sum(Call.cached_tokens), 0),
            func.coalesce(func.sum(Call.completion_tokens), 0),
            func.coalesce(func.sum(Call.cost), 0.0),
            func.max(Call.currency),
        ).where(Call.job_id == job_id, Call.status != CallStatus.STARTED)
    ).one()
    return Used(row[0], int(row[1]), int(row[2]), int(row[3]), float(row[4]), str(row[5] or "USD"))


def progress(connection: Connection, job_id: str) -> Progress:
    """Where the job stands, by a few grouped counts that use its indexes."""
    images_by = connection.execute(
        select(Image.status, func.count()).where(Image.job_id == job_id).group_by(Image.status)
    )
    nodes_by = connection.execute(
        select(Node.kind, Node.status, func.count())
        .where(Node.job_id == job_id, Node.status != NodeStatus.SPLIT)
        .group_by(Node.kind, Node.status)
    ).all()
    return Progress(
        images={str(status): count for status, count in images_by},
        leaves={str(s): count for kind, s, count in nodes_by if kind == NodeKind.LEAF},
        branches={str(s): count for kind, s, count in nodes_by if kind == NodeKind.BRANCH},
        used=used(connection, job_id),
    )


def look_images(connection: Connection, node_id: int) -> list[LookImage]:
    """The images that a leaf's request shows, in order."""
    rows = connection.execute(
        select(*columns_of(LookImage, Image))
        .where(Image.node_id == node_id, Image.status == ImageStatus.UPLOADED)
        .order_by(Image.position)
    )
    return [
        record(
            LookImage,
            row,
            sha256=row.sha256 or "",
            mime=row.mime or "",
            prepared_bytes=row.prepared_bytes or 0,
            tokens=row.tokens or 0,
            width=row.width or 0,
            height=row.height or 0,
            note=row.note or "",
        )
        for row in rows
    ]


def reported_usage(connection: Connection, node_id: int) -> list[tuple[int, int]]:
    """(images, prompt tokens) of the replies that reported usage to a leaf and to those that it was
    split from, which showed its images and others. Not to a first look: the images of a second look
    are larger, or another model counts them."""
    columns = (Node.id, Node.split_from, Node.look)
    above = select(*columns).where(Node.id == node_id).cte("above", recursive=True)
    above = above.union_all(
        select(*columns).join(above, (Node.id == above.c.split_from) & (Node.look == above.c.look))
    )
    rows = connection.execute(
        select(Call.images, func.max(Call.prompt_tokens))
        .where(
            Call.node_id.in_(select(above.c.id)),
            Call.status == CallStatus.SETTLED,
            Call.images > 0,
            Call.usage_estimated.is_(False),
        )
        .group_by(Call.images)
    )
    return [(row[0], row[1]) for row in rows]


@dataclass(frozen=True, slots=True)
class Proof:
    """How far a job's replies show that its images are seen, ``since`` it was last started.
    ``alone``: replies to requests with an image alone, or with a canary beside it."""

    included: int
    replies: int
    alone: int
    since: float


def proof(connection: Connection, job_id: str) -> Proof:
    since = _running_since(connection, job_id)
    included = connection.execute(
        select(func.count()).select_from(
            select(Image.id)
            .where(Image.job_id == job_id, Image.status == ImageStatus.INCLUDED)
            .limit(1)
            .subquery()
        )
    ).scalar_one()
    replies, alone = connection.execute(
        select(func.count(), func.count(case((Call.images <= 2, 1)))).where(
            Call.job_id == job_id,
            Call.status == CallStatus.SETTLED,
            Call.images > 0,
            Call.started_at >= since,
        )
    ).one()
    return Proof(included, replies, alone, since)


@dataclass(frozen=True, slots=True)
class Silence:
    """A job's replies, none of which has a text: how many, the most to one node, and the number of
    nodes that were asked again."""

    replies: int
    most: int
    asked_again: int


def silence(connection: Connection, job_id: str, shows_images: bool) -> Silence | None:
    """The empty replies of a job since it was last started, to requests that show images or to
    those over notes; None if one had a text."""
    of_kind = (
        Call.job_id == job_id,
        Call.status == CallStatus.SETTLED,
        Call.images > 0 if shows_images else Call.images == 0,
        Call.started_at >= _running_since(connection, job_id),
    )
    has_text = func.trim(func.coalesce(Call.reply, "")) != ""
    if connection.execute(select(exists().where(*of_kind, has_text))).scalar():
        return None
    replies = connection.execute(
        select(func.count()).where(*of_kind).group_by(Call.node_id)
    ).scalars()
    counts = list(replies)
    return Silence(sum(counts), max(counts, default=0), sum(count > 1 for count in counts))


def failed_without_answer(connection: Connection, job_id: str, most: int) -> list[str]:
    """The errors of a job's last calls since it was last started, at most so many; none if one of
    its calls was answered."""
    of_job = (Call.job_id == job_id, Call.started_at >= _running_since(connection, job_id))
    settled = exists().where(*of_job, Call.status == CallStatus.SETTLED)
    if connection.execute(select(settled)).scalar():
        return []
    errors = select(Call.error).where(*of_job, Call.error.is_not(None))
    rows = connection.execute(errors.order_by(Call.id.desc()).limit(most)).scalars()
    return [error or "" for error in rows]


def _running_since(connection: Connection, job_id: str) -> float:
    started = and_(Event.job_id == job_id, Event.name == f"job.{JobStatus.RUNNING}")
    return connection.execute(select(func.max(Event.at)).where(started)).scalar() or 0.0


def notes(connection: Connection, node_id: int) -> list[Note]:
    """The texts that a branch's request reads, in the order of their images."""
    written = (
        select(func.max(Call.completion_tokens))
        .where(Call.node_id == Node.id, Call.status == CallStatus.SETTLED)
        .scalar_subquery()
    )
    rows = connection.execute(
        select(Node.id, Node.text, Node.images, Node.key, written)
        .where(Node.parent_id == node_id, Node.status == NodeStatus.DONE)
        .order_by(Node.first_position)
    )
    return [Note(row[0], row[1] or "", row[2], row[3] or "", row[4] or 0) for row in rows]


def included_positions(connection: Connection, node_id: int) -> Runs:
    """Positions of the included images below a node. The database finds the runs: in a run, a
    position less its number in order stays the same."""
    number = func.row_number().over(order_by=Image.position)
    included = (
        select(Image.position, (Image.position - number).label("run"))
        .where(images_below(connection, node_id), Image.status == ImageStatus.INCLUDED)
        .subquery()
    )
    first = func.min(included.c.position)
    rows = connection.execute(
        select(first, func.max(included.c.position)).group_by(included.c.run).order_by(first)
    )
    return Runs((row[0], row[1]) for row in rows)


def answers(connection: Connection, node_id: int) -> list[tuple[int, Any]]:
    """(position, answer) of the included images below a node that have an answer."""
    rows = connection.execute(
        select(Image.position, Image.answer)
        .where(
            images_below(connection, node_id),
            Image.status == ImageStatus.INCLUDED,
            Image.answer.is_not(None),
        )
        .order_by(Image.position)
    )
    return [(row[0], row[1]) for row in rows]


def seconds_since(connection: Connection, at: float | None) -> float:
    """Seconds since ``at`` by the database's clock; 0 for None."""
    if at is None:
        return 0.0
    return float(connection.execute(select(now() - at)).scalar_one())


def calls_in_flight(connection: Connection, job_id: str) -> int:
    """The number of a job's calls in flight, about to be sent included."""
    return connection.execute(
        select(func.count()).where(Call.job_id == job_id, Call.status == CallStatus.STARTED)
    ).scalar_one()


def anyone_prepares(connection: Connection) -> bool:
    """Whether a worker is preparing an image of any job."""
    held = exists().where(
        Image.attempts > 0, Image.status == ImageStatus.PENDING, Image.lease_until > now()
    )
    return bool(connection.execute(select(held)).scalar())


def at_work(connection: Connection, job_id: str) -> bool:
    """Whether a call of a job is in flight, or its reply is being recorded."""
    call = exists().where(Call.job_id == job_id, Call.status == CallStatus.STARTED)
    node = exists().where(Node.job_id == job_id, Node.status == NodeStatus.RUNNING)
    return bool(connection.execute(select(or_(call, node))).scalar())


def upload_waits_for(connection: Connection, job_id: str) -> str | None:
    """The recorded reason why prepared images of a job are not uploaded yet, or None."""
    return connection.execute(
        select(Image.error)
        .where(Image.job_id == job_id, TROUBLED, Image.status == ImageStatus.PREPARED)
        .limit(1)
    ).scalar()


def trouble(connection: Connection, job_id: str) -> str | None:
    """Why a node or image of a running job waits for a retry; None if nothing does."""
    node = (
        select(Node.error)
        .where(Node.job_id == job_id, Node.status == NodeStatus.READY, Node.error.is_not(None))
        .order_by(Node.due_at.desc())
        .limit(1)
    )
    image = select(Image.error).where(Image.job_id == job_id, TROUBLED).limit(1)
    error = connection.execute(node).scalar() or connection.execute(image).scalar()
    return str(error) if error else None


def settled_and_refused(connection: Connection, job_id: str) -> tuple[int, int]:
    """How many of a job's calls were settled, and how many refused for what was in them. Requests
    that were only too large, or had a part that the endpoint does not take, say nothing about the
    job."""
    error = func.coalesce(Call.error, "")
    is_learned = or_(error.startswith(TOO_MUCH), error.startswith(FORM_REFUSED))
    counts = and_(Call.status == CallStatus.REFUSED, not_(is_learned))
    row = connection.execute(
        select(
            func.coalesce(func.sum(case((Call.status == CallStatus.SETTLED, 1), else_=0)), 0),
            func.coalesce(func.sum(case((counts, 1), else_=0)), 0),
        ).where(Call.job_id == job_id)
    ).one()
    return int(row[0]), int(row[1])


def unsettled(connection: Connection, job_id: str) -> dict[str, int]:
    """How many of a job's images still have to be prepared (pending) or uploaded (prepared)."""
    return dict(
        connection.execute(
            select(Image.status, func.count())
            .where(Image.job_id == job_id, Image.status.in_(UNSETTLED_IMAGES))
            .group_by(Image.status)
        ).all()
    )


def has_prepared(connection: Connection, job_id: str, image_id: int) -> bool:
    """Whether the job prepared the image itself, and did not reuse an earlier job's."""
    event = exists().where(
        Event.job_id == job_id, Event.image_id == image_id, Event.name == "image.prepared"
    )
    return bool(connection.execute(select(event)).scalar())


def jobs_called(connection: Connection, name: str) -> list[str]:
    """Up to two ids of jobs that start with ``name``: two mean that it is ambiguous."""
    rows = connection.execute(
        select(Job.id).where(Job.id.startswith(name, autoescape=True)).limit(2)
    )
    return list(rows.scalars())


@dataclass(frozen=True, slots=True)
class EventRow:
    """One transition of the image at ``position``, of the node, or of the job."""

    id: int
    at: float
    name: str
    position: int | None
    node_id: int | None
    detail: str | None


def events(
    connection: Connection, job_id: str, after: int, limit: int | None = None
) -> list[EventRow]:
    """A job's events with an id above ``after``, in the order of their ids; the first ``limit``."""
    rows = connection.execute(
        select(*columns_of(EventRow, Event, Image))
        .outerjoin(Image, Image.id == Event.image_id)
        .where(Event.job_id == job_id, Event.id > after)
        .order_by(Event.id)
        .limit(limit)
    )
    return [record(EventRow, row) for row in rows]


def root_text(connection: Connection, job_id: str) -> str | None:
    """The text of the job's root: its answer without the added sentence about missing images."""
    return connection.execute(
        select(Node.text).where(
            Node.job_id == job_id, Node.parent_id.is_(None), Node.status == NodeStatus.DONE
        )
    ).scalar()


def taken_over(connection: Connection, job_id: str) -> str | None:
    """A text that says what the job reused from the one it follows, or None."""
    return connection.execute(
        select(Event.detail).where(Event.job_id == job_id, Event.name == "job.continued")
    ).scalar()
