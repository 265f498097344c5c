"""submit: a question and a list of inputs become a planned job.

Reads: the inputs' names, sizes and, where sizes collide, contents. Does: expand, find duplicates,
pack into leaves, plan the tree. Writes: the job with all its images and nodes in one transaction.
May raise WrongUsage (what to change is in its words), ServiceAway.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from celery import shared_task
from celery.exceptions import Ignore

from clients import sources
from clients.sources import Source
from core.errors import ServiceAway, WrongUsage
from core.outcomes import backoff_seconds
from core.packing import Weight, pack
from core.shape import Shape, expected_bytes, expected_tokens, shape_of
from core.spec import JobSpec, content_key, parse_spec
from core.tempo import hints
from core.tokens import Detail
from core.tree import plan_tree
from models import deliveries, plan
from models.plan import NewImage, NewJob
from tasks.base import StageTask
from tasks.preprocess import limits_of
from tasks.services import Services

log = structlog.get_logger()

FIRST_MESSAGES = 64
"""Messages a new job sends at once; each slice that is done sends the next, so queues stay short
and a broker that loses them loses little."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """The job, whether it is new, and what lay in the folders and was left out."""

    job_id: str
    created: bool
    ignored: tuple[str, ...] = ()


def submit(services: Services, spec: JobSpec, natural: bool = False) -> Submitted:
    """Plan and write the job of ``spec``; the job of the same key is returned as it stands.

    ``natural``: a spec without a key gets one made of what it asks and of the files' names,
    sizes and times, so that the same command is the same job.
    """
    known = _known(services, spec.key)
    if known is not None:
        return Submitted(known, created=False)
    if spec.webhook and services.settings.webhook_secret is None:
        raise WrongUsage("webhook: the service has no OVERSTORY_WEBHOOK_SECRET to sign it with")
    expansion = sources.expand(spec.images, limits_of(services.settings))
    ignored = tuple(expansion.ignored)
    key = spec.key or (_natural_key(services, spec, expansion.sources) if natural else None)
    known = _known(services, key)
    if known is not None:
        return Submitted(known, created=False, ignored=ignored)
    job = _new_job(services, spec, key or secrets.token_hex(16))
    shape = shape_of(
        job.model,
        job.provider,
        job.ask,
        services.settings.images_per_request,
        services.settings.context_tokens,
    )
    images, leaves = place(expansion.sources, shape, _detail(services, spec))
    with services.database.write() as connection:
        created = plan.insert_job(connection, job, images, plan_tree(leaves, shape.fan_in))
        if created and spec.webhook:
            deliveries.open_delivery(connection, job.id, spec.webhook)
    if not created:  # the same job was submitted twice at the same moment
        return Submitted(_known(services, job.key) or job.id, created=False, ignored=ignored)
    log.info("job.submitted", job=job.id, images=len(images), leaves=leaves)
    start(services, job.id, len(images))
    return Submitted(job.id, created=True, ignored=ignored)


def start(services: Services, job_id: str, images: int) -> None:
    """Send the first messages of a job."""
    for _ in range(min(hints(images), FIRST_MESSAGES)):
        services.send("preprocess", job=job_id)


def place(found: Sequence[Source], shape: Shape, detail: Detail) -> tuple[list[NewImage], int]:
    """Every source at its place: its leaf, or the first one it is a duplicate of; and the number
    of leaves. Leaves are planned over distinct images, by what they are expected to weigh."""
    twins = sources.content_twins(found)
    distinct = [index for index in range(len(found)) if index not in twins]
    weights = [
        Weight(expected_bytes(found[index].bytes, detail), expected_tokens(detail))
        for index in distinct
    ]
    sizes = pack(weights, shape.leaf)
    leaf_of: dict[int, int] = {}
    start = 0
    for leaf, size in enumerate(sizes):
        leaf_of.update(dict.fromkeys(distinct[start : start + size], leaf))
        start += size
    images = [
        NewImage(
            name=source.name,
            location=source.location,
            page=source.page,
            root=source.root,
            bytes=source.bytes,
            duplicate_of=twins[index] + 1 if index in twins else None,
            leaf=leaf_of.get(index),
        )
        for index, source in enumerate(found)
    ]
    return images, len(sizes)


def _known(services: Services, key: str | None) -> str | None:
    if key is None:
        return None
    with services.database.read() as connection:
        return plan.job_of_key(connection, key)


def _new_job(services: Services, spec: JobSpec, key: str) -> NewJob:
    return NewJob(
        id=secrets.token_hex(6),
        key=key,
        ask=spec.ask,
        label=spec.label,
        model=spec.model or services.settings.model,
        provider=services.settings.provider,
        endpoint=services.settings.endpoint,
        account=services.account,
        detail=_detail(services, spec),
        weight=spec.weight,
        options={
            "fetch": spec.fetch,
            "fresh": spec.fresh,
            "keep_files": spec.keep_files,
            "fail_fast": spec.fail_fast,
            "min_coverage": spec.min_coverage,
        },
    )


def _detail(services: Services, spec: JobSpec) -> Detail:
    return spec.detail or services.settings.detail


def _natural_key(services: Services, spec: JobSpec, found: Sequence[Source]) -> str:
    files = [(source.location, source.page, source.bytes, _changed(source)) for source in found]
    return content_key(
        [
            spec.ask,
            spec.model or services.settings.model,
            services.settings.endpoint,
            _detail(services, spec),
            spec.fetch,
            files,
        ]
    )


def _changed(source: Source) -> int:
    """When a file was last changed, in ns; 0 for a URL or a file that cannot be asked."""
    if source.bytes is None:
        return 0
    try:
        return sources.local_path(source.location).stat().st_mtime_ns
    except OSError:
        return 0


@shared_task(name="overstory.submit", base=StageTask, bind=True, ignore_result=False)  # type: ignore[untyped-decorator]
def submit_task(self: StageTask, **arguments: object) -> str:
    """What other apps send. The result is the job's id; the same ``key`` is the same job.

    The message has left the queue already, so while the database is away it is held here; a worker
    that has to stop meanwhile puts it back.
    """
    spec = parse_spec(arguments)
    attempt = 0
    while True:
        try:
            return submit(self.services, spec).job_id
        except ServiceAway as error:
            log.warning("submit.waits", error=str(error))
        if self.services.stopping.wait(backoff_seconds(attempt, self.services.draw(), cap=10.0)):
            self.app.send_task(self.name, kwargs=arguments, task_id=self.request.id)
            raise Ignore
        attempt += 1
