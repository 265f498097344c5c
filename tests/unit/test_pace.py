"""How long preparing and uploading takes, by past jobs."""

from __future__ import annotations

import pytest

from core.account.estimate import Habit, estimate
from core.account.pace import (
    NOTHING_TO_DO,
    START_SECONDS,
    UPLOAD_SECONDS,
    Pace,
    PastRun,
    Ready,
    Work,
    pace_of,
    ready_in,
)
from core.answers.spec import AnswerSpec
from core.catalog.facts import facts_of
from core.catalog.models import Price
from core.catalog.tiers import AccountLimits
from core.requests.request import RequestContext
from core.tree.capacity import capacity_of

EACH = AnswerSpec(None, "What is it?", None, "text")
FILES = Work(1_000, 1_000_000_000, 0)


def run(work: Work = FILES, prepared: float = 52.0, uploaded: float = 52.0) -> PastRun:
    return PastRun(work, 2.0, 1.0 + prepared / 2, prepared, work.images, 2.5, uploaded)


def ready(work: Work, pace: Pace) -> Ready:
    """None of the images is prepared yet."""
    return ready_in(work, work.images, pace)


def test_what_is_prepared_is_only_uploaded():
    done = ready_in(Work(0, 0, 0), 1_000, pace_of([run()], FILES, 2, 16))
    assert (done.start, done.prepare) == (2.0, 0.0)
    assert done.upload == ready(FILES, pace_of([run()], FILES, 2, 16)).upload > 0.0


def test_without_a_past_more_cores_and_threads_are_faster():
    slow, fast = pace_of([], FILES, 1, 1), pace_of([], FILES, 4, 16)
    assert slow.runs == 0
    assert slow.start == START_SECONDS
    assert (slow.prepare, slow.upload) == (1.0, UPLOAD_SECONDS)
    assert (fast.prepare, fast.upload) == (slow.prepare / 4, slow.upload / 16)


def test_the_same_work_takes_the_time_that_it_took():
    done = ready(FILES, pace_of([run()], FILES, 2, 16))
    assert (done.start, done.prepare) == pytest.approx((2.0, 50.0))
    half = ready(Work(500, 500_000_000, 0), pace_of([run(), run()], FILES, 2, 16))
    assert half.prepare == pytest.approx(25.0)


def test_images_of_the_first_slice_took_time_too():
    """Of ten images, eight were recorded at once: the first half took as long as the second."""
    ten = PastRun(Work(10, 3_000_000, 0), 0.8, 0.8, 0.9, 10, 0.9, 0.95)
    assert ten.began == pytest.approx(0.7)
    assert pace_of([ten], ten.work, 2, 16).start == pytest.approx(0.7)
    assert ready(Work(600, 180_000_000, 0), pace_of([ten], ten.work, 2, 16)).prepare > 11.0
    slow_end = PastRun(FILES, 2.0, 20.0, 52.0, 1_000, 2.5, 52.0)
    assert slow_end.began == 1.0
    assert run().began == 2.0


def test_larger_files_and_pages_take_longer():
    pace = pace_of([run()], FILES, 2, 16)
    small, large = Work(1_000, 100_000_000, 0), Work(1_000, 4_000_000_000, 0)
    assert ready(small, pace).prepare < 25.0 < 100.0 < ready(large, pace).prepare
    assert ready(Work(0, 0, 1_000), pace).prepare > 100.0


def test_past_jobs_with_images_of_about_the_same_size_tell_the_pace():
    small = Work(1_000, 10_000_000, 0)
    past = [run(), run(small, prepared=12.0)]
    assert ready(FILES, pace_of(past, FILES, 2, 16)).prepare == pytest.approx(50.0)
    assert ready(small, pace_of(past, small, 2, 16)).prepare == pytest.approx(10.0)
    assert pace_of([run()], small, 2, 16).runs == 1  # better than a guess


def test_uploads_that_waited_for_the_preparation_are_not_slow():
    assert pace_of([run(uploaded=53.0)], FILES, 2, 16).upload <= UPLOAD_SECONDS / 16
    assert pace_of([run(uploaded=102.5)], FILES, 2, 16).upload == pytest.approx(0.1, rel=0.01)
    both = pace_of([run(uploaded=53.0), run(uploaded=102.5)], FILES, 2, 16)
    assert both.upload == pytest.approx(0.1, rel=0.01)


def test_the_time_of_one_upload_is_not_that_of_many():
    """Ten images that are uploaded at once, a second after they were prepared."""
    ten = PastRun(Work(10, 3_000_000, 0), 0.8, 0.8, 0.9, 10, 1.8, 1.9)
    pace = pace_of([ten], ten.work, 2, 16)
    assert pace.lag == pytest.approx(1.0)
    assert ready(Work(1_000, 300_000_000, 0), pace).upload < 12.0
    assert ready(ten.work, pace).seconds() == pytest.approx(1.0, abs=0.2)


def test_nothing_to_prepare_takes_no_time():
    assert ready(Work(0, 0, 0), pace_of([run()], FILES, 2, 16)) == NOTHING_TO_DO


@pytest.mark.parametrize(
    ("ready", "seconds", "binds"),
    [
        (NOTHING_TO_DO, 20.0, "concurrency"),
        (Ready(2.0, 50.0, 10.0), 2.0 + 50.0 + 10.0, "prepare"),
        (Ready(2.0, 10.0, 50.0), 2.0 + 50.0 + 10.0, "upload"),
        (Ready(2.0, 1.0, 0.5), 2.0 + 0.1 + 20.0, "concurrency"),
    ],
)
def test_images_or_calls_decide_how_long_a_job_takes(ready, seconds, binds):
    """Ten leaves in two rounds of five calls, whose notes are put together by code."""
    leaves = [[171] * 6] * 10
    capacity = capacity_of(facts_of("m"), "stepfun", "?")
    ask = RequestContext("?", "m", "e", "low", capacity, answer_spec=EACH)
    price, limits = Price("USD", 0.2, 0.04, 1.15), AccountLimits(5, 100, 500_000)
    made = estimate(ask, leaves, Habit(first_seconds=10.0, token_seconds=0.0), price, limits, ready)
    assert (made.seconds, made.binds) == (pytest.approx(seconds), binds)
