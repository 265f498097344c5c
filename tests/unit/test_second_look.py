"""What a reply marks as unclear, what is asked for then, and which of two looks is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from core.account.second_look import looks_ahead
from core.catalog.tokens import detail_at
from core.errors import WrongUsage
from core.jobs import JobSpec
from core.requests.leaf import Leaf, in_order
from core.requests.leaves import leaf_of
from core.requests.request import request_context
from core.requests.second_look import KEY, is_better, looks_left, unclear_in, unmarked
from core.settings import load
from core.states import Seen
from core.tree.capacity import NOTHING_LEARNED
from tests.support.leaves import accepted, again, images_of

POSITIONS = {1: 41, 2: 42, 3: 57}
URLS = ["sha256:a", "sha256:b", "sha256:c"]
TOTAL = {
    "type": "object",
    "properties": {"shop": {"type": "string"}, "total": {"type": "number"}},
    "required": ["shop", "total"],
}


def leaf(root: bool = False, detail: Any = "auto", **asked: Any) -> Leaf:
    spec = JobSpec(images=["x"], detail=detail, **asked)
    context = request_context(
        load(), question=spec.question, model="step-3.7-flash", provider="stepfun", endpoint="e",
        detail=detail_at(detail), options=spec.looking_twice(detail), learned=NOTHING_LEARNED,
    )  # fmt: skip
    return leaf_of(context, POSITIONS, {n: f"content {n}" for n in POSITIONS}, root)


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("? a receipt", ("a receipt", True)),
        ("?: a receipt", ("a receipt", True)),
        ("？模糊", ("模糊", True)),
        ("?", ("?", True)),
        ("a receipt?", ("a receipt?", False)),
        ("¿una factura?", ("¿una factura?", False)),
    ],
)
def test_a_mark_stands_at_the_beginning_of_a_line(line: str, read: tuple[str, bool]) -> None:
    assert unmarked(line) == read


def test_a_marked_line_is_kept_without_its_mark() -> None:
    asked = leaf(ask="What is it?")
    images = images_of(accepted(asked, asked.first(), "[1] red barn\n[2] ? grey\n[3] a blue car"))
    assert images.unclear == {42: ()}
    assert images.notes == {41: "red barn", 42: "grey", 57: "a blue car"}


def test_only_a_job_that_looks_twice_reads_marks() -> None:
    asked = leaf(ask="What is it?", detail="low")
    images = images_of(accepted(asked, asked.first(), "[1] red barn\n[2] ? grey\n[3] a blue car"))
    assert images.unclear == {}
    assert images.notes[42] == "? grey"


def test_values_name_the_fields_that_are_unclear() -> None:
    asked = leaf(each="Total?", schema=TOTAL)
    values = {key: {"shop": "tea", "total": 1} for key in "123"}
    told = {**values, KEY: [{"image": 2, "fields": ["total", "none such"]}, {"image": 9}]}
    images = images_of(accepted(asked, asked.first(), told))
    assert images.unclear == {42: ("total",)}
    assert images.answers[42] == {"shop": "tea", "total": 1}
    schema = asked.body(asked.first(), URLS)["response_format"]["json_schema"]["schema"]
    assert KEY in schema["required"]


GOOD, BAD = {"shop": "tea", "total": 1}, {"shop": "tea", "total": "?"}


def test_a_value_that_does_not_fit_is_not_asked_for_in_the_same_way_again() -> None:
    asked = leaf(each="Total?", schema=TOTAL)
    images = images_of(accepted(asked, asked.first(), {"1": GOOD, "2": GOOD, "3": BAD, KEY: []}))
    assert images.seen == {41: Seen.ANSWER, 42: Seen.ANSWER}
    assert (images.unclear, images.apart) == ({57: ()}, ((57,),))


@pytest.mark.parametrize(
    ("detail", "is_second"), [("low", False), ("auto", True)], ids=["one look", "second look"]
)
def test_a_value_that_does_not_fit_is_asked_for_again_where_no_look_is_ahead(
    detail: str, is_second: bool
) -> None:
    asked = leaf(detail=detail, each="Total?", schema=TOTAL)
    asked = replace(asked, context=replace(asked.context, is_second=is_second))
    attempt = again(asked, asked.first(), {"1": GOOD, "2": GOOD, "3": BAD})
    assert attempt.shown == (3,)


def test_an_image_that_the_reply_leaves_out_is_shown_again_first() -> None:
    asked = leaf(each="Total?", schema=TOTAL)
    attempt = again(asked, asked.first(), {"1": GOOD, "2": GOOD, KEY: []})
    assert attempt.shown == (3,)
    images = images_of(accepted(asked, attempt, {"1": BAD, KEY: []}))
    assert (images.unclear, images.apart) == ({57: ()}, ((57,),))


def test_of_a_leaf_that_is_divided_only_what_had_a_value_is_unclear() -> None:
    asked = leaf(each="Total?", schema=TOTAL)
    images = images_of(accepted(asked, asked.first(), {"1": GOOD, "2": BAD, KEY: []}))
    assert (images.unclear, images.apart) == ({42: ()}, ((42,), (57,)))


def test_a_leaf_without_any_valid_value_is_asked_again() -> None:
    asked = leaf(each="Total?", schema=TOTAL)
    attempt = again(asked, asked.first(), {"1": BAD, "2": BAD, "3": BAD})
    assert attempt.shown == (1, 2, 3)  # nothing is kept: the leaf would become no smaller


def test_a_root_with_unclear_images_does_not_ask_for_the_answer_yet() -> None:
    asked = leaf(root=True, each="Total?", ask="Sum?", schema=TOTAL)
    value = {"shop": "tea", "total": 1}
    told = {"1": value, "2": value, "3": value, KEY: [{"image": 1, "fields": ["total"]}]}
    assert images_of(accepted(asked, asked.first(), told)).unclear == {41: ("total",)}


@pytest.mark.parametrize(
    "value", [None, "2", {"2": True}, [True], [{"image": "2"}], [[2]], [{"fields": []}], [7]]
)
def test_a_list_that_names_no_image_marks_none(value: Any) -> None:
    assert unclear_in(value, {1: "red", 2: "blue"}) == {}


@pytest.mark.parametrize(
    ("first", "second", "better"),
    [
        ((), None, True),
        ((), ("total",), True),
        ((), (), False),
        (("total",), None, True),
        (("total",), ("total",), False),
        (("total", "shop"), ("total",), True),
        (("total",), (), False),
    ],
)
def test_a_look_is_kept_if_it_could_tell_more(first: Any, second: Any, better: bool) -> None:
    assert is_better(first, second) == better


def test_answers_of_both_looks_stand_in_order() -> None:
    texts = ["[1] red\n[3] a\nb\n[11] c", "[2] blue\n[10] d", ""]
    assert in_order(texts) == "[1] red\n[2] blue\n[3] a\nb\n[10] d\n[11] c"


def test_the_share_bounds_the_looks() -> None:
    assert [looks_left(0.2, images, 0) for images in (1, 4, 10, 60)] == [1, 1, 2, 12]
    assert looks_left(0.29, 100, 0) == 29
    assert looks_left(0.2, 60, 12) == looks_left(0.2, 60, 13) == 0


@pytest.mark.parametrize(
    ("leaves", "room", "sizes"),
    [([60], 60, [12]), ([20, 20, 20], 60, [4, 4, 4]), ([60], 5, [4, 4, 4]), ([5], 60, [5])],
)
def test_a_bound_counts_the_dearest_way_to_look_again(
    leaves: list[int], room: int, sizes: list[int]
) -> None:
    ahead = looks_ahead(12, leaves, 504.0, room, is_alone=len(leaves) == 1)
    assert [(node.images, node.image_tokens) for node in ahead.looks] == [
        (size, size * 504) for size in sizes
    ]
    assert [node.open_below for node in ahead.root] == (leaves if len(leaves) == 1 else [])


@pytest.mark.parametrize(
    "asked",
    [
        {"second_look": 0.5},
        {"detail": "auto", "bare": True},
        {"second_model": "m", "bare": True},
    ],
)
def test_what_cannot_look_twice_is_refused(asked: dict[str, Any]) -> None:
    spec = JobSpec(images=["x"], ask="What?", **asked)
    with pytest.raises(WrongUsage):
        spec.looking_twice(spec.detail or "low")
