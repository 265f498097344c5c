"""Attempts of a leaf that writes notes in plain text: which attempt follows which replies."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import prompts
from core.errors import RefusalCode
from core.job_options import JobOptions
from core.reply import Reply
from core.requests.leaf import ATTEMPTS_MAX_PER_LEAF, Leaf, LeafAttempt
from core.requests.leaves import leaf_of
from core.requests.notes_leaf import NotesLeaf
from core.requests.request import FIRST, Attempt, Body, image_urls, request_context
from core.requests.review import (
    ATTEMPTS_ALONE,
    ATTEMPTS_MAX,
    Accepted,
    AskAgain,
    LeafImages,
    NotSeen,
)
from core.settings import load
from core.states import Seen
from core.text import citations
from core.text.notes import CATEGORY
from core.tree.capacity import NOTHING_LEARNED
from tests.support.leaves import accepted, again, images_of, reply

ASK = "What is there?"
THINGS = ("a red barn", "a blue boat", "a grey cat", "a green door", "a white van", "a black dog")
FIRST_POSITION = 40
"""Positions begin above every number of a request, so that none is taken for the other."""


def leaf(
    count: int = 4,
    root: bool = False,
    known_notes: Mapping[int, str] | None = None,
    images_per_request: int | None = None,
    **options: Any,
) -> Leaf:
    """A leaf over images 41, 42, ..."""
    settings = load().model_copy(update={"images_per_request": images_per_request})
    context = request_context(
        settings, question=ASK, model="step-3.7-flash", provider="stepfun", endpoint="e",
        detail="low", options=JobOptions(**options), learned=NOTHING_LEARNED,
    )  # fmt: skip
    numbers = range(1, count + 1)
    positions = {number: FIRST_POSITION + number for number in numbers}
    contents = {number: f"content {number}" for number in numbers}
    made = leaf_of(context, positions, contents, root, known_notes)
    assert isinstance(made, NotesLeaf)
    return made


def thing(number: int) -> str:
    """What image ``number`` of the leaf shows, which no other shows."""
    return f"{THINGS[number % len(THINGS)]} {'very ' * (number // len(THINGS))}near"


def lines(numbers: Iterable[int]) -> str:
    return "\n".join(f"[{number}] {thing(number)}" for number in numbers)


def body_of(asked: Leaf, attempt: LeafAttempt) -> Body:
    return asked.body(attempt, urls_of(asked, attempt))


def urls_of(asked: Leaf, attempt: LeafAttempt) -> list[str]:
    """The pictures of a request by what is on them, as the key of a request names them."""
    if attempt.over_answers is not None:
        return []
    on_them = {n: f"u{number}" for n, number in asked.placed(attempt).items()}
    on_them |= {canary.place: canary.word for canary in asked.canaries(attempt)}
    return [on_them[n] for n in sorted(on_them)]


def said(asked: Leaf, attempt: LeafAttempt) -> str:
    """The text of a request below its images."""
    content = body_of(asked, attempt)["messages"][-1]["content"]
    return str(content if isinstance(content, str) else content[-1]["text"])


# --- every image has its line


def test_a_line_for_each_image_is_recorded_by_position() -> None:
    asked = leaf(3)
    result = accepted(asked, asked.first(), "[1] a barn\n[2] a boat, unlike [1]\n[3] a cat")
    notes = {41: "a barn", 42: "a boat, unlike [41]", 43: "a cat"}
    assert result == Accepted(
        "[41] a barn\n[42] a boat, unlike [41]\n[43] a cat",
        0,
        LeafImages(dict.fromkeys(notes, Seen.LINE), notes=notes),
    )


def test_text_about_no_single_image_stands_below_the_lines() -> None:
    asked = leaf(2)
    result = accepted(asked, asked.first(), f"Here they are.\n\n{lines([1, 2])}\n\nBoth by day.")
    notes, _, rest = result.text.partition("\n\n")
    assert notes == f"[41] {thing(1)}\n[42] {thing(2)}"
    assert rest.split() == ["Here", "they", "are.", "Both", "by", "day."]


def test_lines_are_kept_in_the_order_of_the_images() -> None:
    asked = leaf(3)
    result = accepted(asked, asked.first(), lines([3, 1, 2]))
    assert list(images_of(result).notes) == [41, 42, 43]


def test_what_an_attempt_has_kept_can_be_read_before_all_is_answered_for() -> None:
    asked = leaf(4)
    second = again(asked, asked.first(), f"{lines([1, 2])}\n\nBoth [1, 2] by day.")
    assert asked.notes(asked.first()) == ""
    assert asked.notes(second) == f"[41] {thing(1)}\n[42] {thing(2)}\n\nBoth [41, 42] by day."
    notes = {41: thing(1), 42: thing(2)}
    assert asked.seen(second) == LeafImages(dict.fromkeys(notes, Seen.LINE), notes=notes)


# --- some are missing


@pytest.mark.parametrize("count", [4, 8, 60, 61])
def test_where_every_fourth_image_has_no_line_those_are_shown_again_alone(count: int) -> None:
    asked = leaf(count)
    missing = tuple(range(4, count + 1, 4))
    told = lines(n for n in range(1, count + 1) if n not in missing)
    attempt = again(asked, asked.first(), told)
    assert attempt.shown == missing
    assert (attempt.turn, attempt.widened, attempt.nudges) == (1, 0, ("line",))
    body = asked.body(attempt, [f"u{n}" for n in missing])
    assert image_urls(body) == [f"u{n}" for n in missing]
    assert said(asked, attempt).startswith(prompts.numbered(len(missing)))
    assert said(asked, attempt).endswith(prompts.text("nudge_line"))
    told = "\n".join(f"[{n}] {thing(number)}" for n, number in enumerate(missing, start=1))
    images = images_of(accepted(asked, attempt, told))
    assert images.notes == {40 + n: thing(n) for n in range(1, count + 1)}
    assert images.apart == ()


@pytest.mark.parametrize(
    ("count", "first", "sizes"),
    [(60, 20, [20, 20]), (60, 29, [16, 15]), (60, 1, [1] * 59), (3, 1, [1, 1]), (10, 4, [3, 3])],
)
def test_a_model_that_sees_the_first_few_alone_gets_the_rest_in_leaves_of_that_size(
    count: int, first: int, sizes: list[int]
) -> None:
    asked = leaf(count)
    result = accepted(asked, asked.first(), lines(range(1, first + 1)))
    images = images_of(result)
    assert list(images.seen) == [40 + n for n in range(1, first + 1)]
    assert [len(group) for group in images.apart] == sizes
    rest = [position for group in images.apart for position in group]
    assert rest == [40 + n for n in range(first + 1, count + 1)]
    assert "[41] " in result.text


def test_where_half_is_missing_it_is_shown_again_and_where_more_is_it_is_put_apart() -> None:
    asked = leaf(10)
    assert again(asked, asked.first(), lines(range(1, 6))).shown == (6, 7, 8, 9, 10)
    assert images_of(accepted(asked, asked.first(), lines(range(1, 5)))).apart


@pytest.mark.parametrize(
    "text", ["They are all red.", "[1-4] all red", "I cannot see images.", "?"]
)
def test_two_replies_without_a_line_put_several_images_apart_one_by_one(text: str) -> None:
    asked = leaf(4)
    second = again(asked, asked.first(), text)
    assert (second.shown, second.widened, second.nudges) == ((1, 2, 3, 4), 1, ("line",))
    images = images_of(accepted(asked, second, text))
    assert images == LeafImages({}, apart=((41,), (42,), (43,), (44,)))


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(7, [1] * 7), (15, [1] * 15), (16, [2] * 8), (60, [7] * 6 + [6] * 3), (61, [7] * 7 + [6] * 2)],
)
def test_two_replies_without_a_line_put_many_images_apart_in_groups_of_an_eighth(
    count: int, sizes: list[int]
) -> None:
    """The model may write lines for fewer images; one by one would be sixty requests."""
    asked = leaf(count)
    second = again(asked, asked.first(), "They are all red.")
    images = images_of(accepted(asked, second, "They are all red."))
    assert [len(group) for group in images.apart] == sizes
    assert [p for group in images.apart for p in group] == list(asked.positions.values())


def test_what_is_missing_three_times_is_put_apart_in_groups_smaller_than_what_was_shown() -> None:
    asked = leaf(8)
    second = again(asked, asked.first(), lines(range(1, 5)))
    third = again(asked, second, "[1] a tent\n[2] a tower")
    assert third.shown == (7, 8)
    images = images_of(accepted(asked, third, "[1] a tree"))
    assert images.apart == ((48,),)
    assert len(images.seen) == 7


def test_a_missing_image_that_was_shown_alone_fails() -> None:
    asked = leaf(4)
    second = again(asked, asked.first(), lines([1, 2, 3]))
    third = again(asked, second, "[1] no comment")
    images = images_of(accepted(asked, third, "[1] no comment"))
    assert list(images.seen) == [41, 42, 43]
    assert {position: code for position, (code, _) in images.unseen.items()} == {
        44: RefusalCode.UNSEEN
    }
    assert images.apart == ()


@pytest.mark.parametrize(
    "nothing",
    [
        *("no comment", "No comment.", "**No comment**", "n/a", "N/A", "-", "…", ""),
        *("Same as above", "(see above)", "无评论", "同上", "Kein Kommentar", "wie oben", "ditto"),
    ],
)
def test_a_line_that_says_nothing_does_not_count(nothing: str) -> None:
    asked = leaf(4)
    told = f"{lines([1, 2])}\n[3] {nothing}\n{lines([4])}"
    assert again(asked, asked.first(), told).shown == (3,)


@pytest.mark.parametrize("answer", ["n/a", "N/A", "Not applicable.", "[1] n/a", "无", "-"])
def test_a_short_line_about_an_image_that_is_shown_alone_counts(answer: str) -> None:
    """Among others it may stand for an image that the model left out."""
    asked = leaf(4)
    second = again(asked, asked.first(), f"{lines([1, 2])}\n[3] n/a\n{lines([4])}")
    images = images_of(accepted(asked, second, answer))
    assert images.notes[43] == answer.removeprefix("[1] ")
    alone = leaf(1)
    assert images_of(accepted(alone, alone.first(), answer)).seen == {41: Seen.LINE}


def test_a_line_about_several_images_is_of_none_of_them() -> None:
    asked = leaf(4)
    assert again(asked, asked.first(), f"{lines([1, 2])}\n[3-4] two dogs").shown == (3, 4)
    assert again(asked, asked.first(), f"{lines([1, 2])}\n[3][4] two dogs").shown == (3, 4)


# --- copies


def kinds(*told: str) -> str:
    """A line for each image, from 1."""
    return "\n".join(f"[{n}] {line}" for n, line in enumerate(told, start=1))


LOST = kinds("a dog", "a dog", "a dog", "a cow", "A cow!", "a cow", "a hat", "a cup", "a van")
"""Lines of a model that has lost its place twice: 2, 3, 5 and 6 have copies."""


def test_copies_of_a_line_do_not_count_and_their_images_are_shown_again_together() -> None:
    asked = leaf(9)
    second = again(asked, asked.first(), LOST)
    assert second.shown == (2, 3, 5, 6)
    assert set(second.kept) == {1, 4, 7, 8, 9}
    assert (second.nudges, second.widened) == (("line",), 0)
    images = images_of(accepted(asked, second, kinds("a fox", "a fig", "a fly", "a bee")))
    assert images.notes[42] == "a fox"
    assert set(images.seen.values()) == {Seen.LINE}
    assert images.apart == ()


def test_a_copy_that_is_said_again_counts() -> None:
    """Now it is no copy of the lines beside it, or it is the same copy without them."""
    asked = leaf(9)
    second = again(asked, asked.first(), LOST)
    images = images_of(accepted(asked, second, kinds("a dog", "a dog", "a cow", "a cow")))
    assert [images.notes[n] for n in range(41, 47)] == ["a dog"] * 3 + ["a cow"] * 3


def test_a_copy_that_turns_into_another_copy_still_does_not_count() -> None:
    asked = leaf(9)
    second = again(asked, asked.first(), LOST)
    third = again(asked, second, kinds("a boat", "a boat", "a fly", "a bee"))
    assert third.shown == (3,)
    assert third.kept[2] == "a boat"
    assert images_of(accepted(asked, third, "[1] a boat")).notes[43] == "a boat"


def test_a_copy_shows_that_the_model_can_write_lines_for_so_many_images() -> None:
    asked = leaf(20)
    copied = kinds("a dog", "a dog", "a dog", "a dog")
    second = again(asked, asked.first(), f"{copied}\n{lines(range(5, 11))}")  # half have a line
    assert second.shown == (2, 3, 4, *range(11, 21))
    images = images_of(accepted(asked, asked.first(), f"{copied}\n{lines(range(5, 10))}"))
    assert [len(group) for group in images.apart] == [5, 5, 4]  # six have one that counts


@pytest.mark.parametrize(
    ("same", "others", "counts"),
    [
        *((CATEGORY, CATEGORY, True), (CATEGORY, 40, True), (20, 25, True)),  # it names a kind
        *((4, 3, True), (2, 1, True), (60, 0, True)),  # more than half
        *((CATEGORY - 1, CATEGORY - 1, False), (3, 3, False), (2, 2, False), (4, 50, False)),
    ],
)
def test_a_line_that_many_or_most_images_share_is_no_copy(
    same: int, others: int, counts: bool
) -> None:
    asked = leaf(same + others)
    told = [f"[{n}] no damage" for n in range(1, same + 1)]
    told += [f"[{n}] {thing(n)}" for n in range(same + 1, same + others + 1)]
    result = asked.review(asked.first(), reply("\n".join(told)))
    if counts:
        assert isinstance(result, Accepted)
        assert len(images_of(result).seen) == same + others
    else:
        assert isinstance(result, AskAgain)
        assert result.attempt.shown == tuple(range(2, same + 1))


def test_what_was_a_copy_two_replies_ago_counts_when_it_is_said_again() -> None:
    asked = leaf(16)
    told = [f"a {kind}" for kind in ("dog", "cow", "fox", "bee") for _ in range(3)]
    second = again(asked, asked.first(), kinds(*told, "a hat", "a cup", "a van", "a fig"))
    assert second.shown == (2, 3, 5, 6, 8, 9, 11, 12)
    third = again(asked, second, kinds("a tent", "a tower", "a tree", "a tub"))
    assert third.shown == (8, 9, 11, 12)
    result = accepted(asked, third, kinds("a fox", "a fox", "a bee", "a bee"))
    assert (images_of(result).notes[49], images_of(result).notes[52]) == ("a fox", "a bee")


# --- cut replies


def test_the_last_line_of_a_cut_reply_is_dropped_and_the_others_are_kept() -> None:
    asked = leaf(4)
    attempt = again(asked, asked.first(), f"{lines([1, 2])}\n[3] a gr", "length")
    assert attempt.shown == (3, 4)
    assert attempt.widened == 1
    assert attempt.kept == {1: thing(1), 2: thing(2)}


def test_a_cut_reply_is_repeated_with_more_room_even_if_it_has_few_lines() -> None:
    asked = leaf(10)
    attempt = again(asked, asked.first(), lines([1, 2, 3]), "length")
    assert attempt.shown == tuple(range(3, 11))
    assert body_of(asked, attempt)["max_tokens"] > body_of(leaf(8), leaf(8).first())["max_tokens"]


@pytest.mark.parametrize("below", ["", "\n\nBoth sho", "\n---\nBoth"])
def test_without_the_line_between_the_last_line_of_a_cut_reply_is_dropped(below: str) -> None:
    """What stands below it may be its own text."""
    asked = leaf(2)
    second = again(asked, asked.first(), f"{lines([1, 2])}{below}", "length")
    assert (second.shown, second.kept) == ((2,), {1: thing(1)})


# --- empty replies


@pytest.mark.parametrize("root", [True, False])
@pytest.mark.parametrize("finish", ["stop", "length"])
@pytest.mark.parametrize(("count", "attempts"), [(1, ATTEMPTS_ALONE), (2, ATTEMPTS_MAX)])
def test_an_empty_reply_is_retried_with_more_room(
    count: int, attempts: int, finish: str, root: bool
) -> None:
    asked = leaf(count, root)
    attempt, bodies = asked.first(), []
    for _ in range(attempts - 1):
        bodies.append(body_of(asked, attempt))
        attempt = again(asked, attempt, " \n", finish)
    bodies.append(body_of(asked, attempt))
    images = images_of(accepted(asked, attempt, "", finish))
    assert images.seen == {}
    assert set(images.unseen) == ({41} if count == 1 else set())
    assert images.apart == (() if count == 1 else ((41,), (42,)))
    assert len({json.dumps(body, sort_keys=True) for body in bodies}) == attempts
    rooms = [body["max_tokens"] for body in bodies]
    assert rooms == sorted(set(rooms))


def test_lines_of_an_earlier_reply_survive_empty_ones() -> None:
    asked = leaf(4)
    attempt = again(asked, asked.first(), lines([1, 2]))
    attempt = again(asked, attempt, "")
    images = images_of(accepted(asked, attempt, ""))
    assert list(images.seen) == [41, 42]
    assert images.apart == ((43,), (44,))


# --- the root


def test_the_answer_of_a_root_stands_below_its_lines() -> None:
    asked = leaf(2, root=True)
    assert prompts.text("lines") in said(asked, asked.first())
    result = accepted(asked, asked.first(), f"{lines([1, 2])}\n===\nThe barn [1] is red.")
    assert result.text == "The barn [41] is red."
    assert images_of(result).notes == {41: thing(1), 42: thing(2)}
    assert images_of(result).seen == {41: Seen.LINE, 42: Seen.LINE}


@pytest.mark.parametrize(
    "between", ["\n\n", "\n---\n", "\n\n**Answer:** ", "\n\nAnswer:\n", "\n\n***\n\n"]
)
def test_an_answer_without_the_line_between_is_what_stands_below_the_lines(between: str) -> None:
    asked = leaf(2, root=True)
    result = accepted(asked, asked.first(), f"{lines([1, 2])}{between}The barn [1] is red.")
    assert result.text == "The barn [41] is red."


def test_lines_without_an_answer_below_are_the_answer() -> None:
    asked = leaf(2, root=True)
    result = accepted(asked, asked.first(), lines([1, 2]))
    assert result.text == f"[41] {thing(1)}\n[42] {thing(2)}"


def test_where_nothing_stands_below_the_line_a_request_over_the_notes_asks_for_the_answer() -> None:
    asked = leaf(2, root=True)
    attempt = again(asked, asked.first(), f"{lines([1, 2])}\n===\n")
    assert attempt.over_answers == FIRST
    body = body_of(asked, attempt)
    assert image_urls(body) == []
    assert f"[41] {thing(1)}\n[42] {thing(2)}" in said(asked, attempt)
    assert "notes on a set of 2 images" in said(asked, attempt)
    result = accepted(asked, attempt, "The barn [41] is red.")
    assert result.text == "The barn [41] is red."
    assert images_of(result).notes == {41: thing(1), 42: thing(2)}


def test_an_answer_without_any_line_is_not_taken() -> None:
    asked = leaf(2, root=True)
    attempt = again(asked, asked.first(), "The barn [1] is red, the boat [2] is blue.")
    assert (attempt.shown, attempt.nudges, attempt.text) == ((1, 2), ("line",), None)
    assert prompts.text("lines") in said(asked, attempt)
    result = accepted(asked, attempt, f"{lines([1, 2])}\n===\nA barn [1].")
    assert result.text == "A barn [41]."


@pytest.mark.parametrize("text", ["None but barns [1].", "All four are barns [1-4]."])
def test_the_answer_of_a_reply_with_gaps_is_never_used(text: str) -> None:
    asked = leaf(4, root=True)
    second = again(asked, asked.first(), f"{lines([1, 2, 3])}\n===\n{text}")
    assert second.text is None
    assert prompts.text("lines") not in said(asked, second)  # a part is asked for notes
    third = again(asked, second, f"[1] {thing(4)}")
    assert third.over_answers == FIRST
    assert "barns" not in said(asked, third)
    assert f"[44] {thing(4)}" in said(asked, third)
    result = accepted(asked, third, "A barn [41] and three others [42-44].")
    assert result.text == "A barn [41] and three others [42-44]."
    assert set(images_of(result).seen) == {41, 42, 43, 44}


def test_a_parted_root_leaves_its_lines_and_no_answer() -> None:
    asked = leaf(10, root=True)
    result = accepted(asked, asked.first(), f"{lines([1, 2])}\n===\nTwo things [1, 2].")
    assert result.text == f"[41] {thing(1)}\n[42] {thing(2)}"
    assert len(images_of(result).apart) == 4


def test_an_answer_that_is_cut_is_asked_for_again_with_more_room_and_then_over_the_notes() -> None:
    asked = leaf(2, root=True)
    told = f"{lines([1, 2])}\n===\nThe barn [1] is r"
    second = again(asked, asked.first(), told, "length")
    assert (second.shown, second.widened, second.over_answers) == ((1, 2), 1, None)
    third = again(asked, second, told, "length")
    assert third.over_answers == FIRST
    assert "is r\n" not in said(asked, third)


def test_false_citations_of_an_answer_over_notes_are_nudged_once() -> None:
    asked = leaf(2, root=True)
    attempt = again(asked, asked.first(), f"{lines([1, 2])}\n===\n")
    attempt = again(asked, attempt, "A barn [41]. A ghost [1].")
    assert attempt.over_answers == Attempt(0, ("citation",))
    result = accepted(asked, attempt, "A barn [41]. A ghost [1].")
    assert (result.text, result.refused) == ("A barn [41].", 1)


def test_where_no_answer_over_the_notes_comes_the_lines_are_the_answer() -> None:
    asked = leaf(2, root=True)
    attempt = again(asked, asked.first(), f"{lines([1, 2])}\n===\n")
    for _ in range(ATTEMPTS_MAX - 1):
        attempt = again(asked, attempt, "")
    assert accepted(asked, attempt, "").text == f"[41] {thing(1)}\n[42] {thing(2)}"


# --- false citations


@pytest.mark.parametrize("root", [True, False])
def test_false_citations_are_nudged_once_and_then_removed(root: bool) -> None:
    asked = leaf(2, root)
    told = f"{lines([1])} as in [7]\n{lines([2])}\n===\nA barn [1]. A ghost [9]."
    second = again(asked, asked.first(), told)
    assert (second.shown, second.nudges, second.refused) == ((1, 2), ("citation",), 0)
    assert said(asked, second).endswith(prompts.text("nudge_citation"))
    result = accepted(asked, second, told)
    assert result.refused == 2
    assert citations.cited_numbers(result.text) == ([41] if root else [41, 42])
    assert "[7]" not in result.text
    assert "[9]" not in result.text


def test_after_a_nudge_the_better_reply_is_used() -> None:
    asked = leaf(2, root=True)
    second = again(asked, asked.first(), f"{lines([1, 2])}\n===\nA barn [1]. A ghost [9].")
    result = accepted(asked, second, f"{lines([1, 2])}\n===\nA barn [1], no ghost.")
    assert (result.text, result.refused) == ("A barn [41], no ghost.", 0)


def test_after_a_nudge_lines_that_are_left_out_are_those_of_the_reply_before() -> None:
    asked = leaf(2)
    second = again(asked, asked.first(), f"{lines([1, 2])} as in [9]")
    images = images_of(accepted(asked, second, "[1] a shed"))
    assert images.notes == {41: "a shed", 42: f"{thing(2)} as in"}


def test_after_a_nudge_text_about_no_single_image_is_that_of_the_last_reply() -> None:
    asked = leaf(2)
    second = again(asked, asked.first(), f"{lines([1, 2])} as in [9]\n\nBoth by day.")
    assert accepted(asked, second, f"{lines([1, 2])}\n\nBoth by night.").text.endswith(
        f"{thing(2)}\n\nBoth by night."
    )


def test_after_a_nudge_a_reply_with_gaps_leaves_the_answer_before_it() -> None:
    asked = leaf(2, root=True)
    second = again(asked, asked.first(), f"{lines([1, 2])}\n===\nA barn [1]. A ghost [9].")
    assert accepted(asked, second, "[1] a shed\n===\nOne shed [1].").text == "A barn [41]."


def test_false_citations_of_notes_and_of_the_answer_over_them_are_counted_together() -> None:
    asked = leaf(2, root=True)
    told = f"{lines([1, 2])} as in [9]\n===\n"
    third = again(asked, again(asked, asked.first(), told), told)
    assert third.over_answers == FIRST
    fourth = again(asked, third, "A barn [41]. A ghost [1].")
    assert accepted(asked, fourth, "A barn [41]. A ghost [1].").refused == 2


def test_the_last_attempt_is_not_spent_on_false_citations() -> None:
    asked = leaf(4)
    second = again(asked, asked.first(), lines([1, 2]))
    third = again(asked, second, "")
    result = accepted(asked, third, "[1] a tent as in [9]\n[2] a tower")
    assert result.refused == 1
    assert len(images_of(result).seen) == 4


# --- an image alone


def test_an_answer_about_one_image_needs_no_line() -> None:
    asked = leaf(1, root=True)
    assert prompts.text("lines") not in said(asked, asked.first())
    result = accepted(asked, asked.first(), "A red barn [1].")
    assert result == Accepted("A red barn [41].", 0, LeafImages({41: Seen.ANSWER}))


@pytest.mark.parametrize("text", ["[1] a red barn", "Image 1: a red barn", "1. a red barn"])
def test_notes_on_one_image_are_its_line(text: str) -> None:
    asked = leaf(1)
    result = accepted(asked, asked.first(), text)
    assert result.text == "[41] a red barn"
    assert images_of(result).seen == {41: Seen.LINE}


def test_notes_on_one_image_need_no_number() -> None:
    asked = leaf(1)
    images = images_of(accepted(asked, asked.first(), "A red barn.\n\nA dog before it."))
    assert images.notes == {41: "A red barn.\n\nA dog before it."}


@pytest.mark.parametrize("root", [True, False])
def test_an_image_alone_gets_three_attempts_and_then_fails(root: bool) -> None:
    asked = leaf(1, root)
    attempt = asked.first()
    for _ in range(ATTEMPTS_MAX - 1):
        attempt = again(asked, attempt, "No comment.")
        assert attempt.shown == (1,)
    images = images_of(accepted(asked, attempt, "No comment."))
    assert images.seen == {}
    assert images.unseen[41][0] is RefusalCode.UNSEEN


# --- bare, and further questions


@pytest.mark.parametrize("root", [True, False])
def test_a_bare_job_takes_any_reply_and_calls_its_images_sent(root: bool) -> None:
    asked = leaf(4, root, bare=True)
    assert prompts.text("lines") not in said(asked, asked.first())
    result = accepted(asked, asked.first(), "All are barns [1-4].")
    assert result.text == "All are barns [41-44]."
    assert images_of(result) == LeafImages(dict.fromkeys([41, 42, 43, 44], Seen.SENT))


def test_a_bare_job_keeps_the_lines_that_there_are() -> None:
    asked = leaf(2, bare=True)
    result = accepted(asked, asked.first(), lines([1]))
    assert images_of(result).seen == {41: Seen.LINE, 42: Seen.SENT}


def test_a_bare_reply_of_lines_alone_is_the_answer() -> None:
    asked = leaf(2, root=True, bare=True)
    result = accepted(asked, asked.first(), "[1] a barn\n[2] no comment")
    assert result.text == "[41] a barn\n[42] no comment"


def test_a_bare_reply_may_say_the_same_of_several_images() -> None:
    asked = leaf(2, bare=True)
    images = images_of(accepted(asked, asked.first(), "[1] a barn\n[2] a barn"))
    assert images.notes == {41: "a barn", 42: "a barn"}


def test_a_bare_answer_keeps_the_lines_above_it() -> None:
    asked = leaf(2, root=True, bare=True)
    told = "[1] a barn\n[2] a boat\n\nTwo things."
    assert accepted(asked, asked.first(), told).text == "[41] a barn\n[42] a boat\n\nTwo things."


@pytest.mark.parametrize("root", [True, False])
def test_a_bare_reply_that_is_cut_is_asked_for_once_more_with_more_room(root: bool) -> None:
    asked = leaf(2, root, bare=True)
    second = again(asked, asked.first(), "Two thi", "length")
    assert (second.shown, second.widened) == ((1, 2), 1)
    assert accepted(asked, second, "Two thi", "length").text.startswith("Two thi")


def further(count: int, known: Mapping[int, str]) -> Leaf:
    """A further question over images that have the ``known`` lines from the first one."""
    history = exchanges([{"ask": "How many barns?", "answer": "One [1]."}])
    return leaf(count, root=True, known_notes=known, history=history)


def exchanges(history: Sequence[Mapping[str, str]]) -> Any:
    return JobOptions.from_json({"history": list(history)}).history


def test_a_further_question_needs_no_lines_where_the_first_one_got_them() -> None:
    asked = further(2, {1: "a barn", 2: "a boat"})
    result = accepted(asked, asked.first(), "The boat [2].")
    assert result.text == "The boat [42]."
    assert images_of(result) == LeafImages(
        {41: Seen.LINE, 42: Seen.LINE}, notes={41: "a barn", 42: "a boat"}
    )


def test_a_further_question_keeps_a_new_line_and_else_the_known_one() -> None:
    asked = further(3, {1: "a barn", 2: "a boat"})
    images = images_of(accepted(asked, asked.first(), "[1] an old barn\n\nThe barn [1]."))
    assert images.notes == {41: "an old barn", 42: "a boat"}
    assert images.seen == {41: Seen.LINE, 42: Seen.LINE, 43: Seen.SENT}


def test_the_answer_to_a_further_question_is_what_stands_below_the_line() -> None:
    asked = further(2, {})
    assert (
        accepted(asked, asked.first(), f"{lines([1, 2])}\n===\nA boat [2].").text == "A boat [42]."
    )


# --- canaries


def with_words(asked: Leaf, attempt: LeafAttempt, told: Mapping[int, str]) -> dict[int, str]:
    """Lines by number of the request: ``told`` by number of the leaf, and the canaries' words."""
    placed = asked.placed(attempt)
    by_number = {n: told[number] for n, number in placed.items() if number in told}
    by_number |= {c.place: f"the word {c.word.title()}" for c in asked.canaries(attempt)}
    return dict(sorted(by_number.items()))


def written(by_number: Mapping[int, str]) -> str:
    return "\n".join(f"[{n}] {line}" for n, line in by_number.items())


ALL_SIX = {n: thing(n) for n in range(1, 7)}


def test_canaries_are_in_no_position_line_or_text() -> None:
    asked = leaf(6, canary=True)
    told = written(with_words(asked, asked.first(), ALL_SIX))
    result = accepted(asked, asked.first(), told)
    assert images_of(result) == LeafImages(
        {40 + n: Seen.LINE for n in range(1, 7)}, notes={40 + n: thing(n) for n in range(1, 7)}
    )
    assert result.text == "\n".join(f"[{40 + n}] {thing(n)}" for n in range(1, 7))
    assert result.refused == 0


def test_canaries_are_named_in_the_request_and_numbered_with_the_images() -> None:
    asked = leaf(6, canary=True)
    places = [canary.place for canary in asked.canaries(asked.first())]
    assert len(places) == 2
    assert sorted([*places, *asked.placed(asked.first())]) == list(range(1, 9))
    assert prompts.canaries(places) in said(asked, asked.first())
    assert said(asked, asked.first()).startswith(prompts.numbered(8))


@pytest.mark.parametrize("wrong", ["a red barn", "a word"])
@pytest.mark.parametrize("root", [True, False])
def test_where_a_word_is_not_read_nothing_of_the_reply_is_believed(wrong: str, root: bool) -> None:
    asked = leaf(6, root, canary=True)
    for canary in asked.canaries(asked.first()):
        told = with_words(asked, asked.first(), ALL_SIX) | {canary.place: wrong}
        result = asked.review(asked.first(), reply(written(told)))
        assert isinstance(result, NotSeen)
        assert result.by_canary  # half of the pictures may be seen, or none


@pytest.mark.parametrize(
    ("count", "room"),
    [(60, 31), (6, 4), (3, 2), (2, 2), (1, 2)],
)
def test_where_a_word_is_not_read_half_as_many_pictures_are_tried(count: int, room: int) -> None:
    """Two at least, as a canary needs an image beside it."""
    asked = leaf(count, canary=True)
    told = with_words(asked, asked.first(), {n: thing(n) for n in range(1, count + 1)})
    told[max(told)] = "a barn"
    result = asked.review(asked.first(), reply(written(told)))
    assert isinstance(result, NotSeen)
    assert result.room == room


def test_where_two_pictures_are_too_many_no_room_is_known() -> None:
    asked = leaf(1, canary=True, images_per_request=10)
    assert len(asked.canaries(asked.first())) == 1
    told = with_words(asked, asked.first(), {1: "a barn"}) | {2: "a boat"}
    result = asked.review(asked.first(), reply(written(told)))
    assert isinstance(result, NotSeen)
    assert (result.room, result.by_canary) == (None, True)


def test_words_in_each_others_places_are_not_read() -> None:
    asked = leaf(6, canary=True)
    one, other = asked.canaries(asked.first())
    told = with_words(asked, asked.first(), ALL_SIX)
    told |= {one.place: other.word, other.place: one.word}
    assert isinstance(asked.review(asked.first(), reply(written(told))), NotSeen)


def test_a_word_that_stands_at_an_images_number_is_not_read() -> None:
    asked = leaf(6, canary=True)
    attempt = asked.first()
    for _ in range(ATTEMPTS_MAX):
        one, other = asked.canaries(attempt)
        told = written(dict.fromkeys(asked.placed(attempt), f"{one.word} {other.word}"))
        result = asked.review(attempt, reply(told))
        if isinstance(result, AskAgain):
            attempt = result.attempt
    assert isinstance(result, NotSeen)


@pytest.mark.parametrize("root", [True, False])
def test_a_canary_without_an_answer_is_asked_for_again(root: bool) -> None:
    """The model may have left it out as an image without content. Nothing of the reply is kept."""
    asked = leaf(6, root, canary=True)
    attempt = asked.first()
    for turn in range(1, ATTEMPTS_MAX):
        told = with_words(asked, attempt, ALL_SIX)
        del told[asked.canaries(attempt)[0].place]
        following = again(asked, attempt, written(told))
        assert (following.shown, following.kept, following.copied) == (attempt.shown, {}, {})
        assert (following.turn, following.widened) == (turn, 0)
        assert following.nudges == ("line",) * turn
        assert asked.canaries(following) != asked.canaries(attempt)
        attempt = following
    told = with_words(asked, attempt, ALL_SIX)
    result = accepted(asked, attempt, written(told) + "\n===\nSix things.")
    assert len(images_of(result).seen) == 6
    del told[asked.canaries(attempt)[1].place]
    last = asked.review(attempt, reply(written(told)))
    assert isinstance(last, NotSeen)
    assert (last.room, last.by_canary) == (None, True)  # it limits no other request


def test_a_wrong_word_beside_a_missing_one_is_not_asked_for_again() -> None:
    asked = leaf(6, canary=True)
    told = with_words(asked, asked.first(), ALL_SIX)
    one, other = asked.canaries(asked.first())
    del told[other.place]
    result = asked.review(asked.first(), reply(written(told | {one.place: "a barn"})))
    assert isinstance(result, NotSeen)


def test_a_reply_with_a_canary_alone_shows_that_the_images_have_no_line() -> None:
    asked = leaf(6, canary=True)
    second = again(asked, asked.first(), written(with_words(asked, asked.first(), {})))
    assert second.shown == tuple(range(1, 7))


def test_a_word_that_is_missing_from_a_cut_reply_is_asked_for_with_more_room() -> None:
    asked = leaf(6, canary=True)
    attempt = asked.first()
    for turn in range(ATTEMPTS_MAX):
        assert (attempt.shown, attempt.widened, attempt.kept) == (tuple(range(1, 7)), turn, {})
        told = with_words(asked, attempt, ALL_SIX)
        told.popitem()
        result = asked.review(attempt, reply(written(told), "length"))
        if isinstance(result, AskAgain):
            attempt = result.attempt
    assert attempt.nudges == ("length",) * (ATTEMPTS_MAX - 1)
    assert isinstance(result, NotSeen)


def test_an_attempt_at_some_images_has_canaries_of_its_own_and_new_numbers() -> None:
    asked = leaf(6, canary=True)
    told = {n: line for n, line in ALL_SIX.items() if n not in (2, 5)}
    second = again(asked, asked.first(), written(with_words(asked, asked.first(), told)))
    assert second.shown == (2, 5)
    assert sorted(asked.placed(second).values()) == [2, 5]
    canaries = asked.canaries(second)
    assert [canary.place for canary in canaries][-1] == 4
    assert canaries != asked.canaries(asked.first())
    assert len(image_urls(body_of(asked, second))) == 4
    result = accepted(asked, second, written(with_words(asked, second, ALL_SIX)))
    assert images_of(result).notes == {40 + n: thing(n) for n in range(1, 7)}


def test_a_citation_of_a_canary_is_neither_false_nor_kept() -> None:
    asked = leaf(6, root=True, canary=True)
    first = asked.first()
    place = asked.canaries(first)[0].place
    barn = next(n for n, number in asked.placed(first).items() if number == 1)
    told = written(with_words(asked, first, ALL_SIX))
    told += f"\n===\nA barn [{barn}]. A word [{place}]. Both [{barn}, {place}]."
    result = accepted(asked, first, told)
    assert result.refused == 0
    assert result.text == "A barn [41]. Both [41]."


def test_a_request_over_lines_shows_no_canary() -> None:
    asked = leaf(6, root=True, canary=True)
    told = written(with_words(asked, asked.first(), ALL_SIX)) + "\n===\n"
    attempt = again(asked, asked.first(), told)
    assert asked.canaries(attempt) == ()
    assert image_urls(body_of(asked, attempt)) == []
    words = [canary.word for canary in asked.canaries(asked.first())]
    assert not [word for word in words if word.casefold() in said(asked, attempt).casefold()]


def test_one_image_with_canaries_is_asked_for_lines_that_show_them() -> None:
    asked = leaf(1, root=True, canary=True)
    assert prompts.text("lines") in said(asked, asked.first())
    told = written(with_words(asked, asked.first(), {1: "a barn"}))
    result = accepted(asked, asked.first(), f"{told}\n===\nA barn.")
    assert result == Accepted("A barn.", 0, LeafImages({41: Seen.ANSWER}))


# --- whatever is replied


LINE_TEXTS = st.sampled_from(
    ["a barn", "a dog", "a dog [1]", "a ghost [99]", "no comment", "", "a cat\nwith a hat", "n/a"]
)
PIECES = st.one_of(
    st.tuples(st.integers(0, 14), LINE_TEXTS).map(lambda told: f"[{told[0]}] {told[1]}"),
    st.sampled_from(
        ["===", "", "The answer [1].", "A ghost [99].", "[1-3] all red", "WORDS", "All red."]
    ),
)
REPLIES = st.tuples(
    st.one_of(st.just([]), st.lists(PIECES, max_size=16)), st.sampled_from(["stop", "length"])
)
JOBS: tuple[dict[str, Any], ...] = ({}, {"bare": True}, {"canary": True}, {"history": True})


def told_by(asked: Leaf, attempt: LeafAttempt, pieces: Sequence[str], finish: str) -> Reply:
    """A reply in which WORDS stands for lines that read the canaries."""
    words = "\n".join(f"[{canary.place}] {canary.word}" for canary in asked.canaries(attempt))
    return reply("\n".join(pieces).replace("WORDS", words), finish)


def chain(asked: Leaf, replies: Sequence[tuple[Sequence[str], str]]) -> tuple[list[Any], Any]:
    """All attempts that follow from ``replies``, the last repeated, and the result."""
    attempts = [asked.first()]
    for turn in range(ATTEMPTS_MAX_PER_LEAF):
        pieces, finish = replies[min(turn, len(replies) - 1)]
        result = asked.review(attempts[-1], told_by(asked, attempts[-1], pieces, finish))
        if not isinstance(result, AskAgain):
            return attempts, result
        attempts.append(result.attempt)
    raise AssertionError("the chain does not end")


@settings(max_examples=250, deadline=None)
@given(
    st.integers(1, 12),
    st.booleans(),
    st.sampled_from(JOBS),
    st.lists(REPLIES, min_size=1, max_size=ATTEMPTS_MAX_PER_LEAF),
)
def test_attempts_end_and_account_for_every_image_once(
    count: int,
    root: bool,
    job: dict[str, Any],
    replies: list[tuple[list[str], str]],
) -> None:
    if "history" in job:
        job = {"history": exchanges([{"ask": "How many?", "answer": "One [1]."}])}
    asked = leaf(count, root, **job)
    attempts, result = chain(asked, replies)
    assert (attempts, result) == chain(asked, replies)  # the ledger leads to the same attempts
    for attempt, following in pairwise(attempts):
        assert set(following.shown) <= set(attempt.shown)
        assert set(following.kept) >= set(attempt.kept)
    bodies = [json.dumps(body_of(asked, attempt), sort_keys=True) for attempt in attempts]
    assert len(set(bodies)) == len(bodies)  # each attempt is another request
    if isinstance(result, NotSeen):
        assert asked.canaries(attempts[-1])
        return
    images = images_of(result)
    apart = [position for group in images.apart for position in group]
    accounted = [*images.seen, *images.unseen, *apart]
    assert sorted(accounted) == list(asked.positions.values())  # each of them once
    shown = len(attempts[-1].shown)
    assert not images.apart or shown > 1
    assert all(1 <= len(group) < shown for group in images.apart)
    assert not images.unseen or shown == 1  # it fails only if it was shown alone
    assert set(images.notes) <= set(images.seen)
    assert set(citations.cited_numbers(result.text)) <= set(asked.positions.values())


def test_a_citation_over_two_parts_of_a_reply_is_not_taken_as_it_is() -> None:
    """The line about image 2 ends with ``[3``, and the text below begins with ``]``. Joined, they
    would cite an image 3, which was not shown."""
    asked = leaf(3)
    text = f"[1] {thing(1)}\n[2] {thing(2)}\n[3\n\n] {thing(3)}"
    first = again(asked, asked.first(), text)
    result = accepted(asked, first, f"[1] {thing(3)}")
    assert set(citations.cited_numbers(result.text)) <= {41, 42, 43}
    assert set(citations.cited_numbers(asked.notes(first))) <= {41, 42, 43}
