"""What the running jobs of an account have and wait for."""

from __future__ import annotations

from sqlalchemy import (
    Connection,
    bindparam,
    exists,
    func,
    select,
)

from core.stages import PREPROCESS, STAGES, Stage
from core.states import ImageStatus
from models.claims.images import count_images
from models.claims.nodes import count_nodes
from models.claims.work import served_by
from models.tables import Image, Job


def least_served(connection: Connection, account: str) -> tuple[float, float]:
    """Images and tokens by weight that the account's least served running job was served. A new
    job starts with them."""
    row = connection.execute(
        select(
            func.min(Job.served_images / Job.weight), func.min(Job.served_tokens / Job.weight)
        ).where(served_by(account))
    ).one()
    return float(row[0] or 0.0), float(row[1] or 0.0)


_TO_COMPARE = (
    select(Job.id)
    .where(
        served_by(bindparam("for_account")),
        Job.comparing,
        ~exists().where(Image.job_id == Job.id, Image.status == ImageStatus.PENDING),
    )
    .order_by(Job.created_at)
    .limit(1)
)


def job_to_compare(connection: Connection, account: str) -> str | None:
    """A running job whose images are all prepared or refused, and not compared yet."""
    return connection.execute(_TO_COMPARE, {"for_account": account}).scalar()


def waiting_work(connection: Connection, account: str, limit: int) -> dict[Stage, int]:
    """Work that is due and not claimed, by stage, each counted up to ``limit``."""
    counts: dict[Stage, int] = {}
    for stage in STAGES:
        if isinstance(stage.takes, ImageStatus):
            counts[stage] = count_images(connection, account, stage.takes, limit)
        elif stage.takes is not None:
            counts[stage] = count_nodes(connection, account, stage.takes, limit)
    if not counts[PREPROCESS] and job_to_compare(connection, account) is not None:
        counts[PREPROCESS] = 1
    return {stage: count for stage, count in counts.items() if count}
