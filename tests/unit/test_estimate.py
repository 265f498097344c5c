"""The estimate of a job, as a pure function."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core import prompts
from core.account.estimate import (
    ANSWER_TOKENS,
    ANSWER_TOKENS_PER_IMAGE,
    TYPICAL_LABEL_TOKENS,
    OpenNode,
    ahead,
    estimate,
    time_at,
)
from core.account.habit import (
    FIRST_SECONDS,
    TOKEN_SECONDS,
    Habit,
    PastCall,
    habit_of,
    usual_tokens,
)
from core.catalog.facts import facts_of
from core.catalog.models import Price
from core.catalog.tiers import AccountLimits
from core.requests.request import RequestContext
from core.states import NodeKind
from core.tree.capacity import LABEL_TOKENS, capacity_of

ASK = RequestContext(
    "What is there?",
    "step-3.7-flash",
    "e",
    "low",
    capacity_of(facts_of("step-3.7-flash"), "stepfun", "?"),
)
PRICE = Price("USD", 0.2, 0.04, 1.15)
LIMITS = AccountLimits(5, 100, 500_000)


@pytest.mark.parametrize(
    ("size", "detail", "tokens"),
    [
        ((4000, 3000), "low", 171),
        ((1, 1), "high", 171),
        ((728, 728), "high", 171),
        ((1512, 1512), "high", 9 * 83 + 171 + 2),
        ((9000, 9000), "high", 3164),
        ((12000, 32), "high", 8056),
    ],
)
def test_an_image_is_counted_as_it_will_be_sent(size, detail, tokens) -> None:
    assert replace(ASK, detail=detail).tokens_of(*size) == tokens


def test_a_set_that_fits_is_one_request() -> None:
    made = estimate(ASK, [[171] * 60], Habit(), PRICE, LIMITS)
    assert (made.requests, made.leaves, made.depth) == (1, 1, 1)
    assert 60 * 171 < made.prompt_tokens < 60 * 171 + 400
    answer = ANSWER_TOKENS + ANSWER_TOKENS_PER_IMAGE * 60  # it stands below the lines
    assert made.completion_tokens == round(usual_tokens(NodeKind.LEAF, 60) + answer)
    expected = (made.prompt_tokens * 0.2 + made.completion_tokens * 1.15) / 1e6
    assert made.cost == pytest.approx(expected)
    room = ASK.capacity.leaf_max_tokens(60)
    assert made.cost_most == pytest.approx((made.prompt_tokens * 0.2 + room * 1.15) / 1e6)


@pytest.mark.parametrize(("images", "changes"), [(1, {}), (60, {"bare": True})])
def test_an_answer_without_lines_is_estimated_without_them(images, changes) -> None:
    made = estimate(replace(ASK, **changes), [[171] * images], Habit(), PRICE, LIMITS)
    assert made.completion_tokens == round(usual_tokens(NodeKind.LEAF, images))


@pytest.mark.parametrize("images", [1, 59])
def test_an_estimate_counts_canaries_and_what_is_asked_of_them(images) -> None:
    plain = estimate(ASK, [[171] * images], Habit(), PRICE, LIMITS)
    proven = estimate(replace(ASK, canaries=2), [[171] * images], Habit(), PRICE, LIMITS)
    asked = proven.prompt_tokens - plain.prompt_tokens - 2 * 171
    lines = -(-len(prompts.text("lines")) // 4) if images == 1 else 0  # one image needs them too
    assert 30 < asked - lines < 60


def test_an_estimate_counts_the_labels_of_images() -> None:
    ten, sixty = (estimate(ASK, [[171] * n], Habit(), PRICE, LIMITS) for n in (10, 60))
    labels = sixty.prompt_tokens - ten.prompt_tokens - 50 * 171
    assert 50 * 2 <= labels <= 50 * LABEL_TOKENS


def test_what_is_left_of_a_job_counts_the_labels_of_its_leaves() -> None:
    leaf = OpenNode(NodeKind.LEAF, 60, 60 * 171, 0, 0)
    branch = replace(leaf, kind=NodeKind.BRANCH)
    tokens = [
        ahead([node], ASK, Habit(), PRICE).tokens - round(usual_tokens(node.kind, node.images))
        for node in (leaf, branch)
    ]
    assert tokens[0] - tokens[1] == 60 * TYPICAL_LABEL_TOKENS


def test_a_branch_reads_what_its_leaves_write() -> None:
    made = estimate(ASK, [[171] * 31, [171] * 30], Habit(), PRICE, LIMITS)
    notes = usual_tokens(NodeKind.LEAF, 31) + usual_tokens(NodeKind.LEAF, 30)
    assert (made.requests, made.leaves, made.depth) == (3, 2, 2)
    assert made.prompt_tokens > 61 * 171 + notes
    assert made.completion_tokens == round(notes + usual_tokens(NodeKind.BRANCH, 61))


def test_a_set_without_a_usable_image_costs_nothing() -> None:
    made = estimate(ASK, [], Habit(), PRICE, LIMITS)
    assert (made.requests, made.depth, made.prompt_tokens, made.cost) == (0, 0, 0, 0.0)


def test_past_calls_correct_the_guess_for_each_kind() -> None:
    leaf = PastCall(NodeKind.LEAF, 10, 2 * round(usual_tokens(NodeKind.LEAF, 10)), 4.0)
    branch = PastCall(NodeKind.BRANCH, 100, round(usual_tokens(NodeKind.BRANCH, 100) / 2), 6.0)
    habit = habit_of([leaf, branch])
    assert habit.leaf == pytest.approx(2.0)
    assert habit.branch == pytest.approx(0.5)
    assert habit_of([]) == Habit()
    assert habit_of([leaf]).branch == 1.0


def test_past_calls_with_values_say_how_long_other_values_are() -> None:
    calls = [PastCall(NodeKind.LEAF, 60, 1_400, 9.0, values=3)]
    habit = habit_of(calls)
    assert habit.completion_tokens(NodeKind.LEAF, 60, 3) == pytest.approx(1_400)
    assert habit.completion_tokens(NodeKind.LEAF, 60, 6) > 2_400


def leaf_call(tokens: int, seconds: float, again: bool = False) -> PastCall:
    return PastCall(NodeKind.LEAF, 1, tokens, seconds, again=again)


@pytest.mark.parametrize(
    ("past", "written", "seconds"),
    [
        ([], 1_000, FIRST_SECONDS + TOKEN_SECONDS * 1_000),
        ([leaf_call(300, 5.0), leaf_call(1_500, 17.0)], 900, 11.0),
        ([leaf_call(300, 5.0), leaf_call(1_500, 5.0)], 900, 5.0),  # it is as fast as it is
        ([leaf_call(300, 5.0), leaf_call(1_500, 3.0)], 900, 4.0),  # a longer one is no faster
        ([leaf_call(100, 1.0), leaf_call(1_100, 21.0)], 600, 11.0),  # nothing is before its start
        ([leaf_call(1_000, 30.0)], 1_000, 30.0),
        ([leaf_call(1_000, 30.0)], 0, 30.0 * 4 / 15),  # of one length: as usual, and slower
        ([leaf_call(500, 4.0), leaf_call(500, 4.0), leaf_call(500, 3.0, again=True)], 500, 5.17),
    ],
)
def test_a_longer_reply_takes_longer(past, written, seconds) -> None:
    assert habit_of(past).seconds(NodeKind.LEAF, written) == pytest.approx(seconds, abs=0.01)


@pytest.mark.parametrize(
    ("leaves", "requests", "tokens", "binds"),
    [
        (5, 6, 10_000, "concurrency"),
        (100, 901, 10_000, "rpm"),
        (5, 6, 5_000_001, "tpm"),
    ],
)
def test_the_slowest_limit_decides(leaves, requests, tokens, binds) -> None:
    seconds, found = time_at(LIMITS, leaves, requests, tokens, 10.0, 10.0)
    assert found == binds
    assert seconds >= 20.0


def test_calls_wait_for_the_concurrency_limit() -> None:
    assert time_at(LIMITS, 11, 11, 1, 10.0) == (30.0, "concurrency")
