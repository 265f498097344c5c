"""A job's course: paused, resumed, failed, cancelled, and ended by its root."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection, exists, func, select, update

from core.account.budget import is_spent
from core.states import (
    JOB_MOVES,
    ImageStatus,
    JobStatus,
    NodeStatus,
    outcome_of_job,
)
from models.engine import now
from models.state.moves import FREE, Moved, event, hold_job
from models.tables import Image, Job, Node

LEFT_OUT_SHOWN = 10


def job_moved(
    connection: Connection, job_id: str, to: JobStatus, reason: str | None = None
) -> bool:
    """Move a job if its state allows it; ended jobs get their coverage and time."""
    allowed = [state for state, targets in JOB_MOVES.items() if to in targets]
    values = {"finished_at": now(), **coverage(connection, job_id)} if to.ended else {}
    took = connection.execute(
        update(Job)
        .where(Job.id == job_id, Job.status.in_(allowed))
        .values(status=to, reason=reason, **values)
    ).rowcount
    if took:
        event(connection, job_id, f"job.{to}", detail=reason)
    return bool(took)


def job_failed(connection: Connection, job_id: str, reason: str, moved: Moved) -> None:
    """End a job without an answer: what had not had its turn is skipped."""
    close_open_work(connection, job_id)
    if job_moved(connection, job_id, JobStatus.FAILED, reason):
        moved.ended.append(job_id)


def job_cancelled(connection: Connection, job_id: str, moved: Moved) -> bool:
    """End a job because somebody said so; calls in flight are recorded in the ledger only."""
    close_open_work(connection, job_id)
    took = job_moved(connection, job_id, JobStatus.CANCELLED, "cancelled on request")
    if took:
        moved.ended.append(job_id)
    return took


def job_budgeted(connection: Connection, job_id: str, budget: float) -> bool:
    """Give a job a new budget in place of its old one. A job that is paused for the old one goes
    on; True then."""
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


def adopt(connection: Connection, job_id: str, account: str) -> None:
    """Let the workers of ``account`` serve a job: its key was changed, or the sandbox is new."""
    connection.execute(update(Job).where(Job.id == job_id).values(account=account))


def pause_running(connection: Connection, account: str, reason: str) -> int:
    """Pause every running job of an account for ``reason``; how many there were."""
    running = select(Job.id).where(Job.status == JobStatus.RUNNING, Job.account == account)
    ids = connection.execute(running.order_by(Job.id)).scalars().all()
    return sum(job_moved(connection, job_id, JobStatus.PAUSED, reason) for job_id in ids)


def is_paused(connection: Connection, account: str, reason: str) -> bool:
    """Whether a job of the account is paused for ``reason``."""
    held = exists().where(
        Job.account == account, Job.status == JobStatus.PAUSED, Job.reason == reason
    )
    return bool(connection.execute(select(held)).scalar())


def resume_paused(connection: Connection, account: str, reason: str) -> int:
    """Let every job of an account go on that was paused for ``reason``; how many there were."""
    paused = select(Job.id).where(
        Job.status == JobStatus.PAUSED, Job.reason == reason, Job.account == account
    )
    ids = connection.execute(paused.order_by(Job.id)).scalars().all()
    return sum(job_moved(connection, job_id, JobStatus.RUNNING) for job_id in ids)


def close_open_work(connection: Connection, job_id: str) -> None:
    """Unsettled images are skipped, open nodes cancelled; whoever works on them loses the lease.

    An answer that is just being recorded comes first: it holds its node and takes its images, so
    neither is locked here before it has ended. Nobody claims anything while the job is held.
    """
    hold_job(connection, job_id)
    asked = (
        select(Node.id)
        .where(Node.job_id == job_id, Node.status.in_([NodeStatus.READY, NodeStatus.RUNNING]))
        .order_by(Node.id)
        .with_for_update(key_share=True)
    )
    connection.execute(asked)
    unsettled = (
        select(Image.id)
        .where(
            Image.job_id == job_id,
            Image.status.in_([ImageStatus.PENDING, ImageStatus.PREPARED, ImageStatus.UPLOADED]),
        )
        .order_by(Image.id)  # the order in which slices lock theirs
        .with_for_update()
    )
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
    """included, failed, duplicate and skipped images of a job, as they stand."""
    rows = connection.execute(
        select(Image.status, func.count()).where(Image.job_id == job_id).group_by(Image.status)
    )
    counts = {str(status): count for status, count in rows}
    names = (
        ImageStatus.INCLUDED,
        ImageStatus.FAILED,
        ImageStatus.DUPLICATE,
        ImageStatus.SKIPPED,
    )
    return {str(name): counts.get(name, 0) for name in names}


def finish(connection: Connection, job_id: str, moved: Moved) -> bool:
    """End a running job by its root: completed or partial with its answer, or failed."""
    root = connection.execute(
        select(Node.status, Node.text, Node.error).where(
            Node.job_id == job_id, Node.parent_id.is_(None), Node.status != NodeStatus.SPLIT
        )
    ).one()
    if root.status not in (NodeStatus.DONE, NodeStatus.FAILED):
        return False
    counts = coverage(connection, job_id)
    included = counts["included"] if root.status == NodeStatus.DONE else 0
    to = outcome_of_job(included, counts["failed"], counts["skipped"])
    if to == JobStatus.FAILED:
        reason = root.error or "no image could be used"
        job_failed(connection, job_id, reason, moved)
        return True
    job = connection.execute(select(Job.status, Job.options).where(Job.id == job_id)).one()
    if JobStatus(job.status).ended:  # by an image that the job could not do without
        return False
    answer = root.text
    if not job.options.is_object:  # JSON is JSON alone
        answer = f"{root.text}\n\n{_left_out(connection, job_id)}".strip()
    connection.execute(update(Job).where(Job.id == job_id).values(answer=answer))
    if job_moved(connection, job_id, to):
        moved.ended.append(job_id)
    return True


def _left_out(connection: Connection, job_id: str) -> str:
    """A sentence naming the images that are not part of an answer; empty when all are."""
    rows = connection.execute(
        select(Image.name)
        .where(Image.job_id == job_id, Image.status.in_([ImageStatus.FAILED, ImageStatus.SKIPPED]))
        .order_by(Image.position)
    )
    names = list(rows.scalars())
    if not names:
        return ""
    shown = ", ".join(names[:LEFT_OUT_SHOWN])
    more = f" and {len(names) - LEFT_OUT_SHOWN} more" if len(names) > LEFT_OUT_SHOWN else ""
    count = "1 image is" if len(names) == 1 else f"{len(names)} images are"
    return f"({count} not part of this answer: {shown}{more})"
