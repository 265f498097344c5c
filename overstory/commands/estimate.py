"""``overstory estimate``: what a job will take, before anything is sent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from clients.images import prepare
from clients.sources import location
from clients.sources.expand import expand
from clients.sources.location import Source
from core.account import estimate as core_estimate
from core.account.estimate import Estimate, habit_of, tokens_of_size
from core.catalog.tokens import Detail
from core.errors import ImageRefused
from core.images.sizing import ImageLimits
from core.jobs import JobSpec
from core.requests.request import RequestContext, request_context
from core.settings import Settings, load
from core.tree.capacity import expected_tokens
from models.engine import Database
from models.reads import inspect
from overstory.commands.prompts import prompts_option
from overstory.commands.specs import spec_of
from overstory.job_argument import home_option
from overstory.local.home import prepare_command
from overstory.output.plural import pluralize
from overstory.output.progress import duration
from overstory.output.terminal import safe
from tasks.job_layout import place
from tasks.preprocess import limits_of
from workers.endpoints import database_url

THREADS = 8
"""Headers are read from the disk, which serves several readers at once."""
SHOWN = 10
BINDS = {
    "concurrency": "calls in flight",
    "rpm": "requests a minute",
    "tpm": "tokens a minute",
}


@dataclass(slots=True)
class Measured:
    """The set, seen by headers alone. ``leaves``: prompt tokens of each usable image of a leaf."""

    submitted: int
    duplicates: int
    urls: int = 0
    leaves: list[list[int]] = field(default_factory=list)
    unusable: list[tuple[str, str]] = field(default_factory=list)

    @property
    def images(self) -> int:
        return sum(map(len, self.leaves))


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="PATH_OR_URL...")
@click.option("--ask", help="The question about the images.")
@click.option("--each", help="A question asked of every image by itself.")
@click.option("--schema", help="The answer's shape, as overstory run takes it.")
@click.option("--detail", type=click.Choice(["low", "high"]), help="How closely to look.")
@click.option("--model", help="Model to ask (default: OVERSTORY_MODEL).")
@prompts_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
@home_option
def estimate(inputs: tuple[str, ...], as_json: bool, home: Path | None, **options: Any) -> None:
    """Say what a job will take: requests, tokens, money and time. Nothing is sent.

    Images are counted by the dimensions in their headers. What the model will write is taken
    from its past calls, or guessed where there are none. Nothing paid before is subtracted.
    """
    settings = load(**({"home": home} if home else {}))
    spec = spec_of(inputs, options)
    prepare_command(settings)
    measured, asked = measure(settings, spec)
    past = _past(settings, asked.model)
    made = core_estimate.estimate(
        asked,
        measured.leaves,
        habit_of(past),
        settings.price_of(asked.model),
        settings.limits,
    )
    if as_json:
        click.echo(json.dumps(_value(settings, measured, asked, made, len(past))))
    else:
        _print(Console(), settings, measured, asked, made, len(past))


def measure(settings: Settings, spec: JobSpec) -> tuple[Measured, RequestContext]:
    """Expand the inputs and read every header. Raises WrongUsage as ``overstory run`` would."""
    ask = _ask(settings, spec)
    limits = limits_of(settings)
    found = expand(spec.images, limits).sources
    placed, leaves = place(found, ask.capacity, ask.detail)
    distinct = [index for index, image in enumerate(placed) if image.leaf is not None]
    measured = Measured(len(found), len(found) - len(distinct))
    measured.leaves = [[] for _ in range(leaves)]
    with ThreadPoolExecutor(THREADS) as pool:
        tokens = pool.map(lambda index: _tokens(found[index], limits, ask.detail), distinct)
    for index, each in zip(distinct, tokens, strict=True):
        leaf = placed[index].leaf
        measured.urls += location.is_url(found[index].location)
        if isinstance(each, str) or leaf is None:
            measured.unusable.append((found[index].name, str(each)))
        else:
            measured.leaves[leaf].append(each)
    measured.leaves = [leaf for leaf in measured.leaves if leaf]
    return measured, ask


def _tokens(source: Source, limits: ImageLimits, detail: Detail) -> int | str:
    """Prompt tokens of one image, or why it will fail. A URL counts as the largest image."""
    if location.is_url(source.location):
        return expected_tokens(detail)
    try:
        size = prepare.measure(location.check_local(source), limits, source.page)
    except ImageRefused as refusal:
        return refusal.reason
    return tokens_of_size(*size, detail)


def _ask(settings: Settings, spec: JobSpec) -> RequestContext:
    return request_context(
        settings,
        question=spec.question,
        model=spec.model or settings.model,
        provider=settings.provider,
        endpoint=settings.endpoint,
        detail=spec.detail or settings.detail,
        options=spec.options,
    )


def _past(settings: Settings, model: str) -> Sequence[core_estimate.PastCall]:
    database = Database(database_url(settings))
    with database.read() as connection:
        return inspect.past_calls(connection, model, settings.endpoint)


def _prices_as_of(settings: Settings, model: str) -> str | None:
    found = settings.find_price(model)
    return found[1] if found else None


def _value(
    settings: Settings, measured: Measured, ask: RequestContext, made: Estimate, past: int
) -> dict[str, Any]:
    return {
        "images": measured.submitted,
        "usable": measured.images,
        "duplicate": measured.duplicates,
        "unusable": [{"name": name, "error": why} for name, why in measured.unusable],
        "urls": measured.urls,
        "requests": made.requests,
        "tree": {"depth": made.depth, "nodes": made.nodes, "leaves": made.leaves},
        "prompt_tokens": made.prompt_tokens,
        "completion_tokens": made.completion_tokens,
        "cost": round(made.cost, 6),
        "cost_most": round(made.cost_most, 6),
        "currency": made.currency,
        "prices_as_of": _prices_as_of(settings, ask.model),
        "seconds": round(made.seconds, 1),
        "binds": made.binds,
        "past_calls": past,
        "model": ask.model,
        "detail": ask.detail,
        "limits": asdict(settings.limits),
        "sandbox": settings.uses_sandbox,
    }


def _print(
    console: Console,
    settings: Settings,
    measured: Measured,
    ask: RequestContext,
    made: Estimate,
    past: int,
) -> None:
    limits = settings.limits
    images = [f"{measured.images:,} to look at"]
    if measured.duplicates:
        images.append(f"{pluralize(measured.duplicates, 'duplicate')}, free of charge")
    if measured.unusable:
        images.append(f"{len(measured.unusable):,} unusable")
    leaves = pluralize(made.leaves, "leaf", "leaves")
    shape = f" ({leaves}, depth {made.depth})" if made.nodes > 1 else ""
    guess = (
        f"from {pluralize(past, 'past call')}"
        if past
        else "a guess: no past call of this model here"
    )
    charged = ", not charged: sandbox" if settings.uses_sandbox else ""
    known = _prices_as_of(settings, ask.model)
    prices = f", prices of {known}" if known else ", no price known: set OVERSTORY_PRICES"
    rows = [
        ("images", f"{measured.submitted:,}: {', '.join(images)}"),
        ("requests", f"{made.requests:,}{shape}"),
        ("prompt", f"{made.prompt_tokens:,} tokens at {ask.detail} detail"),
        ("written", f"{made.completion_tokens:,} tokens ({guess})"),
        ("cost", f"{made.cost:.4f} {made.currency} ({ask.model}{prices}{charged})"),
        ("", f"{made.cost_most:.4f} if every reply took all the room it is given"),
        (
            "time",
            (
                f"about {duration(made.seconds)}, held by {BINDS[made.binds]}"
                f" ({limits.concurrency:,} in flight, {limits.rpm:,} requests and"
                f" {limits.tpm:,} tokens a minute)"
            ),
        ),
    ]
    if measured.urls:
        rows.insert(
            1, ("", f"{pluralize(measured.urls, 'URL')}, counted as the largest image there is")
        )
    grid = Table.grid(padding=(0, 2))
    for term, value in rows:
        grid.add_row(Text(term, "dim"), Text(value))
    console.print(grid)
    for name, why in measured.unusable[:SHOWN]:
        console.print(safe(f"  {name}: {why}"), markup=False, highlight=False, soft_wrap=True)
    if len(measured.unusable) > SHOWN:
        console.print(f"  and {len(measured.unusable) - SHOWN} more")
