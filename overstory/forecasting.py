"""What a job will cost and take, by the headers of its images, before it is planned.

The headers are read once: settings that differ in pack, model or question share a reading.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from clients.sources import location
from clients.sources.dates import with_dates
from clients.sources.documents import Documents
from clients.sources.expand import expand
from clients.sources.location import Source
from core.account import estimate as core_estimate
from core.account.estimate import BOUND, Estimate
from core.account.habit import PastCall, habit_of
from core.account.pace import Pace, Work, pace_of, ready_in
from core.catalog.tokens import detail_at
from core.images.inputs import InputRules
from core.jobs import JobSpec
from core.requests.facts import tokens_of
from core.requests.request import RequestContext, request_context
from core.requests.second_look import looks_left
from core.settings import Settings
from core.tree.capacity import LearnedLimits
from core.tree.packing import runs
from models.engine import Database
from models.reads import inspect
from models.reads.lineage import Identity, KnownImage
from overstory.local.price import HeaderReader
from tasks.job_layout import Distinct, leaf_sizes, learned_limits
from tasks.shown_facts import table_rules
from tasks.taken_over import identity_of, prepared_before
from tasks.unit_layout import Units
from workers.endpoints import database_url

THREADS = min(8, 2 * (os.cpu_count() or 1))
"""Several threads, because a disk serves several readers at once; each has a decoding process."""
NO_WORK = Work(0, 0, 0)


@dataclass(slots=True)
class Measured:
    """The image set, as far as file headers tell. ``tokens``: the prompt tokens of each distinct
    image and its facts, None if it is unusable; ``again``: of the usable ones at a second look.
    ``ignored`` and ``passed_over``: entries of folders that are not in the set."""

    distinct: Distinct
    ignored: Sequence[str] = ()
    passed_over: Sequence[str] = ()
    urls: int = 0
    tokens: list[int | None] = field(default_factory=list)
    again: list[int] = field(default_factory=list)
    work: Work = NO_WORK  # images to upload, without those that the provider fetches
    new: Work = NO_WORK  # those of them that no earlier job has left prepared
    unusable: list[tuple[str, str]] = field(default_factory=list)
    units: Units | None = None  # of a job by units

    @property
    def submitted(self) -> int:
        return len(self.distinct.sources)

    @property
    def duplicates(self) -> int:
        return len(self.distinct.first_of)

    @property
    def images(self) -> int:
        return len(self.tokens) - len(self.unusable)

    def twice(self, share: float | None) -> list[int]:
        """The tokens of the images that may be looked at twice: the dearest ones."""
        most = 0 if share is None else looks_left(share, self.submitted, 0)
        return sorted(self.again, reverse=True)[:most]

    def leaves(self, request: RequestContext) -> list[list[int]]:
        """The prompt tokens of the usable images of each leaf, in a plan with ``request``."""
        if self.units is not None:
            sizes = self.units.leaf_sizes(request)
        else:
            sizes = leaf_sizes(self.distinct, request)
        usable = ([n for n in leaf if n is not None] for leaf in runs(self.tokens, sizes))
        return [leaf for leaf in usable if leaf]


@dataclass(frozen=True, slots=True)
class Basis:
    """What an estimate is from: past calls of the model, and past jobs. Without, it is a guess."""

    past: Sequence[PastCall]
    pace: Pace


def measure(
    settings: Settings, spec: JobSpec, *looks: RequestContext, rules: InputRules | None = None
) -> Measured:
    """Expand the inputs and read every header. ``looks``: the first, and the second. ``rules``:
    which files may be named; None: all that the person of this command can read. Raises WrongUsage
    as ``overstory run`` does."""
    reader = HeaderReader.of(settings)
    found = expand(
        spec.images,
        settings.image_limits,
        reader.decoder,
        rules or settings.own_inputs,
        uploads=reader.uploads,
        tables=table_rules(settings, spec),
    )
    listed = Documents.of(settings, reader.decoder).with_pages(found.sources)
    units = None
    if spec.by:
        dated = with_dates(listed, spec.by, reader.decoder, reader.uploads, settings.image_limits)
        units = Units.of(dated, spec.by, spec.options.facts)
    whole = Distinct.of(listed) if units is None else units.distinct
    measured = Measured(whole, found.ignored, found.passed_over, units=units)
    sources, distinct = whole.sources, whole.indices
    with ThreadPoolExecutor(THREADS) as pool:
        results = pool.map(lambda index: _tokens(sources[index], reader, *looks), distinct)
    for index, tokens in zip(distinct, results, strict=True):
        measured.urls += location.is_url(sources[index].location)
        if isinstance(tokens, str):
            measured.unusable.append((sources[index].name, tokens))
            measured.tokens.append(None)
            continue
        told = tokens_of(sources[index].facts, sources[index].name, looks[0].facts) // BOUND
        measured.tokens.append(tokens[0] + told)
        measured.again.append(tokens[-1] + told)
    images = [sources[index] for index in distinct]
    measured.work = _work(images, spec.fetch)
    known = {} if spec.fresh else _prepared(settings, spec, images)
    measured.new = _work([each for each in images if identity_of(each) not in known], spec.fetch)
    return measured


def _prepared(
    settings: Settings, spec: JobSpec, images: Sequence[Source]
) -> dict[Identity, KnownImage]:
    model, detail = spec.model or settings.model, spec.detail or settings.detail
    with opened(settings) as database:
        return prepared_before(settings, database, model, detail, images)


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    """The database, closed afterwards."""
    database = Database(database_url(settings))
    try:
        yield database
    finally:
        database.dispose()


def _work(images: Sequence[Source], fetch: bool) -> Work:
    """What is to be prepared here: URLs of images only with ``fetch``, and of unknown size."""
    ours = [
        image
        for image in images
        if fetch or image.page is not None or not location.is_url(image.location)
    ]
    files = [image for image in ours if image.page is None]
    return Work(len(files), sum(image.bytes or 0 for image in files), len(ours) - len(files))


def _tokens(source: Source, reader: HeaderReader, *looks: RequestContext) -> tuple[int, ...] | str:
    """Prompt tokens of one image at each of ``looks``, or why it will fail."""
    return reader.tokens(source.location, source.root, source.page, *looks)


def learned_of(settings: Settings, spec: JobSpec) -> LearnedLimits:
    """What the endpoint has refused of the job's model so far."""
    model = spec.model or settings.model
    with opened(settings) as database:
        return learned_limits(database, settings.endpoint, model, spec.canary)


def context_of(
    settings: Settings, spec: JobSpec, learned: LearnedLimits, look: int = 1
) -> RequestContext:
    """What is the same in all requests of the job, or of its second look."""
    first = spec.model or settings.model
    detail = spec.detail or settings.detail
    return request_context(
        settings,
        question=spec.question,
        model=first if look == 1 else spec.second_model or first,
        provider=settings.provider,
        endpoint=settings.endpoint,
        detail=detail_at(detail, look),
        options=spec.looking_twice(detail),
        learned=learned,
    )


def basis_of(settings: Settings, model: str, work: Work) -> Basis:
    """The past calls of ``model``, and how fast images were prepared in past jobs."""
    cores = settings.cpu_workers or os.cpu_count() or 1
    with opened(settings) as database, database.read() as connection:
        past = inspect.past_calls(connection, model, settings.endpoint)
        done = inspect.past_runs(connection, settings.endpoint)
    return Basis(past, pace_of(done, work, cores, settings.upload_threads))


def past_of(settings: Settings, model: str) -> Sequence[PastCall]:
    """The past calls of ``model`` at this endpoint."""
    with opened(settings) as database, database.read() as connection:
        return inspect.past_calls(connection, model, settings.endpoint)


def forecast_of(
    settings: Settings, request: RequestContext, measured: Measured, basis: Basis
) -> Estimate:
    """What a job with ``request`` over the measured images will cost and take."""
    return core_estimate.estimate(
        request,
        measured.leaves(request),
        habit_of(basis.past),
        settings.price_of(request.model),
        settings.sure_limits,
        ready_in(measured.new, measured.work.images, basis.pace),
    )


def forecasts_of(settings: Settings, specs: Sequence[JobSpec]) -> list[Estimate]:
    """Of jobs over the same images, in whatever order: the headers are read once for a detail and
    a way to count. Raises WrongUsage as ``overstory run`` does."""
    read: dict[object, Measured] = {}
    forecasts = []
    for spec in specs:
        request = context_of(settings, spec, learned_of(settings, spec))
        counted = (request.detail, request.sizes, request.image_tokens)
        if counted not in read:
            read[counted] = measure(settings, spec, request)
        measured = read[counted]
        basis = basis_of(settings, request.model, measured.work)
        forecasts.append(forecast_of(settings, request, measured, basis))
    return forecasts
