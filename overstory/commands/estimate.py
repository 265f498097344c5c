"""``overstory estimate``: what a job will cost, before anything is sent."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from core.account.budget import plain, reached
from core.account.estimate import Estimate
from core.account.packs import packs_beside
from core.account.token_fit import TokenFit
from core.catalog.models import KnownPrice
from core.catalog.tiers import a_minute
from core.images.inputs import InputRules
from core.jobs import JobSpec
from core.requests.request import RequestContext
from core.settings import SANDBOX, Settings
from core.tree.capacity import check_pack
from overstory.commands.packs import BINDS, Packed, print_packs, values
from overstory.commands.second_look import SecondLook, looked_twice
from overstory.commands.specs import spec_of
from overstory.forecasting import (
    Basis,
    Measured,
    basis_of,
    context_of,
    forecast_of,
    learned_of,
    measure,
    opened,
    past_of,
)
from overstory.local.home import prepare_command
from overstory.local.preflight import with_served_model
from overstory.local.probe_price import probe_hint, worthwhile_probe
from overstory.options import budget_option, home_option, json_option, question_options, settings_at
from overstory.output.left_out import print_left_out
from overstory.output.plural import pluralize
from overstory.output.progress import duration
from overstory.output.terminal import print_plain, safe_line
from overstory.profiles import filled
from tasks.calls.budget import check_budget

UNUSABLE_SHOWN = 10


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
    spec = spec_of(inputs, filled(settings.home, options))
    if spec.model is None:
        settings = with_served_model(settings, Console(stderr=True))
    prepare_command(settings)
    forecasting = Forecasting(settings, spec)
    if as_json:
        click.echo(json.dumps(forecasting.value))
        return
    print_left_out(
        Console(stderr=True), forecasting.measured.ignored, forecasting.measured.passed_over
    )
    console = Console()
    _print(console, forecasting)
    print_packs(console, forecasting.packs)
    if forecasting.probe is not None:
        hint = probe_hint(settings, forecasting.request.model, forecasting.probe)
        print_plain(console, f"\n{hint}")


class Forecasting:
    """What a job will take, with packs beside its own. ``rules``: see ``measure``. Raises
    WrongUsage as ``overstory run`` does."""

    def __init__(self, settings: Settings, spec: JobSpec, rules: InputRules | None = None) -> None:
        model = spec.model or settings.model
        check_budget(settings, spec.budget, model, spec.second_model)
        check_pack(settings.facts_of(model), settings.images_per_request, spec.pack)
        self.settings, self.spec = settings, spec
        self._learned = learned_of(settings, spec)
        self.request = context_of(settings, spec, self._learned)
        again = context_of(settings, spec, self._learned, look=2)
        self.measured = measure(settings, spec, self.request, again, rules=rules)
        self.basis = basis_of(settings, model, self.measured.work)
        self._past = cache(partial(past_of, settings))
        self.forecast, self.again = self._looking(spec)
        self.packs = self._packs()
        with opened(settings) as database, database.read() as connection:
            self.probe = worthwhile_probe(
                settings, connection, model, self._learned, bool(self.basis.past)
            )

    @property
    def value(self) -> dict[str, Any]:
        """The object of ``overstory estimate --json``."""
        spec = self.spec
        value = _value(self.settings, spec, self.measured, self.request, self.forecast, self.basis)
        value |= {"pack": spec.pack, "packs": values(self.packs)}
        value["second_look"] = self.again and self.again.value
        value["probe"] = None if self.probe is None else asdict(self.probe)
        return value

    def _looking(self, spec: JobSpec) -> tuple[Estimate, SecondLook | None]:
        """What the job of ``spec`` will take, with its second look."""
        settings = self.settings
        first, again = (context_of(settings, spec, self._learned, look) for look in (1, 2))
        once = forecast_of(settings, first, self.measured, self.basis)
        leaves = [len(leaf) for leaf in self.measured.leaves(first)]
        share = spec.looking_twice(spec.detail or settings.detail).second_look
        twice = self.measured.twice(share)
        return looked_twice(settings, once, first, again, leaves, twice, self._past)

    def _packs(self) -> list[Packed]:
        """The job with other packs beside its own, from the same reading of the headers."""
        spec = self.spec
        alone = spec.model_copy(update={"pack": None})
        whole = context_of(self.settings, alone, self._learned)
        room = whole.capacity.leaf.items + whole.canaries
        most = min(room, len(self.measured.tokens) + whole.canaries)
        rows = []
        for pack in packs_beside(most, spec.pack, least=2 if spec.canary else 1):
            chosen = pack == (spec.pack or most)
            other = self.forecast
            if not chosen:
                other, _ = self._looking(spec.model_copy(update={"pack": pack}))
            rows.append(Packed(pack, other, chosen))
        return rows


def _prices(settings: Settings, known: KnownPrice) -> str:
    """Where the price is from, for people."""
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
    fit = request.image_tokens if isinstance(request.image_tokens, TokenFit) else None
    return {
        "images": measured.submitted,
        "usable": measured.images,
        "duplicate": measured.duplicates,
        **({} if measured.units is None else {"units": len(measured.units.units)}),
        "unusable": [{"name": name, "error": why} for name, why in measured.unusable],
        "ignored": len(measured.ignored),
        "passed_over": len(measured.passed_over),
        "urls": measured.urls,
        **({"similar": True} if spec.similar else {}),  # so all numbers are upper bounds
        "requests": forecast.requests,
        "tree": {"depth": forecast.depth, "nodes": forecast.nodes, "leaves": forecast.leaves},
        "prompt_tokens": forecast.prompt_tokens,
        "image_tokens_source": request.image_tokens.source,
        "image_tokens_calls": fit.calls if fit else 0,
        "image_tokens_within_percent": fit and fit.within_percent,
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
        "past_calls": len(basis.past),
        "past_runs": basis.pace.runs,
        "model": request.model,
        "detail": spec.detail or settings.detail,
        "limits": asdict(settings.sure_limits),
        "sandbox": settings.endpoint == SANDBOX,
    }


def _budget(forecast: Estimate, budget: float) -> dict[str, Any]:
    requests = reached(budget, forecast.calls)
    return {
        "given": budget,
        "enough": requests == forecast.requests,
        "requests": requests,
        "images": _reached(forecast, budget),
    }


def _print(console: Console, forecasting: Forecasting) -> None:
    settings, spec, request = forecasting.settings, forecasting.spec, forecasting.request
    measured, basis = forecasting.measured, forecasting.basis
    forecast, again = forecasting.forecast, forecasting.again
    limits = settings.sure_limits
    auto = " at first and more if throughput grows" if settings.finds_concurrency else ""
    images = [f"{measured.images:,} usable"]
    if measured.duplicates:
        images.append(f"{pluralize(measured.duplicates, 'duplicate')} at no cost")
    if measured.unusable:
        images.append(f"{len(measured.unusable):,} unusable")
    leaves = pluralize(forecast.leaves, "leaf", "leaves")
    shape = f" ({leaves}, depth {forecast.depth})" if forecast.nodes > 1 else ""
    detail = spec.detail or settings.detail
    rows = [
        ("images", f"{measured.submitted:,}: {', '.join(images)}"),
        *_units(measured, spec.by),
        ("requests", f"{forecast.requests:,}{shape}"),
        ("prompt", f"{forecast.prompt_tokens:,} tokens at {detail} detail"),
        (
            "written",
            f"{forecast.completion_tokens:,} tokens ({_source(len(basis.past), 'past call')})",
        ),
        (
            "time",
            (
                f"about {duration(forecast.seconds)} ({_source(basis.pace.runs, 'past job')}),"
                f" held by {BINDS[forecast.binds]} ({limits.concurrency:,} in flight"
                f"{auto}, {a_minute(limits)})"
            ),
        ),
    ]
    rows[-1:-1] = _cost_rows(settings, request.model, forecast)
    if again is not None:
        rows.insert(-1, again.row)
    if settings.find_price(request.model) is not None:
        rows[-1:-1] = _budget_rows(spec, measured, forecast)
    rows[3:3] = _counted(settings, request)
    if spec.similar:
        rows.insert(
            1, ("", "all of them: how many --similar leaves out is known when they are prepared")
        )
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


def _units(measured: Measured, by: str | None) -> list[tuple[str, str]]:
    if measured.units is None:
        return []
    return [("units", f"{len(measured.units.units):,}, by {safe_line(by or '')}")]


def _counted(settings: Settings, request: RequestContext) -> list[tuple[str, str]]:
    """How images are counted, if it is not by the formula of StepFun's own models."""
    entry = settings.facts_of(request.model).entry
    counted = request.image_tokens
    if isinstance(counted, TokenFit):
        against = f": {entry.owner}'s formula does not hold here" if entry else ""
        return [("", f"images counted {counted.source}{against}")]
    if settings.endpoint == SANDBOX or (entry is not None and entry.owner == "StepFun"):
        return []
    return [("", f"images counted {counted.source}")]


def _cost_rows(settings: Settings, model: str, forecast: Estimate) -> list[tuple[str, str]]:
    known = settings.find_price(model)
    if known is None:
        return [("cost", f"not known: there is no price of {model}; set OVERSTORY_PRICES")]
    charged = ", not charged: sandbox" if settings.endpoint == SANDBOX else ""
    told = f"{model}, {_prices(settings, known)}{charged}"
    return [
        ("cost", f"{forecast.cost:.4f} {forecast.currency} ({told})"),
        ("", f"{forecast.cost_most:.4f} at most, if every reply has the maximum length"),
    ]


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
