"""Files at the provider, counted here: one upload a content, room made by least recent use.

A file is pinned while an image that needs it waits to be looked at (its status is uploaded), or
soon will (a worker has found the content stored). A file that is given up keeps its id and its
place in the count until the provider has deleted it, so that nobody is sent to a store that is
still full, and a deletion that failed is made again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Integer,
    Select,
    Update,
    and_,
    bindparam,
    exists,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from core.states import (
    ENDED_JOBS,
    FileStatus,
    ImageStatus,
    JobStatus,
    NodeKind,
    NodeStatus,
)
from models.claims import Lease
from models.engine import now
from models.tables import File, Image, Job, Node

DELETE_SECONDS = 150.0
"""How long a file that was given up is counted at most: longer than its deletion can take."""
DELETE_AGAIN_SECONDS = 86_400.0
"""How long after the last try a deletion that failed is still found, among all that are long gone;
each try begins that anew."""
DELETED_SOON_SECONDS = 10.0
"""How long its place is waited for before a leaf that lacks images gives its own: deletions take a
fraction of a second, and one whose worker was lost frees nothing before ``DELETE_SECONDS``."""

SPARE = 60
"""Places for other jobs in a store that one job fills: a small one behind it is looked at next, and
would wait for a leaf of the large one to be answered before its images could be uploaded."""


class Claim(StrEnum):
    """What a worker that wants a content at the provider is told."""

    STORED = "stored"  # it is there: use it
    MINE = "mine"  # upload it, then say so
    LOST = "lost"  # the same, but what came of the one before is not known: it may be there
    BUSY = "busy"  # somebody else is uploading it, or its old file is being deleted
    FULL = "full"  # make room first
    INLINE = "inline"  # none of this: it goes inside its request


@dataclass(frozen=True, slots=True)
class StoredFile:
    id: int
    file_id: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class FileRow:
    """A stored file as people see it; ``seconds`` since it was uploaded."""

    file_id: str | None
    sha256: str
    bytes: int
    uploaded_at: float | None
    used_at: float
    seconds: float | None


# Built once: these are run for every slice.
_OF = File.account == bindparam("of")
_KNOWN = select(
    File.sha256,
    File.status,
    (File.lease_until > now()).label("alive"),
    or_(File.status == FileStatus.UPLOADING, File.file_id.is_not(None)).label("maybe_there"),
).where(_OF, File.sha256.in_(bindparam("shas", expanding=True)))
_OWED = select(Image.position).where(
    Image.job_id == bindparam("of_job"),
    Image.status == ImageStatus.PREPARED,
    Image.position < bindparam("before"),
    ~exists().where(
        _OF,
        File.sha256 == Image.sha256,
        or_(File.status == FileStatus.STORED, File.lease_until > now()),
    ),
)
_STORED = (
    update(File)
    .where(_OF, File.sha256 == bindparam("content"))
    .values(
        status=FileStatus.STORED,
        file_id=bindparam("new_id"),
        uploaded_at=now(),
        used_at=now(),
        lease_token=None,
        lease_until=0.0,
    )
)


def _counted() -> Select[int]:
    """Each kind by its own part of the index: those long gone are many, and are not looked at."""
    deleting = File.used_at > now() - DELETE_SECONDS  # it was set when the file was given up
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
        total += select(func.count()).where(_OF, *kind).scalar_subquery()
    return select(total)


def _taking(dialect: Any) -> Any:
    """Insert a row, or take over one that is gone or whose uploader is."""
    values = {
        "status": FileStatus.UPLOADING,
        "lease_token": bindparam("token"),
        "lease_until": now() + bindparam("seconds", type_=Double),
        "used_at": now(),
        "file_id": None,
        "deleted_at": None,
    }
    # no parameter after VALUES, or each row is a statement of its own
    free = and_(File.status != literal_column(f"'{FileStatus.STORED}'"), File.lease_until <= now())
    new = dialect.insert(File).values(account=bindparam("of"), **values)
    return new.on_conflict_do_update(
        index_elements=["account", "sha256"],
        set_={name: new.excluded[name] for name in (*values, "bytes")},
        where=free,
    ).returning(File.sha256)


_HELD = select(func.count()).select_from(
    select(Image.id)
    .where(Image.job_id == bindparam("of_job"), Image.status == ImageStatus.UPLOADED)
    .limit(bindparam("at_most", type_=Integer))
    .subquery()
)
_RECORDED = and_(Image.status == ImageStatus.PREPARED, Image.lease_until > now())
_COUNT = _counted()
_TAKE = {"sqlite": _taking(sqlite), "postgresql": _taking(postgresql)}


def claim_all(
    connection: Connection,
    account: str,
    sizes: Mapping[str, int],
    lease: Lease,
    files_max: int,
    reserved: Mapping[str, int] | None = None,
    job_id: str | None = None,
) -> dict[str, Claim]:
    """What to do about each content (sha256 -> bytes): claim its upload, unless it is stored,
    under way elsewhere, or there is no room beside the places ``reserved`` from it for others.
    The job ``job_id``, if it fills the store, leaves SPARE places to the others."""
    _one_at_a_time(connection, account)
    rows = connection.execute(_KNOWN, {"of": account, "shas": list(sizes)}).all()
    claims = {row.sha256: c for row in rows if (c := _taken_by(row.status, row.alive))}
    stored = [sha for sha, claim in claims.items() if claim is Claim.STORED]
    kept = _touch(connection, account, stored)
    claims |= {sha: Claim.BUSY for sha in stored if sha not in kept}  # just given up
    lost = {row.sha256 for row in rows if row.maybe_there}
    wanted = [sha for sha in sizes if sha not in claims]
    room = files_max - _count(connection, account) if wanted else 0
    if job_id is not None and wanted and room < SPARE + len(wanted):
        room -= _spare(connection, account, job_id, files_max)
    taking: dict[str, int] = {}
    for sha in wanted:
        if room - len(taking) - (reserved or {}).get(sha, 0) <= 0:
            claims[sha] = Claim.FULL
        else:
            taking[sha] = sizes[sha]
    mine = _take_all(connection, account, taking, lease) if taking else set()
    for sha in taking:
        claims[sha] = (Claim.LOST if sha in lost else Claim.MINE) if sha in mine else Claim.BUSY
    return claims


def _spare(connection: Connection, account: str, job_id: str, files_max: int) -> int:
    """Places that a job leaves free. Only where one of its leaves, or of another job, has all its
    files and so gives them back soon: else the places might be what a leaf is waiting for."""
    held = connection.execute(_HELD, {"of_job": job_id, "at_most": files_max // 2}).scalar_one()
    fills = held >= files_max // 2 and room_will_come(connection, account)
    return min(SPARE, files_max // 4) if fills else 0


def _one_at_a_time(connection: Connection, account: str) -> None:
    """Until the transaction ends: two that count at once would both take the last place, and two
    slices that share contents would wait for each other. SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"files {account}"))))


def owed(connection: Connection, account: str, job_id: str, position: int) -> list[int]:
    """Positions before ``position`` of images that still need a place. They come first, or leaves
    that each lack an image would fill a small store."""
    asked = {"of": account, "of_job": job_id, "before": position}
    return list(connection.execute(_OWED, asked).scalars())


def _taken_by(status: str, alive: bool) -> Claim | None:
    if status == FileStatus.STORED:
        return Claim.STORED
    return Claim.BUSY if alive else None


def stored_all(connection: Connection, account: str, file_ids: Mapping[str, str]) -> None:
    """The uploads of these contents (sha256 -> file id) are done."""
    if not file_ids:
        return
    connection.execute(
        _STORED,
        [{"of": account, "content": sha, "new_id": new_id} for sha, new_id in file_ids.items()],
    )


def abandoned(connection: Connection, account: str, shas: Collection[str], token: str) -> None:
    """These uploads did not happen: their places are free again."""
    connection.execute(_let_go(account, shas, token).values(status=FileStatus.GONE))


def unknown(connection: Connection, account: str, shas: Collection[str], token: str) -> None:
    """These uploads may have happened: their places are free, and the next to claim one looks for
    it at the provider (LOST)."""
    connection.execute(_let_go(account, shas, token))


def _let_go(account: str, shas: Collection[str], token: str) -> Update:
    held = (
        File.account == account,
        File.sha256.in_(shas),
        File.lease_token == token,
        File.status == FileStatus.UPLOADING,
    )
    return update(File).where(*held).values(lease_token=None, lease_until=0.0)


def gone(connection: Connection, account: str, file_ids: Collection[str]) -> None:
    """The provider no longer has these."""
    connection.execute(
        update(File)
        .where(File.account == account, File.file_id.in_(file_ids))
        .values(status=FileStatus.GONE, file_id=None, deleted_at=now())
    )


def lost(
    connection: Connection, account: str, shas: Collection[str], file_ids: Collection[str]
) -> set[str]:
    """Mark ``file_ids`` as gone; of ``shas``, those that are not at the provider (any more)."""
    gone(connection, account, file_ids)
    stored = select(File.sha256).where(
        File.account == account, File.sha256.in_(shas), File.status == FileStatus.STORED
    )
    return set(shas) - set(connection.execute(stored).scalars())


def ids_of(connection: Connection, account: str, shas: Collection[str]) -> dict[str, str]:
    """sha256 -> file id of the contents that are stored."""
    # not by status: SQLite would go through all that is stored instead of looking up each content
    rows = connection.execute(
        select(File.sha256, File.file_id, File.status).where(
            File.account == account, File.sha256.in_(shas)
        )
    ).all()
    stored = [row for row in rows if row.status == FileStatus.STORED]
    return {row.sha256: row.file_id for row in stored if row.file_id}


def evict(connection: Connection, account: str, count: int) -> list[StoredFile]:
    """Give up the ``count`` least recently used files nobody waits for; delete them afterwards.

    The rows are marked gone here, in one transaction with the choice, so that no leaf can start
    to rely on a file that is about to be deleted. What only paused jobs wait for goes last: when
    they go on they upload it again.
    """
    running, paused = (
        _waited_for(account, status) for status in (JobStatus.RUNNING, JobStatus.PAUSED)
    )
    chosen = _give_up(connection, account, ~or_(running, paused), count)
    if len(chosen) < count:  # apart from the first: sorting by it would look at all that is stored
        chosen += _give_up(connection, account, ~running, count - len(chosen))
    return chosen


def room_will_come(connection: Connection, account: str) -> bool:
    """Whether a leaf has all its files and only waits for its call: afterwards they may go."""
    waiting = exists().where(
        Job.account == account,
        Job.status == JobStatus.RUNNING,
        Node.job_id == Job.id,
        Node.kind == NodeKind.LEAF,
        Node.status.in_([NodeStatus.READY, NodeStatus.RUNNING]),
    )
    return bool(connection.execute(select(waiting)).scalar())


def is_stuck(connection: Connection, account: str, files_max: int | None) -> bool:
    """Whether the store stays full until a leaf gives way: no leaf has all its files, and none gets
    them from a free place or from what is under way, which are uploads, deletions, and contents
    being recorded. ``files_max``: its places; None where the provider has just refused a file,
    so that neither a place that we count as free nor an upload helps."""
    soon = File.used_at > now() - DELETED_SOON_SECONDS
    kinds = [
        [File.status == FileStatus.GONE, soon, File.lease_until > now()],
        [File.status == FileStatus.STORED, exists().where(Image.sha256 == File.sha256, _RECORDED)],
    ]
    if files_max is not None:
        if _count(connection, account) < files_max:
            return False
        kinds.append([File.status == FileStatus.UPLOADING, File.lease_until > now()])
    under_way = or_(*(exists().where(File.account == account, *kind) for kind in kinds))
    changes = connection.execute(select(under_way)).scalar()
    return not changes and not room_will_come(connection, account)


def deleted(connection: Connection, files: Collection[StoredFile]) -> None:
    """The provider has deleted these: their places are free."""
    _of_given_up(connection, files, deleted_at=now(), lease_until=0.0, file_id=None)


def not_deleted(connection: Connection, files: Collection[StoredFile]) -> None:
    """The provider has not deleted these: it is asked again."""
    _of_given_up(connection, files, lease_until=0.0)


def _of_given_up(connection: Connection, files: Collection[StoredFile], **values: object) -> None:
    """Only of those that were not uploaded anew meanwhile."""
    connection.execute(
        update(File)
        .where(
            File.id.in_([file.id for file in files]),
            File.file_id.in_([file.file_id for file in files]),
            File.status == FileStatus.GONE,
        )
        .values(**values)
    )


def any_undeleted(connection: Connection, account: str) -> bool:
    """Whether a deletion failed, or its worker was lost: one look before a write transaction."""
    return bool(connection.execute(select(exists().where(*_undeleted(account)))).scalar())


def undeleted(connection: Connection, account: str, limit: int) -> list[StoredFile]:
    """Up to ``limit`` files that were given up and are still there; they are to be deleted now."""
    return _to_delete(connection, _undeleted(account), limit)


def _undeleted(account: str) -> list[ColumnElement[bool]]:
    return [
        File.account == account,
        File.status == FileStatus.GONE,
        File.used_at > now() - DELETE_AGAIN_SECONDS,
        File.file_id.is_not(None),
        File.lease_until <= now(),
    ]


def _waited_for(account: str, status: JobStatus) -> ColumnElement[bool]:
    """Whether an image in a job of ``status`` waits for the file, or is just being recorded."""
    return exists().where(
        Image.sha256 == File.sha256,
        or_(Image.status == ImageStatus.UPLOADED, _RECORDED),
        Image.job_id == Job.id,
        Job.account == account,
        Job.status == status,
    )


def _give_up(
    connection: Connection,
    account: str,
    which: ColumnElement[bool],
    limit: int,
) -> list[StoredFile]:
    stored = [File.account == account, File.status == FileStatus.STORED, which]
    return _to_delete(connection, stored, limit)


def _to_delete(
    connection: Connection, which: Sequence[ColumnElement[bool]], limit: int
) -> list[StoredFile]:
    rows = connection.execute(
        select(File.id, File.file_id, File.sha256, File.bytes)
        .where(*which)
        .order_by(File.used_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    chosen = [StoredFile(**row._asdict()) for row in rows]
    connection.execute(
        update(File)
        .where(File.id.in_([file.id for file in chosen]))
        .values(
            status=FileStatus.GONE,
            deleted_at=now(),
            used_at=now(),
            lease_until=now() + DELETE_SECONDS,
        )
    )
    return chosen


def unneeded(connection: Connection, account: str, limit: int) -> list[StoredFile]:
    """Give up to ``limit`` files that no open job needs and none has asked to keep; they are to be
    deleted afterwards."""
    needed = exists().where(
        Image.sha256 == File.sha256,
        Image.job_id == Job.id,
        Job.account == account,
        or_(Job.status.not_in(ENDED_JOBS), Job.options["keep_files"].as_boolean()),
    )
    return _give_up(connection, account, ~needed, limit)


def unclaimed(connection: Connection, account: str, seconds: float) -> list[str]:
    """Contents of whose upload nobody knows what came, and that nobody has claimed for
    ``seconds``."""
    rows = connection.execute(
        select(File.sha256).where(
            File.account == account,
            File.status == FileStatus.UPLOADING,
            File.used_at <= now() - seconds,
            File.lease_until <= now(),
        )
    )
    return list(rows.scalars())


def never_came(connection: Connection, account: str, shas: Collection[str]) -> None:
    """These are not at the provider: there is nothing to look for any more."""
    connection.execute(
        update(File)
        .where(
            File.account == account,
            File.sha256.in_(shas),
            File.status == FileStatus.UPLOADING,
            File.lease_until <= now(),
        )
        .values(status=FileStatus.GONE)
    )


def counts(connection: Connection, account: str) -> tuple[int, int]:
    """Files of the account at the provider, and their bytes."""
    row = connection.execute(
        select(func.count(), func.coalesce(func.sum(File.bytes), 0)).where(
            File.account == account, File.status == FileStatus.STORED
        )
    ).one()
    return row[0], int(row[1])


def listed(connection: Connection, account: str) -> list[FileRow]:
    """Every file of the account that is stored, oldest first, and what it has cost in storage."""
    rows = connection.execute(
        select(
            File.file_id,
            File.sha256,
            File.bytes,
            File.uploaded_at,
            File.used_at,
            (now() - File.uploaded_at).label("seconds"),
        )
        .where(File.account == account, File.status == FileStatus.STORED)
        .order_by(File.uploaded_at)
    )
    return [FileRow(**row._asdict()) for row in rows]


def byte_seconds(connection: Connection, account: str) -> float:
    """What the account has stored so far, deleted files included: bytes times seconds."""
    until = func.coalesce(File.deleted_at, now())
    total = select(func.coalesce(func.sum(File.bytes * (until - File.uploaded_at)), 0.0)).where(
        File.account == account, File.uploaded_at.is_not(None)
    )
    return float(connection.execute(total).scalar_one())


def adopt(connection: Connection, account: str, sha256: str, file_id: str, size: int) -> bool:
    """Take a file into the count that was uploaded and never recorded; False when it is known."""
    lease = Lease("adopted", 0.0)
    if not _take_all(connection, account, {sha256: size}, lease):
        return False
    stored_all(connection, account, {sha256: file_id})
    return True


def known_ids(connection: Connection, account: str) -> set[str]:
    """File ids of the account that are stored."""
    rows = connection.execute(
        select(File.file_id).where(File.account == account, File.status == FileStatus.STORED)
    )
    return {file_id for file_id in rows.scalars() if file_id}


def _count(connection: Connection, account: str) -> int:
    """Files that are there, on their way there, or not deleted yet."""
    return connection.execute(_COUNT, {"of": account}).scalar_one()


def _touch(connection: Connection, account: str, shas: Collection[str]) -> set[str]:
    """Those of these contents that are stored still: they are used."""
    if not shas:
        return set()
    used = connection.execute(
        update(File)
        .where(
            File.account == account,
            File.sha256.in_(shas),
            File.status == FileStatus.STORED,
        )
        .values(used_at=now())
        .returning(File.sha256)
    )
    return set(used.scalars())


def _take_all(
    connection: Connection, account: str, sizes: Mapping[str, int], lease: Lease
) -> set[str]:
    """Insert rows (sha256 -> bytes) or take over those that are gone or whose uploader is, in one
    statement; the contents that are ours now."""
    taking = _TAKE[connection.dialect.name]
    held = {"token": lease.token, "seconds": lease.seconds, "of": account}
    rows = connection.execute(
        taking, [{"sha256": sha256, "bytes": size, **held} for sha256, size in sizes.items()]
    )
    return set(rows.scalars())
