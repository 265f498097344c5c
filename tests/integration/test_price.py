"""The price of a job is said before it is spent, and a person is asked where it is much."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from rich.console import Console

from core.account.habit import usual_tokens
from core.errors import WrongUsage
from core.jobs import JobSpec
from core.settings import Settings, load
from core.states import JobStatus, NodeKind
from models import state
from models.engine import Database
from models.reads import pipeline
from overstory.local.job_runner import planning_services
from overstory.local.price import NOT_AGREED, agree, holds_new_jobs
from tasks import followups
from tasks import submit as submitting
from tests.support import jobs

PRICES = {"as_of": "2026-11-20", "models": {"m": {"prompt": 1000, "completion": 1000}}}
LEAF = 60 * 171 + usual_tokens(NodeKind.LEAF, 60)
"""Tokens of a leaf's images and its reply; a thousandth of it is their price in USD."""


@pytest.fixture
def paid(own: Database, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of an endpoint that costs money."""
    monkeypatch.setenv("OVERSTORY_API_KEY", "key")
    monkeypatch.setenv("OVERSTORY_PRICES", json.dumps(PRICES))
    return load()


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Agree on a terminal, or in a pipe, and return what was shown on stderr."""

    def agreeing(
        settings: Settings,
        database: Database,
        job: str,
        answer: str | None = None,
        yes: bool = False,
        quiet: bool = False,
    ) -> str:
        shown = io.StringIO()
        stdin = io.StringIO(answer or "")
        stdin.isatty = lambda: answer is not None  # type: ignore[method-assign]
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(sys, "stderr", shown)
        console = Console(file=shown, force_terminal=answer is not None, width=200)
        try:
            agree(settings, database, job, console, quiet, yes)
        except click.Abort:
            shown.write("ABORTED")
        return shown.getvalue()

    return agreeing


def new_job(database: Database, **options: object) -> str:
    job = jobs.submit(database, [60], **options)
    with database.write() as connection:
        state.job_moved(connection, job, JobStatus.PAUSED, NOT_AGREED)
    return job


def test_the_price_counts_images_that_are_not_prepared_yet(own, paid, say) -> None:
    said = say(paid, own, new_job(own), yes=True)
    price = float(said.partition("about ")[2].split()[0])
    assert LEAF / 1000 < price < 1.1 * LEAF / 1000
    assert "1 request over 60 images" in said
    assert "a guess without past calls" in said
    assert "y/N" not in said


@pytest.mark.parametrize(
    ("answer", "goes_on"), [("y\n", True), ("n\n", False), ("\n", False), ("", False)]
)
def test_a_person_is_asked_before_much_is_spent(own, paid, say, answer, goes_on) -> None:
    job = new_job(own)
    said = say(paid, own, job, answer=answer)
    assert said.count("[y/N]") == 1
    assert ("ABORTED" in said) is not goes_on
    assert (f"nothing was sent: 'overstory resume {job}'" in said) is not goes_on
    with own.read() as connection:
        assert pipeline.job_status(connection, job) == JobStatus.PAUSED  # serving it resumes it


def test_off_a_terminal_much_is_spent_only_with_yes(own, paid, say) -> None:
    job = new_job(own)
    with pytest.raises(WrongUsage, match=r"add --yes, or a limit with --budget\. Nothing"):
        say(paid, own, job)
    assert "y/N" not in say(paid, own, job, yes=True)
    assert say(paid, own, job, yes=True, quiet=True) == ""


def test_nobody_is_asked_about_what_is_cheap_limited_or_begun(own, paid, say) -> None:
    cheap = paid.model_copy(update={"confirm_above": 1_000.0})
    assert "y/N" not in say(cheap, own, new_job(own))
    limited = say(paid, own, new_job(own, budget=2.0))
    assert "y/N" not in limited
    assert "; budget 2.00 USD" in limited
    assert "y/N" not in say(paid, own, jobs.submit(own, [60]))  # a run that was interrupted


def test_a_model_without_a_price_is_named(own, paid, say) -> None:
    free = paid.model_copy(update={"prices": None})
    assert "the price of m is not known: set OVERSTORY_PRICES" in say(free, own, new_job(own))


def test_a_cancelled_job_is_counted_and_asked_about_again(own, paid, say) -> None:
    job = new_job(own)
    with own.write() as connection:
        state.job_cancelled(connection, job, state.Moved())
    assert "1 request over 60 images" in say(paid, own, job, answer="n\n")
    with own.read() as connection:
        assert pipeline.job_standing(connection, job) == (JobStatus.PAUSED, NOT_AGREED)


def test_new_jobs_of_a_command_begin_paused_but_not_in_the_sandbox(
    own, paid, tmp_path: Path, make_images
) -> None:
    assert holds_new_jobs(paid) == NOT_AGREED
    assert holds_new_jobs(load(api_key=None)) is None
    services = planning_services(paid)
    services.holds_new_jobs = NOT_AGREED
    photos = str(make_images(1))
    job = submitting.submit(services, JobSpec(images=[photos], ask="?", model="m")).job_id
    with own.read() as connection:
        assert pipeline.job_standing(connection, job) == (JobStatus.PAUSED, NOT_AGREED)


def test_the_default_budget_is_that_of_a_job_which_names_none(
    own, paid, make_images, monkeypatch
) -> None:
    services = planning_services(paid.model_copy(update={"budget": 0.5}))
    photos = str(make_images(1))

    def budget(**given: float) -> float | None:
        spec = JobSpec(images=[photos], ask=f"? {given}", model="m", **given)
        submitted = submitting.submit(services, spec)
        with own.read() as connection:
            job = pipeline.job(connection, submitted.job_id)
        assert job is not None
        return job.options.budget

    assert (budget(), budget(budget=2.0)) == (0.5, 2.0)


@pytest.mark.parametrize(("given", "kept"), [(None, 0.25), (0.75, 0.75)])
def test_a_job_that_continues_another_has_its_budget_or_one_of_its_own(
    own, paid, given, kept
) -> None:
    base = jobs.submit(own, [2], budget=0.25)
    jobs.finish_all(own, jobs.upload_all(own, base))
    turn = followups.ask(planning_services(paid), base, "And?", budget=given)
    with own.read() as connection:
        job = pipeline.job(connection, turn.job_id)
    assert job is not None
    assert job.options.budget == kept
    again = followups.ask(planning_services(paid), base, "And?", budget=0.9)
    assert again.job_id == turn.job_id
    with own.read() as connection:
        job = pipeline.job(connection, turn.job_id)
    assert job is not None
    assert job.options.budget == 0.9
