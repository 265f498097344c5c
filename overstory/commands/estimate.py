"""``overstory estimate``: what a job will cost, before anything is sent."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
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
from core.catalog.tokens import Detail
from core.images.sizing import ImageLimits
from core.jobs import JobSpec
from core.requests.request import RequestContext, request_context
from core.settings import Settings
from models.engine import Database
from models.reads import inspect
from overstory.commands.specs import spec_of
from overstory.local.home import prepare_command
from overstory.local.price import image_tokens
from overstory.options import budget_option, home_option, json_option, question_options, settings_at
from overstory.output.plural import pluralize
from overstory.output.progress import duration
from overstory.output.terminal import print_plain
from tasks.calls.budget import check_budget
from tasks.job_layout import learned_limits, place
from workers.endpoints import database_url

THREADS = min(8, 2 * (os.cpu_count() or 1))
"""Several threads, because a disk serves several readers at once; each has a decoding process."""
UNUSABLE_SHOWN = 10
BINDS = {
    "concurrency": "calls in flight",
    "rpm": "requests a minute",
    "tpm": "tokens a minute",
    "prepare": "preparing images (CPU)",
    "upload": "uploads",
}


NO_WORK = Work(0, 0, 0)


@dataclass(slots=True)
class Measured:
    """The image set, as far as file headers tell. ``leaves``: for each leaf, the prompt tokens of
    its usable images."""

    submitted: int
    duplicates: int
    urls: int = 0
    leaves: list[list[int]] = field(default_factory=list)
    work: Work = NO_WORK  # images to prepare, without those that the provider fetches
    unusable: list[tuple[str, str]] = field(default_factory=list)

    @property
    def images(self) -> int:
        return sum(map(len, self.leaves))


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

    Sends nothing. Prompt tokens follow from the image sizes in the file headers. Completion tokens
    are estimated from past calls of the model, or guessed if there are none. Requests that are
    paid already are counted too. With --budget, it says whether that budget would pause the job,
    and after how many images.
    """
    settings = settings_at(home)
    spec = spec_of(inputs, options)
    check_budget(settings, spec.model or settings.model, spec.budget)
    prepare_command(settings)
    measured, request = measure(settings, spec)
    past = _past(settings, request.model)
    pace = _pace(settings, measured.work)
    forecast = core_estimate.estimate(
        request,
        measured.leaves,
        habit_of(past),
        settings.price_of(request.model),
        settings.limits,
        ready_in(measured.work, pace),
    )
    basis = Basis(len(past), pace.runs)
    if as_json:
        click.echo(json.dumps(_value(settings, spec, measured, request, forecast, basis)))
    else:
        _print(Console(), settings, spec, measured, request, forecast, basis)


def measure(settings: Settings, spec: JobSpec) -> tuple[Measured, RequestContext]:
    """Expand the inputs and read every header. Raises WrongUsage as ``overstory run`` does."""
    request = _request(settings, spec)
    limits = settings.image_limits
    decoder = Decoder(settings.decoder_limits)
    sources = expand(spec.images, limits, decoder, settings.own_inputs).sources
    placed, leaves = place(sources, request.capacity, request.detail)
    distinct = [index for index, image in enumerate(placed) if image.leaf is not None]
    measured = Measured(len(sources), len(sources) - len(distinct))
    measured.leaves = [[] for _ in range(leaves)]
    with ThreadPoolExecutor(THREADS) as pool:
        results = pool.map(
            lambda index: _tokens(sources[index], decoder, limits, request.detail), distinct
        )
    for index, tokens in zip(distinct, results, strict=True):
        leaf = placed[index].leaf
        measured.urls += location.is_url(sources[index].location)
        if isinstance(tokens, str) or leaf is None:
            measured.unusable.append((sources[index].name, str(tokens)))
        else:
            measured.leaves[leaf].append(tokens)
    measured.leaves = [leaf for leaf in measured.leaves if leaf]
    measured.work = _work([sources[index] for index in distinct], spec.fetch)
    return measured, request


def _work(images: Sequence[Source], fetch: bool) -> Work:
    """What is to be prepared here: URLs only with ``fetch``, and of unknown size."""
    ours = [image for image in images if fetch or not location.is_url(image.location)]
    files = [image for image in ours if image.page is None]
    return Work(len(files), sum(image.bytes or 0 for image in files), len(ours) - len(files))


def _tokens(source: Source, decoder: Decoder, limits: ImageLimits, detail: Detail) -> int | str:
    """Prompt tokens of one image, or why it will fail."""
    return image_tokens(source.location, source.root, source.page, decoder, limits, detail)


def _request(settings: Settings, spec: JobSpec) -> RequestContext:
    model = spec.model or settings.model
    return request_context(
        settings,
        question=spec.question,
        model=model,
        provider=settings.provider,
        endpoint=settings.endpoint,
        detail=spec.detail or settings.detail,
        options=spec.options,
        learned=learned_limits(
            Database(database_url(settings)), settings.endpoint, model, spec.canary
        ),
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
        "detail": request.detail,
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
    rows = [
        ("images", f"{measured.submitted:,}: {', '.join(images)}"),
        ("requests", f"{forecast.requests:,}{shape}"),
        ("prompt", f"{forecast.prompt_tokens:,} tokens at {request.detail} detail"),
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
