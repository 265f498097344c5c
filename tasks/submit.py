"""submit: a question and a list of inputs become a planned job.

Reads: the inputs' names, sizes and, where sizes are equal, contents. Does: expand, find duplicates,
pack into leaves, plan the tree. Writes: the job with all its images and nodes in one transaction.
May raise WrongUsage (its message says what to change), ServiceAway.
"""

from __future__ import annotations

import math
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import structlog
from celery import shared_task
from celery.exceptions import Ignore

from clients.sources.documents import Documents, documents_among
from clients.sources.expand import expand
from clients.sources.facts import facts_key
from clients.sources.location import Source
from core import prompts, stages
from core.account.budget import Watch
from core.catalog.tokens import JobDetail
from core.errors import ServiceAway, WrongUsage
from core.jobs import JobSpec, parse_spec
from core.outcomes import backoff_seconds
from core.slice_size import WAKE_UPS
from core.states import ImageStatus
from core.text.hashing import content_key
from core.tree.capacity import check_pack
from models import deliveries, new_job, state
from models.engine import Connection
from models.new_job import NewJob
from models.reads import lineage, pipeline
from models.reads.lineage import Earlier, Identity, KnownImage
from models.state import Moved
from tasks.calls.budget import check_budget, check_token
from tasks.image_slices import announce
from tasks.job_layout import JobLayout, Keep, lay_out
from tasks.runtime.base import StageTask
from tasks.runtime.services import Services
from tasks.runtime.tracing import Value
from tasks.same_key import check_same, inputs_key, key_of
from tasks.shown_facts import table_rules, without_changed
from tasks.taken_over import prepared_before
from tasks.unit_layout import lay_out_units

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Submitted:
    """The job, whether it is new, the entries of folders that are not images, and those that were
    passed over."""

    job_id: str
    created: bool
    ignored: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TimeLimit:
    """Ends a submission by message, whose thread others wait for."""

    seconds: float
    now: Callable[[], float] = time.monotonic
    began: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "began", self.now())

    def check(self) -> None:
        """Raises WrongUsage when the time is over."""
        if self.now() - self.began > self.seconds:
            raise WrongUsage(
                f"images: finding them took longer than {self.seconds:g} s"
                " (OVERSTORY_SUBMIT_SECONDS): name fewer inputs, or submit them as several jobs"
            )


NO_LIMIT = TimeLimit(math.inf)
"""A person's own command can be interrupted."""


def submit(
    services: Services,
    spec: JobSpec,
    natural: bool = False,
    by_message: bool = False,
    limit: TimeLimit = NO_LIMIT,
    tell: Callable[[int], None] = lambda urls: None,
    owner: str | None = None,
    watch: Watch | None = None,
) -> Submitted:
    """Plan and write the job of ``spec``; a job with the same key is returned as it is, and
    WrongUsage raised if it has another question or other images. ``owner``: the token that submits
    it. Owners do not share keys, and a job continues only earlier ones of its owner. ``watch``:
    the watched folder whose budget counts the job's calls.

    ``natural``: a spec without a key gets one, made of its question and of the files' names, sizes
    and times, so that the same command is the same job. ``by_message``: local files must be in
    OVERSTORY_INPUT_ROOTS; a person's own command may name whatever that person can read.
    ``limit``: how long its inputs may take. ``tell`` is called with the number of URLs before they
    are looked into for documents.
    """
    began_ns = time.time_ns()
    settings = services.settings
    model = spec.model or settings.model
    spec.looking_twice(_detail(services, spec))  # refuses what cannot be
    limit_of_cost = spec.budget or settings.budget or (watch.budget.amount if watch else None)
    check_budget(settings, limit_of_cost, model, spec.second_model)
    check_token(services, owner, model, spec.second_model)
    check_pack(settings.facts_of(model), settings.images_per_request, spec.pack)
    rules = settings.submitted_inputs if by_message else settings.own_inputs
    expand_inputs = partial(
        expand,
        spec.images,
        settings.image_limits,
        services.decoder,
        rules,
        check=limit.check,
        uploads=services.uploads,
        tables=table_rules(settings, spec),
    )
    given = key_of(spec.key, owner)
    known = _known(services, given)
    if known is not None:
        ignored = check_same(services, known, spec, expand_inputs)
        return _again(services, known, spec, watch, ignored)
    if spec.webhook and services.settings.webhook_secret is None:
        raise WrongUsage("webhook: the service has no OVERSTORY_WEBHOOK_SECRET to sign it with")
    expansion = expand_inputs()
    limit.check()
    left_out = tuple(expansion.ignored), tuple(expansion.passed_over)
    key = given or (_natural_key(services, spec, expansion.sources) if natural else None)
    known = _known(services, key)
    if known is not None:
        return _again(services, known, spec, watch, *left_out)
    documents = Documents.of(settings, services.decoder)
    if urls := documents_among(expansion.sources):
        tell(len(urls))
    sources = documents.with_pages(expansion.sources, limit.check, limit.seconds / 2)
    job = _new_job(services, spec, key or secrets.token_hex(16), owner, watch)
    earlier = None if spec.fresh else precedent(services, job, sources)
    from_sources = spec.fresh or earlier is not None
    prepared = (
        {}
        if from_sources
        else prepared_before(services.settings, services.database, job.model, job.detail, sources)
    )
    submitted = _write(services, job, sources, earlier, Keep(), spec.webhook, prepared)
    counts: dict[str, Value] = {"overstory.images": len(sources)}
    services.traces.span(stages.SUBMIT.task, submitted.job_id, began_ns, counts, root=True)
    if not submitted.created:
        if spec.key is not None:  # another submission with the key was written meanwhile
            check_same(services, submitted.job_id, spec, lambda: expansion)
        return _again(services, submitted.job_id, spec, watch, *left_out)
    return replace(submitted, ignored=left_out[0], passed_over=left_out[1])


def same_job(services: Services, spec: JobSpec) -> str | None:
    """The id of the job that ``submit`` with ``natural`` would return as it is; None if it would
    plan a new one. Raises WrongUsage for inputs that cannot be used."""
    settings = services.settings
    if spec.key is not None:
        return _known(services, spec.key)
    found = expand(
        spec.images,
        settings.image_limits,
        services.decoder,
        settings.own_inputs,
        uploads=services.uploads,
        tables=table_rules(settings, spec),
    )
    return _known(services, _natural_key(services, spec, found.sources))


def continue_job(
    services: Services, job: NewJob, sources: Sequence[Source], earlier: Earlier, keep: Keep
) -> Submitted:
    """Plan and write a job that continues an earlier one and takes over its texts as ``keep`` says;
    a job with the same key is returned as it is."""
    known = _known(services, job.key)
    if known is not None:
        return Submitted(known, created=False)
    return _write(services, job, sources, earlier, keep, None, {})


def _write(
    services: Services,
    job: NewJob,
    sources: Sequence[Source],
    earlier: Earlier | None,
    keep: Keep,
    webhook: str | None,
    prepared: Mapping[Identity, KnownImage],
) -> Submitted:
    if earlier is not None:
        earlier = without_changed(earlier, sources, job.options.facts)
    if job.options.by is None:
        layout = lay_out(services, job, sources, earlier, keep, prepared)
    else:
        layout = lay_out_units(services, job, sources, earlier, prepared)
    compares = job.options.similar and not job.options.is_follow_up and layout.asks
    if compares:
        layout = layout.unplanned()
    follows = earlier.job_id if earlier is not None else job.follows
    job = replace(job, follows=follows, reason=services.holds_new_jobs, comparing=compares)
    moved = Moved()
    with services.database.write() as connection:
        created = new_job.insert_job(
            connection, job, layout.images, layout.tree, layout.kept, moved, layout.units
        )
        if created and webhook:
            deliveries.open_delivery(connection, job.id, webhook)
    if not created:  # the same job was submitted twice at the same moment
        return Submitted(_known(services, job.key) or job.id, created=False)
    _log_submitted(job, layout)
    start(services, job.id, Counter(image.status for image in layout.images))
    if compares:  # also where all images are prepared
        services.send(stages.PREPROCESS.name, job=job.id)
    announce(services, job.id, moved)
    return Submitted(job.id, created=True)


def _log_submitted(job: NewJob, layout: JobLayout) -> None:
    kept = sum(text is not None for text in layout.kept)
    images, nodes = len(layout.images), len(layout.tree)
    log.info("job.submitted", job=job.id, images=images, nodes=nodes, kept=kept)


def start(services: Services, job_id: str, images: Mapping[str, int]) -> None:
    """Send the first messages of a job; ``images``: how many there are, by status."""
    for stage in stages.STAGES:
        if isinstance(stage.takes, ImageStatus):
            for _ in range(min(images.get(stage.takes, 0), WAKE_UPS)):
                services.send(stage.name, job=job_id)


def _known(services: Services, key: str | None) -> str | None:
    if key is None:
        return None
    with services.database.read() as connection:
        return new_job.job_of_key(connection, key)


def precedent(services: Services, job: NewJob, found: Sequence[Source]) -> Earlier | None:
    """The owner's newest answered job with the same question that shares an image, to continue
    from."""
    if job.family is None:
        return None
    images = [(source.name, source.location) for source in found]
    with services.database.read() as connection:
        before = lineage.newest_alike(connection, job.family, images, job.owner)
        return None if before is None else lineage.earlier(connection, before)


def _again(
    services: Services,
    job_id: str,
    spec: JobSpec,
    watch: Watch | None,
    ignored: tuple[str, ...] = (),
    passed_over: tuple[str, ...] = (),
) -> Submitted:
    """A job that was submitted before, as it is. New budgets, its own and its watch's, replace the
    old ones, because they are not part of a job's identity."""
    if watch is not None:
        _goes_on(
            services, job_id, partial(state.job_watched, watch=watch.name, budget=str(watch.budget))
        )
    if spec.budget is not None:
        rebudget(services, job_id, spec.budget)
    return Submitted(job_id, created=False, ignored=ignored, passed_over=passed_over)


def rebudget(services: Services, job_id: str, budget: float) -> None:
    """Replace a job's budget. If the old one had paused it, it goes on."""
    _goes_on(services, job_id, partial(state.job_budgeted, budget=budget))


def _goes_on(services: Services, job_id: str, change: Callable[[Connection, str], bool]) -> None:
    """Change the budgets of a job, and send its first messages if it resumes by that."""
    with services.database.write() as connection:
        goes_on = change(connection, job_id)
        images = pipeline.unsettled(connection, job_id)
    if goes_on:
        start(services, job_id, images)


def _new_job(
    services: Services, spec: JobSpec, key: str, owner: str | None, watch: Watch | None
) -> NewJob:
    options = spec.looking_twice(_detail(services, spec))
    texts = prompts.version(
        options.second_look is not None, bool(options.facts), options.by is not None
    )
    return NewJob(
        id=secrets.token_hex(6),
        key=key,
        ask=spec.question,
        label=spec.label,
        model=spec.model or services.settings.model,
        provider=services.settings.provider,
        endpoint=services.settings.endpoint,
        account=services.account,
        detail=_detail(services, spec),
        weight=spec.weight,
        family=content_key([*_asked(services, spec), texts]),
        options=replace(
            options,
            budget=spec.budget or services.settings.budget,
            inputs=None if spec.key is None else inputs_key(spec.images),
            watch=None if watch is None else watch.name,
            watch_budget=None if watch is None else str(watch.budget),
        ),
        owner=owner,
    )


def _detail(services: Services, spec: JobSpec) -> JobDetail:
    return spec.detail or services.settings.detail


def _natural_key(services: Services, spec: JobSpec, found: Sequence[Source]) -> str:
    files = [
        (
            *(each.location, each.page, each.bytes, each.changed_ns or 0),
            *([each.version] if each.version else []),
        )
        for each in found
    ]
    told = facts_key(found)
    similar = ["similar"] if spec.similar else []
    return content_key([*_asked(services, spec), files, *([told] if told else []), *similar])


def _asked(services: Services, spec: JobSpec) -> list[object]:
    """The question without the images: jobs that share it are one family."""
    return [
        spec.question,
        spec.model or services.settings.model,
        services.settings.endpoint,
        _detail(services, spec),
        spec.fetch,
        *([asked] if (asked := spec.looking_twice(_detail(services, spec)).asked) else []),
    ]


@shared_task(name=stages.SUBMIT.task, base=StageTask, bind=True, ignore_result=False)  # type: ignore[untyped-decorator]
def submit_task(self: StageTask, **arguments: object) -> str:
    """What other apps send. The result is the job's id; the same ``key`` is the same job.

    The message has already left the queue, so it is held here while the database is unavailable; a
    worker that must stop meanwhile puts it back.
    """
    settings = self.services.settings
    limit = TimeLimit(settings.submit_seconds)
    spec = parse_spec(arguments)
    if len(spec.images) > settings.max_inputs:
        raise WrongUsage(
            f"images: {len(spec.images):,} inputs, and {settings.max_inputs:,} is the most"
            " (OVERSTORY_MAX_INPUTS): name folders or patterns instead of files"
        )
    attempt = 0
    while True:
        try:
            return submit(self.services, spec, by_message=True, limit=limit).job_id
        except ServiceAway as error:
            log.warning("submit.waits", error=str(error))
        if self.services.stopping.wait(backoff_seconds(attempt, self.services.draw(), cap=10.0)):
            self.app.send_task(self.name, kwargs=arguments, task_id=self.request.id)
            raise Ignore
        attempt += 1
        limit = TimeLimit(settings.submit_seconds)
