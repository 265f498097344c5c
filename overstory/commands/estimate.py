"""``overstory estimate``: what a job will cost, before anything is sent."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from clients.images.decoder import Decoder
from clients.sources import location
from clients.sources.expand import expand
from clients.sources.location import Source
from core.account import estimate as core_estimate
from core.account.budget import plain, reached
from core.account.estimate import Estimate
from core.account.habit import PastCall, habit_of
from core.account.pace import Pace, Work, pace_of, ready_in
from core.account.packs import packs_beside
from core.catalog.tokens import Detail, detail_at
from core.images.sizing import ImageLimits
from core.jobs import JobSpec
from core.requests.request import RequestContext, request_context
from core.requests.second_look import looks_left
from core.settings import Settings
from core.tree.capacity import LearnedLimits, check_pack
from core.tree.packing import runs
from models.engine import Database
from models.reads import inspect
from overstory.commands.packs import BINDS, Packed, print_packs, values
from overstory.commands.second_look import SecondLook, looked_twice
from overstory.commands.specs import spec_of
from overstory.local.home import prepare_command
from overstory.local.preflight import with_served_model
from overstory.local.price import image_tokens
from overstory.options import budget_option, home_option, json_option, question_options, settings_at
from overstory.output.plural import pluralize
from overstory.output.progress import duration
from overstory.output.terminal import print_plain
from tasks.calls.budget import check_budget
from tasks.job_layout import Distinct, leaf_sizes, learned_limits
from workers.endpoints import database_url

THREADS = min(8, 2 * (os.cpu_count() or 1))
"""Several threads, because a disk serves several readers at once; each has a decoding process."""
UNUSABLE_SHOWN = 10
NO_WORK = Work(0, 0, 0)


@dataclass(slots=True)
class Measured:
    """The image set, as far as file headers tell. ``tokens``: the prompt tokens of each distinct
    image, None for one that is unusable; ``again``: those of the usable ones at a second look."""

    distinct: Distinct
    urls: int = 0
    tokens: list[int | None] = field(default_factory=list)
    again: list[int] = field(default_factory=list)
    work: Work = NO_WORK  # images to prepare, without those that the provider fetches
    unusable: list[tuple[str, str]] = field(default_factory=list)

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
        sizes = leaf_sizes(self.distinct, request.capacity, request.detail)
        usable = ([n for n in leaf if n is not None] for leaf in runs(self.tokens, sizes))
        return [leaf for leaf in usable if leaf]


@dataclass(frozen=True, slots=True)
class Basis:
    """Past calls and past jobs that an estimate is from; 0: it is a guess."""

    calls: int
    runs: int


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="PATH_OR_URL...")
@question_options
@budget_option
@json_option
@home_option
def estimate(inputs: tuple[str, ...], as_json: bool, home: Path | None, **options: Any) -> None:
    """Estimate the requests, tokens, cost, budget and time of a job.

    Sends no image. Prompt tokens follow from the image sizes in the file headers. Completion tokens
    are estimated from past calls of the model, or guessed if there are none. Requests that are
    paid already are counted too. With --budget, it says whether that budget would pause the job,
    and after how many images. Below it stand two or three packs (images a request at most) beside
    each other: fewer images a request are often read better and cost more.
    """
    settings = settings_at(home)
    spec = spec_of(inputs, options)
    if spec.model is None:
        settings = with_served_model(settings, Console(stderr=True))
    model = spec.model or settings.model
    check_budget(settings, spec.budget, model, spec.second_model)
    check_pack(model, settings.images_per_request, spec.pack)
    prepare_command(settings)
    learned = _learned(settings, spec, model)
    request = _request(settings, spec, learned)
    measured = measure(settings, spec, request.detail)
    past = cache(partial(_past, settings))
    pace = _pace(settings, measured.work)
    share = spec.looking_twice(spec.detail or settings.detail).second_look
    twice = measured.twice(share)

    def forecast_of(spec: JobSpec) -> tuple[Estimate, SecondLook | None]:
        request = _request(settings, spec, learned)
        leaves = measured.leaves(request)
        forecast = core_estimate.estimate(
            request,
            leaves,
            habit_of(past(request.model)),
            settings.price_of(request.model),
            settings.limits,
            ready_in(measured.work, pace),
        )
        again = _request(settings, spec, learned, look=2)
        return looked_twice(
            settings, forecast, request, again, [len(leaf) for leaf in leaves], twice, past
        )

    forecast, again = forecast_of(spec)
    packs = _packs(settings, spec, learned, measured, forecast, lambda spec: forecast_of(spec)[0])
    basis = Basis(len(past(model)), pace.runs)
    if as_json:
        value = _value(settings, spec, measured, request, forecast, basis)
        value |= {"pack": spec.pack, "packs": values(packs), "second_look": again and again.value}
        click.echo(json.dumps(value))
    else:
        console = Console()
        _print(console, settings, spec, measured, request, forecast, basis, again)
        print_packs(console, packs)


def _packs(
    settings: Settings,
    spec: JobSpec,
    learned: LearnedLimits,
    measured: Measured,
    forecast: Estimate,
    forecast_of: Callable[[JobSpec], Estimate],
) -> list[Packed]:
    """The job with other packs beside its own, from the same reading of the headers."""
    whole = _request(settings, spec.model_copy(update={"pack": None}), learned)
    room = whole.capacity.leaf.items + whole.canaries
    most = min(room, len(measured.tokens) + whole.canaries)
    rows = []
    for pack in packs_beside(most, spec.pack, least=2 if spec.canary else 1):
        chosen = pack == (spec.pack or most)
        other = forecast
        if not chosen:
            other = forecast_of(spec.model_copy(update={"pack": pack}))
        rows.append(Packed(pack, other, chosen))
    return rows


def measure(settings: Settings, spec: JobSpec, detail: Detail) -> Measured:
    """Expand the inputs and read every header. Raises WrongUsage as ``overstory run`` does."""
    limits = settings.image_limits
    decoder = Decoder(settings.decoder_limits)
    sources = expand(spec.images, limits, decoder, settings.own_inputs).sources
    measured = Measured(Distinct.of(sources))
    distinct = measured.distinct.indices
    details = (detail, detail_at(spec.detail or settings.detail, look=2))
    with ThreadPoolExecutor(THREADS) as pool:
        results = pool.map(
            lambda index: _tokens(sources[index], decoder, limits, *details), distinct
        )
    for index, tokens in zip(distinct, results, strict=True):
        measured.urls += location.is_url(sources[index].location)
        if isinstance(tokens, str):
            measured.unusable.append((sources[index].name, tokens))
            measured.tokens.append(None)
            continue
        measured.tokens.append(tokens[0])
        measured.again.append(tokens[1])
    measured.work = _work([sources[index] for index in distinct], spec.fetch)
    return measured


def _work(images: Sequence[Source], fetch: bool) -> Work:
    """What is to be prepared here: URLs only with ``fetch``, and of unknown size."""
    ours = [image for image in images if fetch or not location.is_url(image.location)]
    files = [image for image in ours if image.page is None]
    return Work(len(files), sum(image.bytes or 0 for image in files), len(ours) - len(files))


def _tokens(
    source: Source, decoder: Decoder, limits: ImageLimits, *details: Detail
) -> tuple[int, ...] | str:
    """Prompt tokens of one image at each of ``details``, or why it will fail."""
    return image_tokens(source.location, source.root, source.page, decoder, limits, *details)


def _learned(settings: Settings, spec: JobSpec, model: str) -> LearnedLimits:
    database = Database(database_url(settings))
    return learned_limits(database, settings.endpoint, model, spec.canary)


def _request(
    settings: Settings, spec: JobSpec, learned: LearnedLimits, look: int = 1
) -> RequestContext:
    first = spec.model or settings.model
    return request_context(
        settings,
        question=spec.question,
        model=first if look == 1 else spec.second_model or first,
        provider=settings.provider,
        endpoint=settings.endpoint,
        detail=detail_at(spec.detail or settings.detail, look),
        options=spec.looking_twice(spec.detail or settings.detail),
        learned=learned,
    )


def _past(settings: Settings, model: str) -> Sequence[PastCall]:
    database = Database(database_url(settings))
    with database.read() as connection:
        return inspect.past_calls(connection, model, settings.endpoint)


def _pace(settings: Settings, work: Work) -> Pace:
    cores = settings.cpu_workers or os.cpu_count() or 1
    with Database(database_url(settings)).read() as connection:
        runs = inspect.past_runs(connection, settings.endpoint)
    return pace_of(runs, work, cores, settings.upload_threads)


def _prices(settings: Settings, model: str) -> str:
    """Where the price is from, for people."""
    known = settings.find_price(model)
    if known is None:
        return "no price known: set OVERSTORY_PRICES"
    if settings.price_is_old(known):
        return f"prices {known.source}, which are old: compare them, set OVERSTORY_PRICES"
    return f"prices {known.source}"


def _reached(forecast: Estimate, budget: float) -> int:
    """How many images a budget lets be looked at before it pauses the job."""
    return sum(call.images for call in forecast.calls[: reached(budget, forecast.calls)])


def _value(
    settings: Settings,
    spec: JobSpec,
    measured: Measured,
    request: RequestContext,
    forecast: Estimate,
    basis: Basis,
) -> dict[str, Any]:
    known = settings.find_price(request.model)
    return {
        "images": measured.submitted,
        "usable": measured.images,
        "duplicate": measured.duplicates,
        "unusable": [{"name": name, "error": why} for name, why in measured.unusable],
        "urls": measured.urls,
        "requests": forecast.requests,
        "tree": {"depth": forecast.depth, "nodes": forecast.nodes, "leaves": forecast.leaves},
        "prompt_tokens": forecast.prompt_tokens,
        "completion_tokens": forecast.completion_tokens,
        "cost": round(forecast.cost, 6),
        "cost_most": round(forecast.cost_most, 6),
        "budget_enough": forecast.budget,
        "budget": None if spec.budget is None else _budget(forecast, spec.budget),
        "currency": forecast.currency,
        "prices_as_of": None if known is None else str(known.as_of),
        "prices_source": None if known is None else known.source,
        "seconds": round(forecast.seconds, 1),
        "binds": forecast.binds,
        "past_calls": basis.calls,
        "past_runs": basis.runs,
        "model": request.model,
        "detail": spec.detail or settings.detail,
        "limits": asdict(settings.limits),
        "sandbox": settings.uses_sandbox,
    }


def _budget(forecast: Estimate, budget: float) -> dict[str, Any]:
    requests = reached(budget, forecast.calls)
    return {
        "given": budget,
        "enough": requests == forecast.requests,
        "requests": requests,
        "images": _reached(forecast, budget),
    }


def _print(
    console: Console,
    settings: Settings,
    spec: JobSpec,
    measured: Measured,
    request: RequestContext,
    forecast: Estimate,
    basis: Basis,
    again: SecondLook | None,
) -> None:
    limits = settings.limits
    images = [f"{measured.images:,} usable"]
    if measured.duplicates:
        images.append(f"{pluralize(measured.duplicates, 'duplicate')} at no cost")
    if measured.unusable:
        images.append(f"{len(measured.unusable):,} unusable")
    leaves = pluralize(forecast.leaves, "leaf", "leaves")
    shape = f" ({leaves}, depth {forecast.depth})" if forecast.nodes > 1 else ""
    charged = ", not charged: sandbox" if settings.uses_sandbox else ""
    prices = _prices(settings, request.model)
    detail = spec.detail or settings.detail
    rows = [
        ("images", f"{measured.submitted:,}: {', '.join(images)}"),
        ("requests", f"{forecast.requests:,}{shape}"),
        ("prompt", f"{forecast.prompt_tokens:,} tokens at {detail} detail"),
        ("written", f"{forecast.completion_tokens:,} tokens ({_source(basis.calls, 'past call')})"),
        ("cost", f"{forecast.cost:.4f} {forecast.currency} ({request.model}, {prices}{charged})"),
        ("", f"{forecast.cost_most:.4f} at most, if every reply has the maximum length"),
        (
            "time",
            (
                f"about {duration(forecast.seconds)} ({_source(basis.runs, 'past job')}), held by"
                f" {BINDS[forecast.binds]} ({limits.concurrency:,} in flight, {limits.rpm:,}"
                f" requests and {limits.tpm:,} tokens a minute)"
            ),
        ),
    ]
    if settings.find_price(request.model) is not None:
        rows[6:6] = _budget_rows(spec, measured, forecast)
    if again is not None:
        rows.insert(6, again.row)
    if measured.urls:
        rows.insert(1, ("", f"{pluralize(measured.urls, 'URL')}, counted as images of full size"))
    grid = Table.grid(padding=(0, 2))
    for term, value in rows:
        grid.add_row(Text(term, "dim"), Text(value))
    console.print(grid)
    for name, why in measured.unusable[:UNUSABLE_SHOWN]:
        print_plain(console, f"  {name}: {why}")
    if len(measured.unusable) > UNUSABLE_SHOWN:
        console.print(f"  and {len(measured.unusable) - UNUSABLE_SHOWN:,} more")


def _source(count: int, unit: str) -> str:
    return f"from {pluralize(count, unit)}" if count else f"a guess without {unit}s"


def _budget_rows(spec: JobSpec, measured: Measured, forecast: Estimate) -> list[tuple[str, str]]:
    """The budget that would do, and what the given one would do."""
    enough = f"{plain(forecast.budget)} {forecast.currency}"
    rows = [("budget", f"{enough} should not pause the job: --budget {plain(forecast.budget)}")]
    if spec.budget is None:
        return rows
    given = f"--budget {plain(spec.budget)}"
    if reached(spec.budget, forecast.calls) == forecast.requests:
        return [*rows, ("", f"{given} would do")]
    images = f"{_reached(forecast, spec.budget):,} of {pluralize(measured.images, 'image')}"
    return [*rows, ("", f"{given} would pause the job after about {images}")]
