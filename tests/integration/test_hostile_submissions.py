"""Submissions at their limits: refused with a sentence, and nobody else waits longer for them."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from clients.images.decoder import Decoder
from clients.sources.expand import expand
from core.answers.patterns import compiled
from core.errors import WrongUsage
from core.images.sizing import DecoderLimits, ImageLimits
from core.jobs import INPUT_CHARACTERS_MAX, JobSpec, parse_spec
from core.states import JobStatus
from tasks import submit as submitting
from tasks.submit import TimeLimit
from tests.support.account import Account, on_one_database

OpenAccount = Callable[..., Account]
MakeImages = Callable[..., Path]

THREADS = 16
"""Of the worker that submits (OVERSTORY_UPLOAD_THREADS)."""
LIMIT_SECONDS = 1.0


def submit(account: Account, spec: JobSpec, seconds: float = LIMIT_SECONDS) -> str:
    return submitting.submit(account.services, spec, limit=TimeLimit(seconds)).job_id


@on_one_database
def test_16_hostile_submissions_hold_an_innocent_one_no_longer_than_their_limit(
    open_account: OpenAccount, make_images: MakeImages
) -> None:
    account = open_account(start=False)
    folder = make_images(40)
    hostile = [
        JobSpec(images=[str(folder)] * 100_000, ask="?", key=f"hostile-{n}") for n in range(THREADS)
    ]
    innocent = JobSpec(images=[str(folder / "0000.jpg")], ask="?")
    with ThreadPoolExecutor(THREADS) as pool:
        held = [pool.submit(submit, account, spec) for spec in hostile]
        began = time.monotonic()
        job = pool.submit(submit, account, innocent, 60.0).result()
        waited = time.monotonic() - began
        reasons = {str(each.exception()) for each in held}
    assert account.job(job).submitted == 1
    (reason,) = reasons
    assert "took longer than 1 s (OVERSTORY_SUBMIT_SECONDS)" in reason
    # one input may be under way when the time is over, and 17 threads share the interpreter
    assert waited < 3 * LIMIT_SECONDS


def test_inputs_are_expanded_until_the_time_is_over(make_images: MakeImages) -> None:
    clock = iter([0.0, 1.0, 2.0, 3.5])
    limit = TimeLimit(3.0, lambda: next(clock))
    inputs = [str(make_images(1))] * 4
    decoder = Decoder(DecoderLimits())
    with pytest.raises(WrongUsage, match="took longer than 3 s"):
        expand(inputs, ImageLimits(), decoder, check=limit.check)
    assert next(clock, None) is None  # the third input was one too many


@on_one_database
def test_a_person_waits_for_the_own_inputs_without_a_limit(
    open_account: OpenAccount, make_images: MakeImages
) -> None:
    account = open_account(start=False)
    spec = JobSpec(images=[str(make_images(3))] * 50, ask="?")
    job = submitting.submit(account.services, spec, natural=True).job_id
    assert account.job(job).submitted == 150


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"images": ["a.jpg", "x" * (INPUT_CHARACTERS_MAX + 1)]},
         "input 2 has 8,193 characters, and 8,192 is the most"),
        ({"images": ["https://h/" + "x" * INPUT_CHARACTERS_MAX]}, "8,192 is the most"),
        ({"images": [1] * 100_000}, "and 99,995 more"),
        ({"x" * 1_000_000: 1}, r"\.\.\."),
        ({"model": "x" * 1_000}, "at most 255 characters"),
        ({"ask": "x" * 100_001}, "at most 100000 characters"),
        ({"prompts": {"leaf": "x" * 1_000_000}}, "more than 20,000 characters"),
        ({"prompts": {str(n): "x" for n in range(100_000)}}, "there is no text 0.txt"),
    ],
)  # fmt: skip
def test_a_large_field_is_refused_in_a_short_sentence(
    values: dict[str, object], reason: str
) -> None:
    with pytest.raises(WrongUsage, match=reason) as refused:
        parse_spec({"images": ["a.jpg"], "ask": "?"} | values)
    assert len(str(refused.value)) < 3_000


@on_one_database
@pytest.mark.timeout(120)
def test_a_pattern_that_would_backtrack_for_ever_ends_its_job_and_no_worker(
    open_account: OpenAccount, make_images: MakeImages
) -> None:
    """The sandbox ignores patterns, as an endpoint without constrained decoding does. Its lines
    have a comma after some words, on which ``re`` tries every division of the words."""
    pattern = r"^(\w+\s?)*$"
    assert not compiled(pattern).is_in("mostly grey, bright")
    schema = {
        "type": "object",
        "properties": {"line": {"type": "string", "minLength": 60, "pattern": pattern}},
        "required": ["line"],
    }
    account = open_account(concurrency=2)
    folder = make_images(3)
    hostile = account.submit(folder, ask=None, each="What is it?", schema=schema)
    honest = account.submit(folder, ask=None, each="Which colour is it?")
    of_hostile, of_honest = account.ended(hostile, honest)
    assert of_hostile.status == JobStatus.FAILED
    assert of_honest.status == JobStatus.COMPLETED
    replayed = account.submit(folder, ask=None, each="What is it?", schema=schema, key="again")
    assert account.ended(replayed)[0].status == JobStatus.FAILED  # from the ledger
