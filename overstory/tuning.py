"""Labelled images asked under several settings, and what each setting was worth."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from core.account.estimate import time_at
from core.account.habit import habit_of
from core.catalog.models import cost
from core.catalog.tokens import Detail
from core.errors import WrongUsage
from core.jobs import JobSpec
from core.settings import Settings
from core.truth.choice import Choice, Tried, choose
from core.truth.comparison import Verdict, compare
from core.truth.intervals import wilson
from core.truth.rules import Rule
from core.truth.truth import Truth
from models.engine import Database
from models.reads import inspect, pipeline
from models.reads.export import pages
from models.reads.pipeline import JobRow

PER = 1000
"""Images that cost and time are given for."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Images a request at most, detail and model."""

    pack: int
    detail: Detail
    model: str

    def __str__(self) -> str:
        return f"pack {self.pack}, {self.detail}, {self.model}"


@dataclass(frozen=True, slots=True)
class Measured:
    """A setting that was asked. ``verdicts``: of each image, in the order of the sample. Tokens are
    of all images of the sample; ``cost`` and ``seconds`` are for 1,000 images at this account's
    limits. ``paid``: what this job has cost by now, in the account's currency."""

    setting: Setting
    job: str
    verdicts: tuple[Mapping[str, Verdict], ...]
    prompt_tokens: int
    completion_tokens: int
    cost: float
    seconds: float
    paid: float

    @property
    def unanswered(self) -> int:
        """Images without an answer to any labelled field."""
        return sum(set(one.values()) == {Verdict.UNANSWERED} for one in self.verdicts)

    @property
    def tried(self) -> Tried:
        shares = [
            sum(verdict == Verdict.RIGHT for verdict in one.values()) / len(one)
            for one in self.verdicts
        ]
        return Tried(tuple(shares), self.cost, self.seconds)

    def fields(self) -> dict[str, dict[str, float]]:
        """By field: how many are right of how many, and the 95 % interval of the share."""
        names = dict.fromkeys(name for one in self.verdicts for name in one)
        result = {}
        for name in names:
            known = [one[name] for one in self.verdicts if name in one]
            right = sum(verdict == Verdict.RIGHT for verdict in known)
            low, high = wilson(right, len(known))
            result[name] = {"right": right, "of": len(known), "low": low, "high": high}
        return result


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
    that position and neighbours decide nothing, and is the same again the next time."""
    order = list(images)
    random.Random(f"{seed}:{setting}").shuffle(order)  # noqa: S311 - a draw, no secret
    changes = {
        "images": order,
        "pack": setting.pack,
        "detail": setting.detail,
        "model": setting.model,
        "label": f"tune {setting}",
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
    verdicts = tuple(
        compare(truth.rows[name], answers.get(place), rules) for name, place in places.items()
    )
    count = len(places)
    price = settings.price_of(job.model)
    paid = cost(price, used.prompt_tokens, 0, used.completion_tokens)
    requests = ceil(PER / setting.pack)
    tokens = round((used.prompt_tokens + used.completion_tokens) * PER / count)
    seconds, _ = time_at(settings.limits, requests, requests, 0, tokens, habit_of(past))
    return Measured(
        setting,
        job.id,
        verdicts,
        used.prompt_tokens,
        used.completion_tokens,
        paid * PER / count,
        seconds,
        used.cost,
    )


def _answers(database: Database, job: JobRow) -> dict[str, Any]:
    """Location -> answer. A duplicate has its original's."""
    images = [image for page in pages(database, job.id, with_notes=False) for image in page]
    by_position = {image.position: image for image in images}
    return {
        image.location: by_position.get(image.duplicate_of or 0, image).answer for image in images
    }


def chosen(measured: Sequence[Measured], seed: int) -> Choice:
    """The cheapest setting that is not worse than the best. Raises WrongUsage if none was asked."""
    if not measured:
        raise WrongUsage("no setting was asked, so none can be chosen: give a larger --budget")
    tried = [one.tried for one in measured]
    return choose(tried, random.Random(seed))  # noqa: S311 - statistics, no secret


def reason_for(choice: Choice, measured: Sequence[Measured]) -> str:
    """One sentence: why this setting, with the interval of what it may lose."""
    one, best = measured[choice.chosen], measured[choice.best]
    images = len(one.verdicts)
    if len(measured) == 1:
        return f"it is the only setting that was asked, with {images} images"
    if choice.chosen == choice.best:
        return f"it has the best answers, and every cheaper setting is worse, with {images} images"
    result = choice.against[choice.chosen]
    low, high = round(100 * result.low), round(100 * result.high)
    return (
        f"the cheapest that is not shown to be worse than the best ({best.setting}):"
        f" between {max(0, -low)} points worse and {max(0, high)} better, with {images} images;"
        f" label {4 * images} for half of that"
    )
