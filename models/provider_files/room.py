"""Room in the file store: how many files count, and whether places will become free."""

from __future__ import annotations

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    exists,
    func,
    literal_column,
    or_,
    select,
)

from core.states import FileStatus, ImageStatus, JobStatus, NodeKind, NodeStatus
from models.engine import now
from models.tables import File, Image, Job, Node

DELETE_SECONDS = 150.0
"""How long a file that was given up counts at most: longer than its deletion can take."""
DELETED_SOON_SECONDS = 10.0
"""How long to wait for a place from a deletion before a leaf that lacks images gives up its own.
Deletions take a fraction of a second; one whose worker was lost frees its place only after
``DELETE_SECONDS``."""
RECORDED = and_(Image.status == ImageStatus.PREPARED, Image.lease_until > now())
"""Images whose upload is being recorded."""
ACCOUNT = File.account == bindparam("of")


def _counted() -> Select[int]:
    """One subquery for each kind: each uses the index, and old deleted files are not read."""
    deleting = File.used_at > now() - DELETE_SECONDS  # used_at is set when the file is given up
    kinds = (
        [File.status == FileStatus.STORED],
        [File.status == FileStatus.UPLOADING, File.lease_until > now()],
        [
            File.status == FileStatus.GONE,
            deleting,
            or_(File.lease_until > now(), File.file_id.is_not(None)),
        ],
    )
    total: ColumnElement[int] = literal_column("0")
    for kind in kinds:
        total += select(func.count()).where(ACCOUNT, *kind).scalar_subquery()
    return select(total)


_COUNT = _counted()  # built once: it runs for every slice


def count(connection: Connection, account: str) -> int:
    """The number of files that are stored, being uploaded, or not deleted yet."""
    return connection.execute(_COUNT, {"of": account}).scalar_one()


def room_will_come(connection: Connection, account: str) -> bool:
    """Whether a leaf has all its files and only waits for its call, which frees its files."""
    waiting = exists().where(
        Job.account == account,
        Job.status == JobStatus.RUNNING,
        Node.job_id == Job.id,
        Node.kind == NodeKind.LEAF,
        Node.status.in_([NodeStatus.READY, NodeStatus.RUNNING]),
    )
    return bool(connection.execute(select(waiting)).scalar())


def is_stuck(connection: Connection, account: str, files_max: int | None) -> bool:
    """Whether the store stays full until a leaf gives way: no leaf has all its files, and neither a
    free place nor anything in progress (uploads, deletions, contents being recorded) changes that.
    ``files_max``: places in the store; None if the provider has just refused a file, so that
    neither places that we count as free nor uploads help."""
    soon = File.used_at > now() - DELETED_SOON_SECONDS
    kinds = [
        [File.status == FileStatus.GONE, soon, File.lease_until > now()],
        [File.status == FileStatus.STORED, exists().where(Image.sha256 == File.sha256, RECORDED)],
    ]
    if files_max is not None:
        if count(connection, account) < files_max:
            return False
        kinds.append([File.status == FileStatus.UPLOADING, File.lease_until > now()])
    in_progress = or_(*(exists().where(File.account == account, *kind) for kind in kinds))
    changes = connection.execute(select(in_progress)).scalar()
    return not changes and not room_will_come(connection, account)
