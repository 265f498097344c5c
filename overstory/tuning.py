"""Labelled images asked under several settings, and what each setting was worth."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from core.account.estimate import time_at
from core.account.habit import habit_of
from core.answers.spec import values_of
from core.catalog.models import cost
from core.catalog.tokens import Detail
from core.errors import WrongUsage
from core.jobs import JobSpec
from core.settings import Settings
from core.states import NodeKind
from core.truth.choice import Choice, Tried, choose
from core.truth.comparison import Verdict, compare
from core.truth.rules import Rule
from core.truth.score import Case, Score, score
from core.truth.truth import Truth
from models.engine import Database
from models.reads import inspect, pipeline
from models.reads.export import pages
from models.reads.pipeline import JobRow
from overstory.checking import json_of_field

PER = 1000
"""Images that cost and time are given for."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Images a request at most, detail and model."""

    pack: int
    detail: Detail
    model: str

    def __str__(self) -> str:
        return f"pack {self.pack}, {self.detail} detail, {self.model}"


@dataclass(frozen=True, slots=True)
class Measured:
    """A setting that was asked. ``shares``: of each image, in the order of the sample, the share
    (0..1) of its labelled fields that are right. Tokens are of all images of the sample. ``cost``
    and ``seconds`` are for 1,000 images at this account's limits; the cost is 0 if no price is
    known. ``paid``: what this job has cost by now, in the account's currency."""

    setting: Setting
    job: str
    score: Score
    shares: tuple[float, ...]
    unanswered: int
    prompt_tokens: int
    completion_tokens: int
    cost: float
    seconds: float
    paid: float

    @property
    def images(self) -> int:
        return len(self.shares)

    @property
    def tokens(self) -> float:
        """Of an image, on average."""
        return (self.prompt_tokens + self.completion_tokens) / self.images

    @property
    def mean(self) -> float:
        return sum(self.shares) / len(self.shares)


def settings_of(
    packs: Sequence[int], details: Sequence[Detail], models: Sequence[str], images: int
) -> list[Setting]:
    """Each combination once. A pack of more images than there are is one of all images."""
    fitting = sorted({min(pack, images) for pack in packs})
    return [
        Setting(pack, detail, model) for model in models for detail in details for pack in fitting
    ]


def spec_for(base: JobSpec, setting: Setting, images: Sequence[str], seed: int) -> JobSpec:
    """The job that asks ``images`` under ``setting``. Their order is drawn for each setting, so
    that position and neighbours decide nothing, and is the same again the next time. It takes no
    reply of another job, because that may be one with other neighbours."""
    order = list(images)
    random.Random(f"{seed}:{setting}").shuffle(order)  # noqa: S311 - a draw, no secret
    changes = {
        "images": order,
        "pack": setting.pack,
        "detail": setting.detail,
        "model": setting.model,
        "label": f"tune {setting}",
        "fresh": True,
    }
    return base.model_copy(update=changes)


def measure(
    settings: Settings,
    database: Database,
    job: JobRow,
    setting: Setting,
    places: Mapping[str, str],
    truth: Truth,
    rules: Mapping[str, Rule],
) -> Measured:
    """What the answers of ``job`` are worth. ``places``: labelled name -> location of its image."""
    with database.read() as connection:
        used = pipeline.used(connection, job.id)
        past = inspect.past_calls(connection, job.model, settings.endpoint)
    answers = _answers(database, job)
    cases = [
        Case(number, name, truth.rows[name], answers.get(place))
        for number, (name, place) in enumerate(places.items(), 1)
    ]
    requests = ceil(PER / setting.pack)
    tokens = round((used.prompt_tokens + used.completion_tokens) * PER / len(cases))
    habit = habit_of([call for call in past if call.images == setting.pack] or past)
    paid = cost(settings.price_of(job.model), used.prompt_tokens, 0, used.completion_tokens)
    values = values_of(job.options)
    written = habit.completion_tokens(NodeKind.LEAF, setting.pack, values)
    each = habit.seconds(NodeKind.LEAF, written)
    return Measured(
        setting=setting,
        job=job.id,
        score=score(cases, rules, random.Random(setting.pack)),  # noqa: S311 - statistics
        shares=tuple(_share(case, rules) for case in cases),
        unanswered=sum(case.answer is None for case in cases),
        prompt_tokens=used.prompt_tokens,
        completion_tokens=used.completion_tokens,
        cost=paid * PER / len(cases),
        seconds=time_at(settings.sure_limits, requests, requests, tokens, each)[0],
        paid=used.cost,
    )


def _share(case: Case, rules: Mapping[str, Rule]) -> float:
    """A field of which only a wrong answer is known may not be judged, and does not count."""
    verdicts = list(compare(case.truth, case.answer, rules).values())
    return verdicts.count(Verdict.RIGHT) / max(len(verdicts), 1)


def _answers(database: Database, job: JobRow) -> dict[str, Any]:
    """Location -> answer. A duplicate has its original's."""
    images = [image for page in pages(database, job.id, with_notes=False) for image in page]
    by_position = {image.position: image for image in images}
    return {
        image.location: by_position.get(image.duplicate_of or 0, image).answer for image in images
    }


def chosen(measured: Sequence[Measured], seed: int) -> Choice:
    """The cheapest setting that is not worse than the best; where a price is not known, the one
    with the fewest tokens. Raises WrongUsage if none was asked."""
    if not measured:
        raise WrongUsage("no setting was asked, so none can be chosen: give a larger --budget")
    priced = all(one.cost for one in measured)
    tried = [Tried(one.shares, one.cost if priced else one.tokens, one.seconds) for one in measured]
    return choose(tried, random.Random(seed))  # noqa: S311 - statistics, no secret


def reason_for(choice: Choice, measured: Sequence[Measured]) -> str:
    """One sentence: why this setting, with the interval of what it may lose."""
    one, best = measured[choice.chosen], measured[choice.best]
    images = one.images
    if len(measured) == 1:
        return f"it is the only setting that was asked, with {images} images"
    if choice.chosen == choice.best:
        if any(result.worse for result in choice.against):
            return (
                "it has the best answers, and every cheaper setting is worse beyond chance (paired"
                f" test over the same {images} images)"
            )
        return f"it is the cheapest, and no other has better answers, with {images} images"
    result = choice.against[choice.chosen]
    low, high = round(100 * result.low), round(100 * result.high)
    return (
        f"it is the cheapest that is not shown to be worse than the best, {best.setting} (paired"
        f" test over the same {images} images): it is between {max(0, -low)} points worse and"
        f" {max(0, high)} better; {4 * images} labelled images would halve that range"
    )


def json_of(
    measured: Sequence[Measured], skipped: Mapping[Setting, str], choice: Choice
) -> dict[str, Any]:
    """The value that ``tune --json`` prints. ``cost`` and ``seconds`` are for 1,000 images."""
    return {
        "settings": [
            _named(one.setting)
            | {
                "job": one.job,
                "images": one.images,
                "unanswered": one.unanswered,
                "fields": {name: json_of_field(field) for name, field in one.score.fields.items()},
                "prompt_tokens": one.prompt_tokens,
                "completion_tokens": one.completion_tokens,
                "cost": round(one.cost, 6),
                "seconds": round(one.seconds, 1),
                "paid": round(one.paid, 6),
                "worse": result.worse,
                "difference": {"low": result.low, "high": result.high},
            }
            for one, result in zip(measured, choice.against, strict=True)
        ],
        "not_asked": [_named(setting) | {"reason": why} for setting, why in skipped.items()],
        "chosen": _named(measured[choice.chosen].setting)
        | {"reason": reason_for(choice, measured)},
    }


def _named(setting: Setting) -> dict[str, Any]:
    return {"pack": setting.pack, "detail": setting.detail, "model": setting.model}
