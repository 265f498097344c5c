"""Transitions of jobs: paused, resumed, failed, cancelled, and ended by their root."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select, update

from core.account.budget import is_spent
from core.states import (
    JOB_MOVES,
    UNSETTLED_IMAGES,
    ImageStatus,
    JobStatus,
    NodeStatus,
    outcome_of_job,
)
from models.engine import now
from models.state.first_answers import keep_first
from models.state.moves import FREE, Moved, event, hold_job
from models.tables import Image, Job, Node

UPLOADED = ImageStatus.UPLOADED
LEFT_OUT_SHOWN = 10


def job_moved(
    connection: Connection, job_id: str, to: JobStatus, reason: str | None = None
) -> bool:
    """Move a job if its state allows it. A job that ends gets its coverage and time. The time in
    which it is paused or ended is counted apart."""
    allowed = [state for state, targets in JOB_MOVES.items() if to in targets]
    values: dict[str, Any] = {"idle_since": func.coalesce(Job.idle_since, now())}
    if to.ended:
        values |= {"finished_at": now(), **coverage(connection, job_id)}
    elif to is JobStatus.RUNNING:
        idle = func.coalesce(now() - Job.idle_since, 0.0)
        values = {"finished_at": None, "idle_since": None}
        values |= {"idle_seconds": Job.idle_seconds + idle}
    moved = connection.execute(
        update(Job)
        .where(Job.id == job_id, Job.status.in_(allowed))
        .values(status=to, reason=reason, **values)
    ).rowcount
    if moved:
        event(connection, job_id, f"job.{to}", detail=reason)
    return bool(moved)


def job_failed(connection: Connection, job_id: str, reason: str, moved: Moved) -> None:
    """End a job without an answer. Its unfinished images are skipped."""
    close_open_work(connection, job_id)
    if job_moved(connection, job_id, JobStatus.FAILED, reason):
        moved.ended.append(job_id)


def job_cancelled(connection: Connection, job_id: str, moved: Moved) -> bool:
    """End a job on request. Calls in flight are only recorded in the ledger."""
    close_open_work(connection, job_id)
    cancelled = job_moved(connection, job_id, JobStatus.CANCELLED, "cancelled on request")
    if cancelled:
        moved.ended.append(job_id)
    return cancelled


def job_budgeted(connection: Connection, job_id: str, budget: float) -> bool:
    """Replace a job's budget. Returns True if the job was paused by the old one and resumes."""
    job = connection.execute(
        select(Job.options, Job.status, Job.reason)
        .where(Job.id == job_id)
        .with_for_update(key_share=True)
    ).one()
    if job.options.budget == budget:
        return False
    options = replace(job.options, budget=budget)
    connection.execute(update(Job).where(Job.id == job_id).values(options=options))
    event(connection, job_id, "job.budgeted", detail=f"{budget:g}")
    return is_spent(job.status, job.reason) and job_moved(connection, job_id, JobStatus.RUNNING)


def job_watched(connection: Connection, job_id: str, watch: str, budget: str) -> bool:
    """Let the budget of a watched folder count a job's calls from now on. Returns True if the job
    was paused by its old amount and resumes."""
    job = connection.execute(
        select(Job.options, Job.status, Job.reason)
        .where(Job.id == job_id)
        .with_for_update(key_share=True)
    ).one()
    options = replace(job.options, watch=watch, watch_budget=budget)
    if job.options == options:
        return False
    connection.execute(update(Job).where(Job.id == job_id).values(options=options))
    event(connection, job_id, "job.budgeted", detail=budget)
    return is_spent(job.status, job.reason) and job_moved(connection, job_id, JobStatus.RUNNING)


def job_compared(connection: Connection, job_id: str, left_out: int) -> bool:
    """The images of a running job were compared, and its tree is planned in this transaction."""
    compared = connection.execute(
        update(Job)
        .where(Job.id == job_id, Job.comparing, Job.status == JobStatus.RUNNING)
        .values(comparing=False)
    ).rowcount
    if compared:
        event(connection, job_id, "job.compared", detail=f"{left_out} similar images left out")
    return bool(compared)


def adopt(connection: Connection, job_id: str, account: str) -> None:
    """Let workers of ``account`` serve a job: the API key was changed, or the sandbox is new."""
    connection.execute(update(Job).where(Job.id == job_id).values(account=account))


def pause_running(connection: Connection, account: str, reason: str) -> int:
    """Pause all running jobs of an account for ``reason``. Returns their number."""
    running = select(Job.id).where(Job.status == JobStatus.RUNNING, Job.account == account)
    ids = connection.execute(running.order_by(Job.id)).scalars().all()
    return sum(job_moved(connection, job_id, JobStatus.PAUSED, reason) for job_id in ids)


def is_paused(connection: Connection, account: str, start: str) -> bool:
    """Whether any job of the account is paused for a reason that begins with ``start``."""
    return bool(connection.execute(select(exists().where(*_paused(account, start)))).scalar())


def resume_paused(connection: Connection, account: str, start: str) -> int:
    """Resume all jobs of an account that are paused for a reason that begins with ``start``.
    Returns their number."""
    paused = select(Job.id).where(*_paused(account, start))
    ids = connection.execute(paused.order_by(Job.id)).scalars().all()
    return sum(job_moved(connection, job_id, JobStatus.RUNNING) for job_id in ids)


def paused_for(connection: Connection, account: str, starts: Sequence[str]) -> dict[str, str]:
    """Jobs of the account that are paused for a reason that begins with one of ``starts``, and the
    reason."""
    which = or_(*(and_(*_paused(account, start)) for start in starts))
    rows = connection.execute(select(Job.id, Job.reason).where(which).order_by(Job.id))
    return {row.id: row.reason for row in rows}


def _paused(account: str, start: str) -> tuple[ColumnElement[bool], ...]:
    return (
        Job.account == account,
        Job.status == JobStatus.PAUSED,
        Job.reason.startswith(start, autoescape=True),
    )


def close_open_work(connection: Connection, job_id: str) -> None:
    """Skip unsettled images and cancel open nodes. Workers on them lose their leases.

    An answer that is being recorded goes first: it holds its node and then takes its images, so we
    lock neither before it has ended. No worker can claim anything while the job is locked.
    """
    hold_job(connection, job_id)
    open_nodes = (
        select(Node.id)
        .where(Node.job_id == job_id, Node.status.in_([NodeStatus.READY, NodeStatus.RUNNING]))
        .order_by(Node.id)
        .with_for_update(key_share=True)
    )
    connection.execute(open_nodes)
    unsettled = (
        select(Image.id)
        .where(
            Image.job_id == job_id,
            Image.status.in_([*UNSETTLED_IMAGES, UPLOADED]),
        )
        .order_by(Image.id)  # the order in which slices lock images
        .with_for_update()
    )
    of_job = and_(Image.job_id == job_id, Image.status.in_([*UNSETTLED_IMAGES, UPLOADED]))
    keep_first(connection, of_job)
    connection.execute(
        update(Image)
        .where(Image.id.in_(unsettled.scalar_subquery()))
        .values(status=ImageStatus.SKIPPED, updated_at=now(), **FREE)
    )
    connection.execute(
        update(Node)
        .where(
            Node.job_id == job_id,
            Node.status.in_([NodeStatus.WAITING, NodeStatus.READY, NodeStatus.RUNNING]),
        )
        .values(status=NodeStatus.CANCELLED, **FREE)
    )


def coverage(connection: Connection, job_id: str) -> dict[str, int]:
    """The current numbers of included, failed, duplicate and skipped images of a job."""
    rows = connection.execute(
        select(Image.status, func.count()).where(Image.job_id == job_id).group_by(Image.status)
    )
    counts = {str(status): count for status, count in rows}
    names = (ImageStatus.INCLUDED, ImageStatus.FAILED, ImageStatus.DUPLICATE, ImageStatus.SKIPPED)
    return {str(name): counts.get(name, 0) for name in names}


def similar_images(connection: Connection, job_id: str) -> int:
    """How many images of a job were left out because similar ones stand for them."""
    left_out = and_(Image.job_id == job_id, Image.similar_to.is_not(None))
    return connection.execute(select(func.count()).where(left_out)).scalar_one()


def finish(connection: Connection, job_id: str, moved: Moved) -> bool:
    """End a running job whose root is settled: completed or partial with an answer, or failed."""
    root = connection.execute(
        select(Node.status, Node.text, Node.error).where(
            Node.job_id == job_id, Node.parent_id.is_(None), Node.status != NodeStatus.SPLIT
        )
    ).one()
    if root.status not in (NodeStatus.DONE, NodeStatus.FAILED):
        return False
    counts = coverage(connection, job_id)
    included = counts["included"] if root.status == NodeStatus.DONE else 0
    skipped = counts["skipped"] - similar_images(connection, job_id)  # a person wanted it so
    to = outcome_of_job(included, counts["failed"], skipped)
    if to == JobStatus.FAILED:
        reason = root.error or "no image could be used"
        job_failed(connection, job_id, reason, moved)
        return True
    job = connection.execute(select(Job.status, Job.options).where(Job.id == job_id)).one()
    if JobStatus(job.status).ended:  # a failed image has ended it (fail_fast, min_coverage)
        return False
    answer = root.text
    if not job.options.is_object:  # nothing may follow JSON
        answer = f"{root.text}\n\n{_left_out(connection, job_id)}".strip()
    connection.execute(update(Job).where(Job.id == job_id).values(answer=answer))
    if job_moved(connection, job_id, to):
        moved.ended.append(job_id)
    return True


def _left_out(connection: Connection, job_id: str) -> str:
    """A sentence that names the images missing from an answer; empty if none is missing."""
    rows = connection.execute(
        select(Image.name)
        .where(
            Image.job_id == job_id,
            Image.status.in_([ImageStatus.FAILED, ImageStatus.SKIPPED]),
            Image.similar_to.is_(None),
        )
        .order_by(Image.position)
    )
    names = list(rows.scalars())
    if not names:
        return ""
    shown = ", ".join(names[:LEFT_OUT_SHOWN])
    more = f" and {len(names) - LEFT_OUT_SHOWN} more" if len(names) > LEFT_OUT_SHOWN else ""
    count = "1 image is" if len(names) == 1 else f"{len(names)} images are"
    return f"({count} not part of this answer: {shown}{more})"
