"""The pipe of the image stages: claim a slice, work on each image, record all, then send.

Reads: images that are due. Writes: their next state, in one transaction a slice. May raise
ServiceAway, which ends the task: the lease runs out and the reconciler sends a new message.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar, assert_never

import structlog

from core.errors import ImageRefused, ServiceAway
from core.outcomes import Done, Outcome, Postpone, Reject, Retry, Stop, backoff_seconds
from core.states import ImageStatus
from models import claims, state
from models.claims import ImageWork
from models.engine import Connection
from models.state import Moved
from tasks.services import Services

log = structlog.get_logger()
T = TypeVar("T")

AWAY_SECONDS = 5.0
"""How long an image waits when a service it needs is away: no attempt is spent."""


@dataclass(frozen=True, slots=True)
class ImageStage(Generic[T]):
    """What differs between the image stages."""

    name: str
    takes: ImageStatus
    work: Callable[[Services, ImageWork], Outcome[T]]
    record: Callable[[Connection, ImageWork, T, str, Moved], object]


def run_slice(services: Services, stage: ImageStage[T]) -> str:
    """Do one slice of ``stage``; a sentence for Flower's result column."""
    lease = services.new_lease()
    limit = services.settings.slice_images
    with services.database.write() as connection:
        work = claims.claim_images(
            connection,
            services.account,
            stage.takes,
            lease,
            limit,
            services.settings.attempts_max,
        )
    if not work:
        return "nothing was due"
    with services.leases.hold(lease.token):
        outcomes = [(image, attempt(services, stage, image)) for image in work]
    moved = Moved()
    with services.database.write() as connection:
        for image, outcome in outcomes:
            record(connection, stage, image, outcome, lease.token, moved)
    if len(work) == limit:
        services.send(stage.name, job=work[0].job_id, after=work[-1].position)
    announce(services, work[0].job_id, moved)
    done = sum(isinstance(outcome, Done) for _, outcome in outcomes)
    return f"job {work[0].job_id}: {_span(work)}: {done} of {len(work)} done"


def attempt(services: Services, stage: ImageStage[T], image: ImageWork) -> Outcome[T]:
    """The stage's outcome for one image, whatever it raises."""
    try:
        return stage.work(services, image)
    except ImageRefused as error:
        return Reject(error.code, error.reason)
    except ServiceAway as error:
        return Postpone(AWAY_SECONDS, str(error))
    except Exception as error:
        log.exception("image.unexpected", stage=stage.name, job=image.job_id, image=image.position)
        return Retry(
            backoff_seconds(image.attempts, services.draw()), f"{type(error).__name__}: {error}"
        )


def record(
    connection: Connection,
    stage: ImageStage[T],
    image: ImageWork,
    outcome: Outcome[T],
    token: str,
    moved: Moved,
) -> None:
    """Write one outcome. The image is the caller's only while it holds the lease ``token``."""
    match outcome:
        case Done(value):
            stage.record(connection, image, value, token, moved)
        case Reject(code, reason):
            state.image_failed(connection, image.id, code, reason, moved, token)
        case Retry(after, reason):
            state.image_postponed(connection, image.id, token, after, reason, costs_attempt=True)
        case Postpone(after, reason):
            state.image_postponed(connection, image.id, token, after, reason, costs_attempt=False)
        case Stop(reason):
            state.job_failed(connection, image.job_id, reason, moved)
        case _:
            assert_never(outcome)


def announce(services: Services, job_id: str, moved: Moved) -> None:
    """Send what became ready. Called after the commit: a message must never be ahead of its row."""
    if moved.prepared:
        services.send("upload", job=job_id, images=moved.prepared)
    for node in moved.leaves:
        services.send("infer", job=job_id, node=node)
    for node in moved.branches:
        services.send("aggregate", job=job_id, node=node)
    for ended in moved.ended:
        log.info("job.ended", job=ended)


def _span(work: list[ImageWork]) -> str:
    first, last = work[0].position, work[-1].position
    return f"image {first}" if first == last else f"images {first} to {last}"
