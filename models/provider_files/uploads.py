"""Claims of uploads: which worker uploads which content, and what came of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    Connection,
    Double,
    Integer,
    Update,
    and_,
    bindparam,
    exists,
    func,
    literal_column,
    or_,
    select,
    union,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from core.states import FileStatus, ImageStatus, JobStatus
from models.claims import Lease
from models.engine import now
from models.provider_files.room import ACCOUNT, count, room_will_come
from models.tables import File, Image, Job, Node

SPARE = 60
"""Places that a job which fills the store leaves to others. Otherwise a small job behind it could
not upload its images before a leaf of the large one is answered."""


class Claim(StrEnum):
    """The answer to a worker that needs a content at the provider."""

    STORED = "stored"  # it is stored: use it
    MINE = "mine"  # upload it, then record that
    LOST = "lost"  # as MINE, but an earlier upload has an unknown result: it may be stored
    BUSY = "busy"  # another worker uploads it, or its old file is being deleted
    FULL = "full"  # make room first
    INLINE = "inline"  # do not store it: it goes inside its request


# Built once: these run for every slice.
_KNOWN = select(
    File.sha256,
    File.status,
    (File.lease_until > now()).label("alive"),
    or_(File.status == FileStatus.UPLOADING, File.file_id.is_not(None)).label("maybe_there"),
).where(ACCOUNT, File.sha256.in_(bindparam("shas", expanding=True)))
_OWED = select(Image.position).where(
    Image.job_id == bindparam("of_job"),
    Image.status == ImageStatus.PREPARED,
    Image.position < bindparam("before"),
    ~exists().where(
        ACCOUNT,
        File.sha256 == Image.sha256,
        or_(File.status == FileStatus.STORED, File.lease_until > now()),
    ),
)
_STORED = (
    update(File)
    .where(ACCOUNT, File.sha256 == bindparam("content"))
    .values(
        status=FileStatus.STORED,
        file_id=bindparam("new_id"),
        uploaded_at=now(),
        used_at=now(),
        lease_token=None,
        lease_until=0.0,
    )
)
_HELD = select(func.count()).select_from(
    select(Image.id)
    .where(Image.job_id == bindparam("of_job"), Image.status == ImageStatus.UPLOADED)
    .limit(bindparam("at_most", type_=Integer))
    .subquery()
)
_USED_AGAIN: Any = union(
    select(File.sha256).where(
        ACCOUNT,
        File.sha256.in_(bindparam("shas", expanding=True)),
        File.status == FileStatus.STORED,
    ),
    select(Image.sha256)
    .join(Job, Job.id == Image.job_id)
    .where(
        Image.sha256.in_(bindparam("shas", expanding=True)),
        Image.job_id != bindparam("of_job"),
        Image.status.in_([ImageStatus.PREPARED, ImageStatus.UPLOADED]),
        Job.account == bindparam("of"),
        Job.status == JobStatus.RUNNING,
    ),
    select(Image.sha256)
    .join(Node, Node.id == Image.node_id)
    .where(
        Image.sha256.in_(bindparam("shas", expanding=True)),
        Image.job_id == bindparam("of_job"),
        Node.attempts >= bindparam("attempts", type_=Integer),
    ),
)


def _taking(dialect: Any) -> Any:
    """Insert a row, or take over one that is gone or whose uploader's lease expired."""
    values = {
        "status": FileStatus.UPLOADING,
        "lease_token": bindparam("token"),
        "lease_until": now() + bindparam("seconds", type_=Double),
        "used_at": now(),
        "file_id": None,
        "deleted_at": None,
    }
    # a parameter after VALUES would make each row a statement of its own
    free = and_(File.status != literal_column(f"'{FileStatus.STORED}'"), File.lease_until <= now())
    new = dialect.insert(File).values(account=bindparam("of"), **values)
    return new.on_conflict_do_update(
        index_elements=["account", "sha256"],
        set_={name: new.excluded[name] for name in (*values, "bytes")},
        where=free,
    ).returning(File.sha256)


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
    """Claim the upload of each content (sha256 -> bytes), unless it is stored, another worker
    uploads it, or there is no room. ``reserved``: for each content, places to leave to others. If
    the job ``job_id`` fills the store, it also leaves SPARE places."""
    _one_at_a_time(connection, account)
    rows = connection.execute(_KNOWN, {"of": account, "shas": list(sizes)}).all()
    claims = {row.sha256: c for row in rows if (c := _claim_of(row.status, row.alive))}
    stored = [sha for sha, claim in claims.items() if claim is Claim.STORED]
    kept = _touch(connection, account, stored)
    claims |= {sha: Claim.BUSY for sha in stored if sha not in kept}  # it was just given up
    lost = {row.sha256 for row in rows if row.maybe_there}
    wanted = [sha for sha in sizes if sha not in claims]
    room = files_max - count(connection, account) if wanted else 0
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


def used_again(
    connection: Connection, account: str, job_id: str, shas: Collection[str], attempts: int
) -> set[str]:
    """Those of a job's contents that a file would serve more than once: they are stored, another
    running job waits to show them, or their leaf was sent ``attempts`` times."""
    values = {"of": account, "of_job": job_id, "shas": list(shas), "attempts": attempts}
    return set(connection.execute(_USED_AGAIN, values).scalars())


def _spare(connection: Connection, account: str, job_id: str, files_max: int) -> int:
    """The places that a job leaves free. 0 unless some leaf has all its files and so frees them
    soon: otherwise these may be the places that a leaf waits for."""
    held = connection.execute(_HELD, {"of_job": job_id, "at_most": files_max // 2}).scalar_one()
    fills = held >= files_max // 2 and room_will_come(connection, account)
    return min(SPARE, files_max // 4) if fills else 0


def _one_at_a_time(connection: Connection, account: str) -> None:
    """Take a lock until the transaction ends. Without it two workers could both take the last
    place, and two slices that share contents could deadlock. SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"files {account}"))))


def _claim_of(status: str, alive: bool) -> Claim | None:
    if status == FileStatus.STORED:
        return Claim.STORED
    return Claim.BUSY if alive else None


def _touch(connection: Connection, account: str, shas: Collection[str]) -> set[str]:
    """Mark the contents as used. Returns those that are still stored."""
    if not shas:
        return set()
    used = connection.execute(
        update(File)
        .where(File.account == account, File.sha256.in_(shas), File.status == FileStatus.STORED)
        .values(used_at=now())
        .returning(File.sha256)
    )
    return set(used.scalars())


def _take_all(
    connection: Connection, account: str, sizes: Mapping[str, int], lease: Lease
) -> set[str]:
    """Claim contents (sha256 -> bytes) in one statement, see ``_taking``. Returns those that are
    ours now."""
    held = {"token": lease.token, "seconds": lease.seconds, "of": account}
    rows = connection.execute(
        _TAKE[connection.dialect.name],
        [{"sha256": sha256, "bytes": size, **held} for sha256, size in sizes.items()],
    )
    return set(rows.scalars())


def owed(connection: Connection, account: str, job_id: str, position: int) -> list[int]:
    """Positions before ``position`` of images that still need a place. They come first: otherwise
    leaves that each lack one image could fill a small store."""
    values = {"of": account, "of_job": job_id, "before": position}
    return list(connection.execute(_OWED, values).scalars())


def stored_all(connection: Connection, account: str, file_ids: Mapping[str, str]) -> None:
    """The uploads of these contents (sha256 -> file id) are done."""
    if file_ids:
        rows = [{"of": account, "content": sha, "new_id": new} for sha, new in file_ids.items()]
        connection.execute(_STORED, rows)


def abandoned(connection: Connection, account: str, shas: Collection[str], token: str) -> None:
    """These uploads did not happen: their places are free again."""
    connection.execute(_release(account, shas, token).values(status=FileStatus.GONE))


def unknown(connection: Connection, account: str, shas: Collection[str], token: str) -> None:
    """These uploads may have happened. Their places are free, and the next claim of each content is
    LOST: it looks for the file at the provider."""
    connection.execute(_release(account, shas, token))


def _release(account: str, shas: Collection[str], token: str) -> Update:
    held = (
        File.account == account,
        File.sha256.in_(shas),
        File.lease_token == token,
        File.status == FileStatus.UPLOADING,
    )
    return update(File).where(*held).values(lease_token=None, lease_until=0.0)


def unclaimed(connection: Connection, account: str, seconds: float) -> list[str]:
    """Contents whose upload has an unknown result, and that were not claimed for ``seconds``."""
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
    """These contents are not at the provider: stop looking for them."""
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


def adopt(connection: Connection, account: str, sha256: str, file_id: str, size: int) -> bool:
    """Record a file that was uploaded but not recorded. False if the content is known already."""
    lease = Lease("adopted", 0.0)
    if not _take_all(connection, account, {sha256: size}, lease):
        return False
    stored_all(connection, account, {sha256: file_id})
    return True
