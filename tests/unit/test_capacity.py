"""Budgets: how much a request may hold, for each limit and model."""

from __future__ import annotations

import pytest

from core.catalog.facts import facts_of
from core.catalog.image_tokens import image_tokens_of
from core.errors import WrongUsage
from core.tree.capacity import (
    LearnedLimits,
    base64_bytes,
    capacity_of,
    check_pack,
    expected_bytes,
    note_tokens,
)

STEPFUN = ("step-5-preview", "step-3.7-flash", "step-1o-turbo-vision")


@pytest.mark.parametrize("model", [*STEPFUN, "somebody-elses-model"])
@pytest.mark.parametrize("provider", ["stepfun", "openai"])
def test_the_budgets_of_a_model_leave_room_for_its_answer(model, provider):
    shape = capacity_of(facts_of(model), provider, "What is there?")
    assert shape.leaf.items == 60
    assert shape.leaf.bytes == 20_000_000
    assert shape.fan_in >= 2
    for widened in range(3):
        answer = shape.leaf_max_tokens(60, widened)
        assert answer <= shape.context_tokens // 2
    assert shape.leaf.tokens + shape.leaf_max_tokens(60) <= shape.context_tokens
    assert shape.branch_tokens + shape.branch_max_tokens() <= shape.context_tokens


@pytest.mark.parametrize(
    ("model", "detail", "images"),
    [
        ("step-3.7-flash", "low", 60),
        ("step-3.7-flash", "high", 60),
        ("step-1o-turbo-vision", "low", 60),
        ("step-1o-turbo-vision", "high", 6),
    ],
)
def test_so_many_images_fit_the_context(model, detail, images):
    facts = facts_of(model)
    shape = capacity_of(facts, "stepfun", "?")
    most = image_tokens_of(facts).most(detail)
    assert min(shape.leaf.items, shape.leaf.tokens // most) == images


@pytest.mark.parametrize(("model", "fan_in"), [("step-3.7-flash", 59), ("step-1o-turbo-vision", 5)])
def test_the_fan_in_follows_from_the_context(model, fan_in):
    shape = capacity_of(facts_of(model), "stepfun", "?")
    assert shape.fan_in == pytest.approx(fan_in, abs=2)
    assert shape.fan_in * note_tokens(60) <= shape.branch_tokens


@pytest.mark.parametrize(
    ("given", "items", "context"),
    [
        ({}, 60, 256_000),
        ({"images_per_request": 7}, 7, 256_000),
        ({"context_tokens": 8_000}, 60, 8_000),
    ],
)
def test_settings_take_precedence_over_the_profile(given, items, context):
    shape = capacity_of(facts_of("step-3.7-flash"), "stepfun", "?", **given)
    assert (shape.leaf.items, shape.context_tokens) == (items, context)


@pytest.mark.parametrize(
    ("pack", "learned", "items"), [(None, None, 60), (5, None, 5), (5, 3, 3), (60, 20, 20)]
)
def test_a_pack_is_a_bound_beside_the_model_and_what_was_learned(pack, learned, items):
    limits = LearnedLimits(images=learned)
    shape = capacity_of(facts_of("step-3.7-flash"), "stepfun", "?", learned=limits, pack=pack)
    assert shape.leaf.items == items


@pytest.mark.parametrize(("most", "pack"), [(None, 61), (10, 11)])
def test_a_pack_above_the_cap_is_refused_and_the_cap_is_named(most, pack):
    with pytest.raises(WrongUsage, match=f"takes {pack - 1} at most: give a pack from 1 to"):
        check_pack(facts_of("step-3.7-flash"), most, pack)
    check_pack(facts_of("step-3.7-flash"), most, pack - 1)


def test_a_question_reduces_the_room_and_the_longest_one_leaves_some():
    short, long = (capacity_of(facts_of("step-3.7-flash"), "stepfun", "?" * n) for n in (1, 10_001))
    assert short.leaf.tokens - long.leaf.tokens == 5_000
    assert (
        capacity_of(facts_of("step-1o-turbo-vision"), "stepfun", "?" * 100_000).leaf.tokens >= 1_000
    )


def test_a_cut_answer_gets_twice_the_room():
    shape = capacity_of(facts_of("step-3.7-flash"), "stepfun", "?")
    assert shape.leaf_max_tokens(10, 1) == 2 * shape.leaf_max_tokens(10)


@pytest.mark.parametrize(("raw", "encoded"), [(0, 0), (1, 4), (3, 4), (4, 8), (300, 400)])
def test_bytes_are_counted_as_base64(raw, encoded):
    assert base64_bytes(raw) == encoded


@pytest.mark.parametrize(
    ("source", "detail", "expected"),
    [
        (None, "low", 146_668),
        (3_000, "low", 4_000),
        (90_000_000, "low", 146_668),
        (90_000_000, "high", 2_000_000),
    ],
)
def test_an_image_is_expected_to_be_no_larger_than_its_file(source, detail, expected):
    assert expected_bytes(source, detail) == expected


@pytest.mark.parametrize(
    ("model", "tokens", "images"),
    [
        ("step-3.7-flash", 72, 60),
        ("step-3.7-flash", 1_000, 55),
        ("step-3.7-flash", 100_000, 1),
        ("step-1o-turbo-vision", 72, 52),
    ],
)
def test_a_leaf_has_no_more_images_than_answers_fit_one_reply(model, tokens, images):
    shape = capacity_of(facts_of(model), "stepfun", "?", tokens_an_image=tokens)
    assert shape.leaf.items == images
    assert shape.leaf.tokens + shape.leaf_max_tokens(images) <= shape.context_tokens
