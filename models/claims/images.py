"""Claims of images: a slice of the job that was served least."""

from __future__ import annotations

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Double,
    Integer,
    String,
    and_,
    bindparam,
    exists,
    func,
    or_,
    select,
    update,
)
from sqlalchemy import text as sql

from core.catalog.tokens import detail_at
from core.slice_size import looked_at, share
from core.states import ImageStatus
from models.claims.work import Claimed, ImageWork, Lease, model_at, served_by
from models.engine import now
from models.records import columns_of, record
from models.state import hold_job
from models.tables import Image, Job


def _goes_on(status: BindParameter[str]) -> ColumnElement[bool]:
    """A job that still compares its images uploads none of them."""
    return or_(status != ImageStatus.PREPARED, Job.comparing.is_(False))


# Built once: building a statement takes longer than running it, and these run for every slice.
_FREE = and_(
    Image.status == bindparam("in_status"),
    Image.due_at <= now(),
    or_(Image.lease_token.is_(None), Image.lease_until <= now()),
    Image.attempts < bindparam("attempts_most"),
)
_RANKED = (
    select(
        *(Job.id, Job.endpoint, Job.model, Job.detail, Job.options, Job.created_at),
        (Job.served_images / Job.weight).label("rank"),
    )
    .where(served_by(bindparam("for_account")), _goes_on(bindparam("in_status", type_=String)))
    .order_by(sql("rank"), Job.created_at)
    .offset(0)  # PostgreSQL then sorts first, and looks for images only until it has found one
    .subquery("ranked")
)
_NEXT_JOB = (
    select(*(_RANKED.c[name] for name in ("id", "endpoint", "model", "detail", "options")))
    .where(exists().where(Image.job_id == _RANKED.c.id, _FREE))
    .order_by(_RANKED.c.rank, _RANKED.c.created_at)
    .limit(1)
)
_TRIED = (
    select(Image.id)
    .where(Image.job_id == bindparam("of_job"), _FREE)
    .order_by(Image.position)
    .limit(bindparam("at_most", type_=Integer))
)
_FRESH = _TRIED.where(Image.attempts == 0)
_UNLOCKED = (
    select(Image.id)
    .where(Image.id.in_(bindparam("these", expanding=True)), _FREE)
    .with_for_update(skip_locked=True)
)
_TAKE = (
    update(Image)
    .where(Image.id.in_(_UNLOCKED))
    .values(
        lease_token=bindparam("token"),
        lease_until=now() + bindparam("seconds", type_=Double),
        attempts=Image.attempts + 1,
    )
    .returning(*columns_of(ImageWork, Image))
)
_SERVED = (
    update(Job)
    .where(Job.id == bindparam("of_job"))
    .values(served_images=Job.served_images + bindparam("more", type_=Integer))
)
_DUE = select(func.count()).select_from(
    select(Image.id)
    .join(Job, Job.id == Image.job_id)
    .where(
        served_by(bindparam("for_account")), _goes_on(bindparam("in_status", type_=String)), _FREE
    )
    .limit(bindparam("at_most", type_=Integer))
    .subquery()
)


def claim_images(
    connection: Connection,
    account: str,
    status: ImageStatus,
    lease: Lease,
    limit: int,
    attempts_max: int,
    shares: bool = False,
) -> Claimed:
    """Claim up to ``limit`` images in ``status`` of one job, lowest positions first. ``shares``:
    fewer near the end (core.slice_size)."""
    free = {"in_status": status, "attempts_most": attempts_max}
    job = connection.execute(_NEXT_JOB, {"for_account": account, **free}).first()
    if job is None:
        return Claimed([], 0)
    hold_job(connection, job.id)
    which = {"of_job": job.id, **free}
    counted = looked_at(limit) if shares else limit + 1
    # counted and chosen at once: each look walks over the entries of images that went on
    ids = connection.execute(_FRESH, {"at_most": counted, **which}).scalars().all()
    due = len(ids) if len(ids) == counted else count_images(connection, account, status, counted)
    ids = ids[: share(due, limit) if shares else limit]
    if not ids:  # retries come last and one by one: if one kills its worker, no other image suffers
        ids = connection.execute(_TRIED, {"at_most": 1, **which}).scalars().all()
    held = {"token": lease.token, "seconds": lease.seconds}
    rows = connection.execute(_TAKE, {"these": ids, **held, **free}).all()
    connection.execute(_SERVED, {"of_job": job.id, "more": len(rows)})
    work = [
        record(
            ImageWork,
            row,
            endpoint=job.endpoint,
            model=model_at(row.look, job.model, job.options),
            detail=detail_at(job.detail, row.look),
            options=job.options,
        )
        for row in rows
    ]
    return Claimed(sorted(work, key=lambda image: image.position), due)


def count_images(connection: Connection, account: str, status: ImageStatus, limit: int) -> int:
    """Images in ``status`` that are due and not claimed, counted up to ``limit``."""
    counted = {"for_account": account, "in_status": status, "attempts_most": 1_000_000}
    return connection.execute(_DUE, {"at_most": limit, **counted}).scalar_one()
