"""A model that nobody knows: what a budget holds for its calls, and what its replies teach."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from core.account.token_fit import TokenFit
from core.catalog.image_tokens import image_tokens_of
from core.jobs import JobSpec
from core.reply import Reply, Usage
from core.requests.request import image_urls, prompt_text
from core.settings import Settings
from core.states import JobStatus
from models import endpoint_limits, endpoint_probes, ledger
from models.reads import pipeline
from models.tables import Call
from overstory.local.probe_price import probe_hint, worthwhile_probe
from tasks import submit
from tests.support.one_process import Endpoint, Whole, make_files, whole

URL = "http://models.example/v1"
MODEL = "nobody-knows"
PRICES = f'{{"as_of": "2026-11-20", "models": {{"{MODEL}": {{"prompt": 1, "completion": 1}}}}}}'
TEXT_RATE = 0.24
PATCHES = 26 * 20
"""Of 28 x 28 pixels, of the pictures that tests.support.one_process prepares (728 x 546)."""
CROPS = 13 * 256
"""Of the same pictures, as InternVL cuts them."""


class Biller(Endpoint):
    """Bills ``tokens`` for each image."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.tokens = tokens

    def chat(self, body: dict[str, Any], inline: Any) -> Reply:
        reply = super().chat(body, inline)
        text = math.ceil(TEXT_RATE * len(prompt_text(body).encode()))
        return replace(reply, usage=Usage(text + self.tokens * len(image_urls(body)), 0, 20))


@pytest.fixture
def unknown(home: Path) -> Callable[..., Any]:
    @contextmanager
    def opened(tokens: int, **settings: Any) -> Iterator[Whole]:
        """Services whose endpoint bills so many tokens an image."""
        options = {"base_url": URL, "model": MODEL, "prices": PRICES}
        with whole(home / "state", **options | settings) as job:
            endpoint = Biller(tokens)
            job.services.make_provider = lambda: endpoint
            yield job

    return opened


def run(job: Whole, folder: Path, ask: str = "What?", **spec: Any) -> str:
    job_id = submit.submit(job.services, JobSpec(images=[str(folder)], ask=ask, **spec)).job_id
    while job.step():
        pass
    return job_id


def learned(job: Whole):
    with job.services.database.read() as connection:
        return endpoint_limits.learned(connection, URL, MODEL)


@pytest.mark.parametrize("tokens", [85, PATCHES, CROPS])
@pytest.mark.parametrize("budget", [0.15, 0.3, 0.6])
def test_a_budget_is_not_passed_whatever_an_image_takes(unknown, home, tokens, budget) -> None:
    with unknown(tokens) as job:
        job_id = run(job, make_files(home / "files", 300), budget=budget, pack=20)
        with job.services.database.read() as connection:
            spent = ledger.money(connection, job_id)
            row = pipeline.job(connection, job_id)
    assert row is not None
    assert 0 < spent.spent <= budget, row
    takes = 300 * tokens / 1e6
    assert (row.status is JobStatus.COMPLETED) is (takes < 0.9 * budget), row.reason


def test_replies_teach_how_images_count(unknown, home) -> None:
    with unknown(PATCHES) as job:
        folder = make_files(home / "files", 240)
        assert learned(job).image_tokens is None
        run(job, folder, pack=20)
        fit = learned(job).image_tokens
        assert isinstance(fit, TokenFit)
        assert fit.of(728, 546, "low") == pytest.approx(PATCHES, rel=0.02)
        assert PATCHES < fit.bound(728, 546, "low") < 1.3 * PATCHES
        job_id = run(job, folder, ask="What else?", pack=20)
        with job.services.database.read() as connection:
            spent = ledger.money(connection, job_id).spent
            calls = ledger.reports_usage(connection, URL, MODEL)
    assert calls is True
    assert spent > 240 * PATCHES / 1e6


def test_a_probe_is_offered_only_where_nothing_is_known(unknown, home) -> None:
    with unknown(PATCHES) as job:

        def offered(settings: Settings, model: str = MODEL, has_past: bool = False):
            with job.services.database.read() as connection:
                told = endpoint_limits.learned(connection, settings.endpoint, model)
                return worthwhile_probe(settings, connection, model, told, has_past)

        settings = job.services.settings
        price = offered(settings)
        assert price is not None
        assert price.calls == 5
        assert price.cost == pytest.approx(price.tokens / 1e6)
        hint = probe_hint(settings, MODEL, price)
        assert hint.startswith("nothing is known of nobody-knows at models.example")
        assert "'overstory doctor --probe' measures it with 5 calls" in hint
        assert "OVERSTORY_MODEL=other overstory" in probe_hint(settings, "other", price)
        assert offered(settings, "gpt-4o") is None
        assert offered(settings, has_past=True) is None
        stepfun = settings.model_copy(update={"base_url": "https://api.stepfun.ai/v1"})
        assert offered(stepfun) is None
        run(job, make_files(home / "files", 3))
        assert offered(settings) is None
        with job.services.database.write() as connection:
            endpoint_probes.forget(connection)
        assert offered(settings) is not None


def test_a_known_formula_gives_way_to_what_enough_calls_show(unknown, home) -> None:
    """A server with llava-1.5 takes 576 tokens an image by its formula; this one takes more."""
    with unknown(PATCHES * 3, model="llava-1.5-7b", prices=None) as job:
        run(job, make_files(home / "files", 400), pack=16)
        with job.services.database.read() as connection:
            told = endpoint_limits.learned(connection, URL, "llava-1.5-7b")
        counted = image_tokens_of(job.services.settings.facts_of("llava-1.5-7b"), told.image_tokens)
    assert counted is told.image_tokens
    assert counted.of(728, 546, "low") == pytest.approx(3 * PATCHES, rel=0.02)


def test_leaves_planned_by_a_guess_are_divided_by_what_replies_have_shown(unknown, home) -> None:
    context = 24_000
    with unknown(CROPS, context_tokens=context) as job:
        run(job, make_files(home / "few", 12), pack=2)
        job_id = run(job, make_files(home / "many", 60))
        with job.services.database.read() as connection:
            row = pipeline.job(connection, job_id)
            shown = connection.execute(
                select(Call.images, Call.prompt_tokens).where(Call.job_id == job_id)
            ).all()
    assert row is not None
    assert row.status is JobStatus.COMPLETED
    assert sum(call.images for call in shown) == 60
    assert all(call.prompt_tokens < context for call in shown)
