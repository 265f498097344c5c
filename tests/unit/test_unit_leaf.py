"""A leaf over whole units: what it asks, and what of a reply it keeps."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.answers.spec import AnswerSpec
from core.catalog.facts import facts_of
from core.prompts.shaped import group_key
from core.reply import Reply, Usage
from core.requests.request import RequestContext
from core.requests.review import Accepted, AskAgain
from core.requests.unit_leaf import ShownUnit, UnitLeaf, of_part
from core.tree.capacity import capacity_of

UNITS = [ShownUnit(1, ("a",), (1, 2)), ShownUnit(4, ("b", "copy of b"), (3, 4, 5))]
POSITIONS = {1: 11, 2: 12, 3: 31, 4: 32, 5: 33}


def leaf(schema: dict[str, Any] | None = None, units: list[ShownUnit] | None = None) -> UnitLeaf:
    spec = AnswerSpec(None, "What?", None if schema is None else json.dumps(schema), by=True)
    capacity = capacity_of(facts_of("step-3.7-flash", ""), "stepfun", "What?")
    context = RequestContext("What?", "step-3.7-flash", "", "low", capacity, answer_spec=spec)
    return UnitLeaf(context, POSITIONS, dict.fromkeys(POSITIONS, ""), False, spec, units or UNITS)


def reply(values: dict[str, Any]) -> Reply:
    return Reply(json.dumps(values), "", "stop", Usage(100, 0, 10), None, "m")


WHOLE = {
    "1": "a red door",
    "2": "a blue door",
    "3": "a garden",
    "4": "a pond",
    "5": "a shed",
    "group 1": "Doors [1], [2].",
    "group 2": "A garden [3].",
}


def test_the_request_names_the_images_of_each_unit() -> None:
    asked = leaf()
    body = asked.body(asked.first(), ["u1", "u2", "u3", "u4", "u5"])
    instruction = body["messages"][-1]["content"][-1]["text"]
    assert '"group 1" is images [1] to [2]; "group 2" is images [3] to [5].' in instruction
    assert "copy of b" not in json.dumps(body)  # names of units are not sent


def test_a_whole_reply_is_kept_with_positions_of_the_job() -> None:
    asked = leaf()
    result = asked.review(asked.first(), reply(WHOLE))
    assert isinstance(result, Accepted)
    assert result.images is not None
    assert result.images.units == {1: "Doors [11], [12].", 4: "A garden [31]."}
    assert result.images.notes[12] == "a blue door"
    assert list(result.images.notes) == [11, 12, 31, 32, 33]
    assert result.text == (
        '"a", images [11] to [12]:\nDoors [11], [12].\n\n'
        '"b" (the same images as "copy of b"), images [31] to [33]:\nA garden [31].'
    )


@pytest.mark.parametrize("lost", ["1", "2", "group 1"])
def test_a_unit_that_lacks_a_line_or_its_answer_is_shown_again_as_a_whole(lost: str) -> None:
    asked = leaf()
    again = asked.review(asked.first(), reply({k: v for k, v in WHOLE.items() if k != lost}))
    assert isinstance(again, AskAgain)
    assert again.attempt.shown == (1, 2)
    assert list(again.attempt.units) == [4]
    second = asked.review(again.attempt, reply({k: WHOLE[k] for k in ("1", "2", "group 1")}))
    assert isinstance(second, Accepted)
    assert second.images is not None
    assert second.images.units == {1: "Doors [11], [12].", 4: "A garden [31]."}


def test_a_unit_cites_its_own_images_alone() -> None:
    asked = leaf()
    stray = WHOLE | {"group 2": "A garden [3]. A door stands beside it [1]."}
    result = asked.review(asked.first(), reply(stray))
    assert isinstance(result, Accepted)
    assert result.images is not None
    assert "[11]" not in result.images.units[4]


def test_an_object_that_does_not_fit_the_schema_is_no_answer() -> None:
    schema = {
        "type": "object",
        "properties": {"count": {"type": "integer"}},
        "required": ["count"],
    }
    asked = leaf(schema)
    values = WHOLE | {"group 1": {"count": "two"}, "group 2": {"count": 3}}
    again = asked.review(asked.first(), reply(values))
    assert isinstance(again, AskAgain)
    assert again.attempt.shown == (1, 2)
    assert again.attempt.units == {4: {"count": 3}}


def test_units_go_apart_when_a_reply_leaves_out_most_images() -> None:
    asked = leaf()
    result = asked.review(asked.first(), reply({k: WHOLE[k] for k in ("1", "2", "group 1")}))
    assert isinstance(result, Accepted)
    assert result.images is not None
    assert (result.images.apart, result.images.divided) == (((31, 32, 33),), None)
    alone = leaf(units=[ShownUnit(7, ("all",), (1, 2, 3, 4, 5))])
    attempt, seen = alone.first(), 0
    while isinstance(last := alone.review(attempt, reply({"1": "a red door"})), AskAgain):
        attempt, seen = last.attempt, seen + 1
    assert last.images is not None
    assert (last.images.divided, last.images.units) == (7, {})
    assert seen < 5


@given(st.integers(1, 8), st.sets(st.integers(1, 3), min_size=1), st.booleans())
def test_what_is_missing_is_divided_between_units_or_inside_the_only_one(
    most: int, missing: set[int], alone: bool
) -> None:
    units = [ShownUnit(n, (str(n),), tuple(range(4 * n - 3, 4 * n + 1))) for n in (1, 2, 3)]
    asked = leaf(units=units)
    images = [image for unit in units if unit.number in missing for image in unit.images]
    groups = asked.divided(images, most, alone)
    assert sorted(image for group in groups for image in group) == images
    owners = [{(image + 3) // 4 for image in group} for group in groups]
    if len(missing) > 1:
        assert sum(map(len, owners)) == len(missing)
    elif not alone:
        assert groups == [images]
    else:
        assert all(len(group) <= max(most, 1) for group in groups)


@given(st.dictionaries(st.sampled_from([*WHOLE, "6", "whole", "group 3"]), st.text(max_size=30)))
def test_no_reply_gives_a_unit_an_answer_without_a_line_of_each_image(
    values: dict[str, str],
) -> None:
    asked = leaf()
    reading = asked.read(asked.first(), reply(values))
    for count, unit in enumerate(UNITS, 1):
        if unit.number in reading.units:
            assert group_key(count) in values
            assert set(unit.images) <= set(reading.values)
        else:
            assert not set(unit.images) & set(reading.values)


def test_the_parts_of_a_unit_are_asked_like_a_set_of_their_own() -> None:
    text, merged = of_part(leaf().context), of_part(leaf({"type": "object"}).context)
    assert (text.question, text.answer_spec) == ("What?", None)
    assert merged.answer_spec is not None
    assert merged.answer_spec.folds
    assert not merged.answer_spec.by
