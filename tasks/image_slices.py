"""The pipeline of the image stages: claim a slice, work on each image, record all, send messages.

If more images are due, a task sends the next message before it begins its work. So one message per
slice keeps every worker busy.

Reads: images that are due. Writes: their next state, in one transaction per slice. May raise
ServiceAway, which ends the task: the lease runs out and the reconciler sends a new message.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, assert_never

import structlog

from core.errors import DatabaseRefused, ImageRefused, RefusalCode, ServiceAway
from core.outcomes import Back, Done, Outcome, Postpone, Reject, Retry, Stop, backoff_seconds
from core.slice_size import SliceSize
from core.stages import AGGREGATE, INFER, PREPROCESS, UPLOAD, Stage
from core.states import ImageStatus
from core.text.sanitize import storable
from models import claims, state
from models.claims import ImageWork
from models.engine import Connection
from models.state import Moved
from tasks.runtime.services import Services
from tasks.runtime.tracing import Value

log = structlog.get_logger()
T = TypeVar("T")

RECORD_TRIES = 8
AWAY_SECONDS = 5.0
"""How long an image waits if a service does not answer. This costs no attempt."""
_sizes: defaultdict[str, SliceSize] = defaultdict(SliceSize)
"""The slice sizes of this process, by stage."""


@dataclass(frozen=True, slots=True)
class ImageStage(Generic[T]):
    """What differs between the image stages. A slice is processed and recorded as a whole, so it
    costs one message, one set of statements and one commit. ``shares``: slices get smaller near the
    end, so that all workers end at the same time; for a stage that keeps its workers busy.
    ``after``: what may be due once images of a job have passed the stage; it returns the job and
    what became ready."""

    stage: Stage
    work: Callable[[Services, Sequence[ImageWork]], list[Outcome[T]]]
    record: Callable[[Connection, Services, Sequence[tuple[ImageWork, T]], str, Moved], None]
    shares: bool = False
    after: Callable[[Services], tuple[str, Moved] | None] = lambda services: None

    @property
    def takes(self) -> ImageStatus:
        return self.stage.image_status


def run_slice(services: Services, stage: ImageStage[T]) -> str:
    """Do one slice of ``stage``; returns a sentence for Flower's result column."""
    began, began_ns = time.monotonic(), time.time_ns()
    lease, size = services.new_lease(), _sizes[stage.stage.name]
    limit = size.images(services.settings.slice_images, stage.shares)
    with services.database.write() as connection:
        claimed = claims.claim_images(
            connection,
            services.account,
            stage.takes,
            lease,
            limit,
            services.settings.attempts_max,
            stage.shares,
        )
    if not (images := claimed.images):
        return _afterwards(services, stage) or "nothing was due"
    if claimed.due > len(images):  # before the work, so that an idle worker starts now
        services.send(stage.stage.name, job=images[0].job_id, after=images[-1].position)
    begun = time.monotonic()
    with services.leases.hold(lease.token):
        outcomes = stage.work(services, images)
        worked = time.monotonic() - begun
        moved = keep(services, stage, images, outcomes, lease.token)
    size.took(worked, len(images), time.monotonic() - began - worked)
    announce(services, images[0].job_id, moved)
    if images[0].options.similar:
        _afterwards(services, stage)
    done = sum(isinstance(outcome, Done) for outcome in outcomes)
    services.traces.span(stage.stage.task, images[0].job_id, began_ns, _traced(images, done))
    return f"job {images[0].job_id}: {_span(images)}: {done} of {len(images)} done"


def _afterwards(services: Services, stage: ImageStage[T]) -> str:
    """Do what is due after a slice. Returns a sentence for Flower, empty if nothing was due."""
    done = stage.after(services)
    if done is None:
        return ""
    job_id, moved = done
    announce(services, job_id, moved)
    return f"job {job_id}: its images were compared"


def keep(
    services: Services,
    stage: ImageStage[T],
    images: Sequence[ImageWork],
    outcomes: Sequence[Outcome[T]],
    token: str,
) -> Moved:
    """Record a slice. Retries a database that does not answer, before the work is thrown away."""
    for tries in range(RECORD_TRIES):
        moved = Moved()
        try:
            with services.database.write() as connection:
                if not all(isinstance(outcome, Done) for outcome in outcomes):
                    state.hold_job(
                        connection, images[0].job_id
                    )  # lock it before the rows of several statements
                record(connection, services, stage, images, outcomes, token, moved)
        except DatabaseRefused as error:
            log.warning("slice.refused", job=images[0].job_id, error=str(error))
            return _one_by_one(services, stage, images, outcomes, token)
        except ServiceAway as error:
            log.warning("slice.waits", error=str(error))
            if services.stopping.wait(backoff_seconds(tries, services.draw(), base=0.2)):
                break
        else:
            return moved
    raise ServiceAway("the database did not store the results of a slice: it is done again later")


def _one_by_one(
    services: Services,
    stage: ImageStage[T],
    images: Sequence[ImageWork],
    outcomes: Sequence[Outcome[T]],
    token: str,
) -> Moved:
    """Record each image alone. One that the database refuses costs an attempt, with the reason, so
    that it fails in the end and keeps no other from being recorded."""
    total = Moved()
    for image, outcome in zip(images, outcomes, strict=True):
        try:
            moved = _recorded(services, stage, image, outcome, token)
        except DatabaseRefused as error:
            again = Retry(backoff_seconds(image.attempts, services.draw()), str(error))
            moved = _recorded(services, stage, image, again, token)
        total.add(moved)
    return total


def _recorded(
    services: Services, stage: ImageStage[T], image: ImageWork, outcome: Outcome[T], token: str
) -> Moved:
    moved = Moved()
    with services.database.write() as connection:
        state.hold_job(connection, image.job_id)
        record(connection, services, stage, [image], [outcome], token, moved)
    return moved


def attempt(services: Services, image: ImageWork, work: Callable[[], Outcome[T]]) -> Outcome[T]:
    """The outcome of ``work`` on one image, whatever it raises."""
    try:
        return work()
    except ImageRefused as error:
        return Reject(error.code, storable(error.reason))
    except ServiceAway as error:
        return Postpone(AWAY_SECONDS, str(error))
    except Exception as error:
        log.exception("image.unexpected", job=image.job_id, image=image.position)
        return Retry(
            backoff_seconds(image.attempts, services.draw()),
            storable(f"{type(error).__name__}: {error}"),
        )


def record(
    connection: Connection,
    services: Services,
    stage: ImageStage[T],
    images: Sequence[ImageWork],
    outcomes: Sequence[Outcome[T]],
    token: str,
    moved: Moved,
) -> None:
    """Write a slice's outcomes, for images that the lease ``token`` still holds."""
    done: list[tuple[ImageWork, T]] = []
    refused: dict[int, tuple[RefusalCode, str]] = {}
    later: defaultdict[tuple[float, str, bool], list[int]] = defaultdict(list)
    for image, outcome in zip(images, outcomes, strict=True):
        match outcome:
            case Done(value):
                done.append((image, value))
            case Back(reason):
                state.image_to_prepare_again(connection, image.id, token, reason)
            case Reject(code, reason):
                refused[image.id] = code, reason
            case Retry(after, reason):
                later[after, reason, True].append(image.id)
            case Postpone(after, reason):
                later[after, reason, False].append(image.id)
            case Stop(reason):
                state.job_failed(connection, image.job_id, reason, moved)
            case _:
                assert_never(outcome)
    slice_ = [image.id for image in images]
    state.images_failed(connection, images[0].job_id, refused, moved, token, slice_)
    for (after, reason, costs_attempt), ids in later.items():
        state.images_postponed(connection, ids, token, after, reason, costs_attempt)
    if done:
        stage.record(connection, services, done, token, moved)


def announce(services: Services, job_id: str, moved: Moved) -> None:
    """Send messages for what became ready. Call it after the commit: a message must not arrive
    before its row."""
    if moved.pending:
        services.send(PREPROCESS.name, job=job_id, ready=moved.pending)
    if moved.prepared:
        services.send(UPLOAD.name, job=job_id, ready=moved.prepared)
    for node in moved.leaves:
        services.send(INFER.name, job=job_id, node=node)
    for node in moved.branches:
        services.send(AGGREGATE.name, job=job_id, node=node)
    for ended in moved.ended:
        log.info("job.ended", job=ended)


def _traced(images: Sequence[ImageWork], done: int) -> dict[str, Value]:
    return {
        "overstory.images": len(images),
        "overstory.images.done": done,
        "overstory.position.first": images[0].position,
        "overstory.position.last": images[-1].position,
        "overstory.attempt": max(image.attempts for image in images),
    }


def _span(images: Sequence[ImageWork]) -> str:
    first, last = images[0].position, images[-1].position
    return f"image {first}" if first == last else f"images {first} to {last}"
