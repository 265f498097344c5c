"""Attempts of a leaf with one value per image: which attempt follows which replies."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import RefusalCode
from core.jobs import JobSpec
from core.reply import Reply
from core.requests.leaf import ATTEMPTS_MAX_PER_LEAF, Leaf, LeafAttempt
from core.requests.leaves import leaf_of
from core.requests.request import FIRST, Body, image_urls, request_context
from core.requests.review import (
    ATTEMPTS_ALONE,
    ATTEMPTS_MAX,
    Accepted,
    AskAgain,
    LeafImages,
    NotSeen,
)
from core.requests.value_leaf import ValueLeaf
from core.settings import load
from core.states import Seen
from core.tree.capacity import NOTHING_LEARNED
from tests.support.leaves import accepted, again, images_of, reply

URLS = ["sha256:a", "sha256:b", "sha256:c"]
POSITIONS = {1: 41, 2: 42, 3: 57}
COUNT = {
    "type": "object",
    "required": ["receipts", "summary"],
    "properties": {"receipts": {"type": "integer"}, "summary": {"type": "string"}},
}
RECORD = {"receipts": 1, "summary": "tea"}


def leaf(
    root: bool = False,
    model: str = "step-3.7-flash",
    positions: dict[int, int] = POSITIONS,
    **asked: Any,
) -> Leaf:
    spec = JobSpec(images=["x"], **asked)
    context = request_context(
        load(), question=spec.question, model=model, provider="stepfun", endpoint="e",
        detail="low", options=spec.options, learned=NOTHING_LEARNED,
    )  # fmt: skip
    contents = {number: f"content {number}" for number in positions}
    made = leaf_of(context, positions, contents, root)
    assert isinstance(made, ValueLeaf)
    return made


def numbered(count: int) -> dict[int, int]:
    return {number: 100 + number for number in range(1, count + 1)}


def said(body: Body) -> str:
    content = body["messages"][-1]["content"]
    return str(content if isinstance(content, str) else content[-1]["text"])


# --- answers


def test_answers_are_stored_by_job_position() -> None:
    asked = leaf(each="Which colour?")
    told = {"1": "[1] red", "2": "blue, unlike [1]", "3": "-"}
    answers = {41: "red", 42: "blue, unlike [41]", 57: "-"}
    assert accepted(asked, asked.first(), told) == Accepted(
        "[41] red\n[42] blue, unlike [41]\n[57] -",
        0,
        LeafImages(dict.fromkeys(answers, Seen.ANSWER), answers=answers),
    )


def test_schema_values_are_not_read_as_citations() -> None:
    sizes = {"type": "object", "properties": {"size": {"enum": ["[10]", "[20]"]}}}
    asked = leaf(each="Which size?", schema=sizes)
    result = accepted(asked, asked.first(), {key: {"size": "[20]"} for key in "123"})
    assert images_of(result).answers == {key: {"size": "[20]"} for key in (41, 42, 57)}


def test_a_key_or_citation_without_an_image_is_refused() -> None:
    asked = leaf(each="Which colour?")
    told = {"1": "red", "2": "as [9].", "3": "blue [2]. Like [9].", "4": "x", "9": "x"}
    result = accepted(asked, asked.first(), told)
    assert images_of(result).answers == {41: "red", 42: "as.", 57: "blue [42]."}
    assert result.refused == 2


@pytest.mark.parametrize(
    "value", ["no comment", "Image not provided.", "同上", "(see above)", "", None]
)
def test_a_value_that_says_nothing_about_its_image_does_not_count(value: Any) -> None:
    asked = leaf(each="Which colour?")
    assert again(asked, asked.first(), {"1": "red", "2": value, "3": "blue"}).shown == (2,)


@pytest.mark.parametrize(
    "value", ["n/a", "none", "unknown", "-", "the same", "无", "Not provided.", "ditto", False, 0]
)
def test_a_short_answer_is_an_answer(value: Any) -> None:
    asked = leaf(each="Is there damage?")
    accepted(asked, asked.first(), dict.fromkeys("123", value))


def test_equal_answers_are_no_copies() -> None:
    asked = leaf(each="Which colour?")
    result = accepted(asked, asked.first(), dict.fromkeys("123", "red"))
    assert set(images_of(result).seen) == {41, 42, 57}


# --- what is missing


def test_missing_images_are_sent_again_alone_with_new_numbers() -> None:
    asked = leaf(each="Which colour?", positions=numbered(4))
    attempt = again(asked, asked.first(), {"1": "red", "2": "", "4": "grey"})
    assert attempt == LeafAttempt((2, 3), 1, 0, ("missing",), {1: "red", 4: "grey"})
    body = asked.body(attempt, URLS[1:])
    assert image_urls(body) == URLS[1:]
    assert '"1" to "2"' in said(body)
    assert "no usable value" in said(body)
    result = accepted(asked, attempt, {"1": "green", "2": "blue"})
    assert images_of(result).answers == {101: "red", 102: "green", 103: "blue", 104: "grey"}
    assert result.text == "[101] red\n[102] green\n[103] blue\n[104] grey"


def test_what_an_attempt_has_kept_can_be_read_before_all_is_answered_for() -> None:
    asked = leaf(each="Which colour?")
    second = again(asked, asked.first(), {"1": "red", "3": "blue"})
    assert asked.notes(second) == "[41] red\n[57] blue"
    answers = {41: "red", 57: "blue"}
    assert asked.seen(second) == LeafImages(dict.fromkeys(answers, Seen.ANSWER), answers=answers)


@pytest.mark.parametrize(
    ("count", "answered", "apart"),
    [
        (3, 1, ((102,), (103,))),
        (10, 4, ((105, 106, 107), (108, 109, 110))),
        (9, 4, ((105, 106, 107), (108, 109))),
        (60, 25, (tuple(range(126, 144)), tuple(range(144, 161)))),
    ],
)
def test_where_a_reply_answers_less_than_half_the_rest_is_put_apart(
    count: int, answered: int, apart: tuple[tuple[int, ...], ...]
) -> None:
    """The groups have at most as many images as the model managed."""
    asked = leaf(each="Which colour?", positions=numbered(count))
    told = {str(number): "red" for number in range(1, answered + 1)}
    images = images_of(accepted(asked, asked.first(), told))
    assert images.apart == apart
    assert len(images.seen) == len(images.answers) == answered
    assert images.unseen == {}


def test_where_a_reply_answers_half_the_rest_is_shown_again() -> None:
    asked = leaf(each="Which colour?", positions=numbered(10))
    told = {str(number): "red" for number in range(1, 6)}
    assert again(asked, asked.first(), told).shown == (6, 7, 8, 9, 10)


def test_after_two_replies_without_a_usable_value_several_images_are_asked_one_by_one() -> None:
    asked = leaf(each="Which colour?")
    second = again(asked, asked.first(), "sorry")
    assert (second.shown, second.widened, second.nudges) == ((1, 2, 3), 1, ("missing",))
    result = accepted(asked, second, "sorry")
    assert result == Accepted("", 0, LeafImages({}, apart=((41,), (42,), (57,))))


def test_after_two_replies_without_a_usable_value_many_images_are_asked_in_groups() -> None:
    """Of an eighth of them: the model may manage fewer keys."""
    asked = leaf(each="Which colour?", positions=numbered(60))
    result = accepted(asked, again(asked, asked.first(), "sorry"), "sorry")
    assert [len(group) for group in images_of(result).apart] == [7] * 6 + [6] * 3


def test_at_most_three_attempts_show_several_images() -> None:
    asked = leaf(each="Which colour?", positions=numbered(8))
    second = again(asked, asked.first(), {str(n): "red" for n in range(1, 5)})
    third = again(asked, second, {"1": "red", "2": "red"})
    assert third.shown == (7, 8)
    images = images_of(accepted(asked, third, {"1": "red"}))
    assert images.apart == ((108,),)
    assert len(images.answers) == 7


def test_an_image_alone_gets_three_attempts_and_then_fails() -> None:
    asked = leaf(each="Which colour?", positions={1: 41})
    attempt, bodies = asked.first(), []
    for _ in range(ATTEMPTS_MAX - 1):
        bodies.append(asked.body(attempt, URLS[:1]))
        attempt = again(asked, attempt, "sorry")
    bodies.append(asked.body(attempt, URLS[:1]))
    images = images_of(accepted(asked, attempt, "sorry"))
    assert set(images.unseen) == {41}
    assert images.unseen[41][0] is RefusalCode.NO_ANSWER
    assert len({json.dumps(body, sort_keys=True) for body in bodies}) == ATTEMPTS_MAX


@pytest.mark.parametrize("finish", ["stop", "length"])
@pytest.mark.parametrize(("images", "attempts"), [(1, ATTEMPTS_ALONE), (3, ATTEMPTS_MAX)])
def test_an_empty_reply_is_retried_with_more_room_and_every_attempt_is_a_new_request(
    images: int, attempts: int, finish: str
) -> None:
    asked = leaf(each="Which colour?", positions=numbered(images))
    attempt, bodies = asked.first(), []
    for _ in range(attempts - 1):
        bodies.append(asked.body(attempt, URLS[:images]))
        attempt = again(asked, attempt, "", finish)
    bodies.append(asked.body(attempt, URLS[:images]))
    result = images_of(accepted(asked, attempt, "", finish))
    assert set(result.unseen) == ({101} if images == 1 else set())
    assert result.apart == (() if images == 1 else ((101,), (102,), (103,)))
    assert len({json.dumps(body, sort_keys=True) for body in bodies}) == attempts


def test_a_cut_reply_keeps_complete_entries_and_retries_the_rest_with_more_room() -> None:
    asked = leaf(each="Which colour?")
    attempt = again(asked, asked.first(), '{"1": "red", "2": "bl', "length")
    assert attempt == LeafAttempt((2, 3), 1, 1, ("missing",), {1: "red"})


# --- with a text about all images


def test_one_reply_answers_each_image_and_the_set() -> None:
    asked = leaf(root=True, ask="How many receipts?", schema=COUNT)
    records = {str(n): {"receipts": n, "summary": "a café"} for n in (1, 2, 3)}
    whole = {"summary": "All 6 are from cafés [1-3].", "receipts": 999}
    wrong = asked.review(asked.first(), reply(records | {"whole": whole}))
    assert isinstance(wrong, AskAgain)  # totals are not the model's to give
    right = accepted(asked, asked.first(), records | {"whole": {"summary": whole["summary"]}})
    assert json.loads(right.text) == {
        "receipts": 6,
        "summary": "All 6 are from cafés [41, 42, 57].",
    }


def test_one_reply_answers_each_image_and_the_question_about_all() -> None:
    asked = leaf(root=True, ask="Which is brightest?", each="Which colour?")
    told = {"1": "red", "2": "white", "3": "blue", "whole": "The white one [2]."}
    assert accepted(asked, asked.first(), told).text == "The white one [42]."


@pytest.mark.parametrize("whole", ["The white one [9].", "", 3, None])
def test_text_that_cannot_be_kept_is_requested_over_the_answers(whole: Any) -> None:
    asked = leaf(root=True, ask="Which is brightest?", each="Which colour?")
    told = {"1": "red", "2": "white", "3": "blue", "whole": whole}
    attempt = again(asked, asked.first(), told)
    assert attempt.over_answers == FIRST
    body = asked.body(attempt, [])
    assert image_urls(body) == []
    assert "[41] red\n[42] white\n[57] blue" in said(body)
    result = accepted(asked, attempt, "The white one [42].")
    assert result.text == "The white one [42]."
    assert set(images_of(result).answers) == {41, 42, 57}


def test_a_number_that_no_image_gave_is_not_taken_from_a_first_reply() -> None:
    asked = leaf(root=True, ask="How many receipts?", schema=COUNT)
    told = dict.fromkeys("123", RECORD) | {"whole": {"summary": "There are 999."}}
    assert again(asked, asked.first(), told).over_answers == FIRST


def test_the_text_about_all_is_asked_for_in_the_first_request_alone() -> None:
    asked = leaf(root=True, ask="Which is brightest?", each="Which colour?")
    assert "Which is brightest?" in said(asked.body(asked.first(), URLS))
    second = again(asked, asked.first(), {"1": "red", "2": "white"})
    assert "Which is brightest?" not in said(asked.body(second, URLS[2:]))
    assert "Which is brightest?" not in said(leaf(each="Which colour?").body(second, URLS[2:]))


def test_where_no_value_came_a_root_has_no_text() -> None:
    asked = leaf(root=True, ask="How many receipts?", schema=COUNT)
    result = accepted(asked, again(asked, asked.first(), "sorry"), "sorry")
    assert result == Accepted("", 0, LeafImages({}, apart=((41,), (42,), (57,))))


def test_text_of_a_reply_with_gaps_is_requested_again_over_the_answers() -> None:
    asked = leaf(root=True, ask="How many receipts?", schema=COUNT)
    second = again(asked, asked.first(), {"1": RECORD, "2": RECORD, "whole": {"summary": "Tea."}})
    assert second.shown == (3,)
    assert '"whole"' not in said(asked.body(second, URLS[2:]))
    third = again(asked, second, {"1": RECORD})
    body = asked.body(third, [])
    assert '"receipts": 3' in said(body)
    assert "[57] receipts: 1; summary: tea" in said(body)
    last = accepted(asked, third, {"summary": "Tea [41], [57]."})
    assert json.loads(last.text) == {"receipts": 3, "summary": "Tea [41], [57]."}


@pytest.mark.parametrize("bad", ["", "{}", '{"summary": "There are 999."}', '{"summary": 3}'])
def test_text_that_never_fits_is_replaced_by_the_records(bad: str) -> None:
    asked = leaf(root=True, ask="How many receipts?", schema=COUNT)
    attempt = again(asked, asked.first(), dict.fromkeys("123", RECORD))
    for _ in range(2):
        attempt = again(asked, attempt, bad)
    assert json.loads(accepted(asked, attempt, bad).text) == {
        "receipts": 3,
        "summary": "[41] tea; [42] tea; [57] tea",
    }


def test_the_longest_chain_ends_within_the_attempts_that_are_replayed() -> None:
    """One image, four empty replies, then its answer, and three bad texts."""
    asked = leaf(root=True, ask="Why?", each="Which colour?", positions={1: 41})
    attempt, made = asked.first(), 1
    for told in ["", "", "", "", {"1": "red"}, "", ""]:
        attempt, made = again(asked, attempt, told), made + 1
    assert made == ATTEMPTS_MAX_PER_LEAF
    assert accepted(asked, attempt, "").text == "[41] red"


# --- canaries


def proven(root: bool = False, **asked: Any) -> Leaf:
    return leaf(root, canary=True, **(asked or {"each": "Which colour?"}))


def told_with_words(asked: Leaf, attempt: LeafAttempt, value: Any = "red") -> dict[str, Any]:
    words = {str(canary.place): canary.word for canary in asked.canaries(attempt)}
    return {str(n): value for n in asked.placed(attempt)} | words


def test_canaries_that_are_read_are_in_no_answer() -> None:
    asked = proven()
    assert len(asked.canaries(asked.first())) == 2
    result = accepted(asked, asked.first(), told_with_words(asked, asked.first()))
    assert images_of(result).answers == {41: "red", 42: "red", 57: "red"}
    assert result.text == "[41] red\n[42] red\n[57] red"


@pytest.mark.parametrize("wrong", ["red", 3, "I see a word.", None, ["a", "b"]])
def test_where_a_word_is_not_read_nothing_of_the_reply_is_believed(wrong: Any) -> None:
    asked = proven()
    for canary in asked.canaries(asked.first()):
        told = told_with_words(asked, asked.first()) | {str(canary.place): wrong}
        result = asked.review(asked.first(), reply(told))
        assert isinstance(result, NotSeen)
        assert (result.room, result.by_canary) == (2, True)  # of the five pictures


@pytest.mark.parametrize("is_left_out", [True, False])
def test_a_canary_without_an_answer_is_asked_for_again(is_left_out: bool) -> None:
    asked = proven()
    attempt = asked.first()
    for turn in range(1, ATTEMPTS_MAX):
        following = again(asked, attempt, without_a_word(asked, attempt, is_left_out))
        assert following == LeafAttempt((1, 2, 3), turn, 0, ("missing",) * turn)
        assert asked.canaries(following) != asked.canaries(attempt)
        attempt = following
    answered = accepted(asked, attempt, told_with_words(asked, attempt))
    assert set(images_of(answered).answers) == {41, 42, 57}
    last = asked.review(attempt, reply(without_a_word(asked, attempt, is_left_out)))
    assert isinstance(last, NotSeen)
    assert last.by_canary


def without_a_word(asked: Leaf, attempt: LeafAttempt, is_left_out: bool) -> dict[str, Any]:
    told = told_with_words(asked, attempt)
    place = str(asked.canaries(attempt)[1].place)
    return {n: said for n, said in told.items() if n != place} | (
        {} if is_left_out else {place: ""}
    )


def test_a_word_that_is_missing_from_a_cut_reply_is_asked_for_with_more_room() -> None:
    asked = proven()
    told = without_a_word(asked, asked.first(), is_left_out=True)
    second = again(asked, asked.first(), json.dumps(told)[:-1], "length")
    assert second == LeafAttempt((1, 2, 3), 1, 1, ("length",))


def test_words_of_two_canaries_that_are_exchanged_are_not_read() -> None:
    asked = proven()
    one, other = asked.canaries(asked.first())
    told = told_with_words(asked, asked.first())
    told |= {str(one.place): other.word, str(other.place): one.word}
    assert isinstance(asked.review(asked.first(), reply(told)), NotSeen)


def test_the_schema_asks_for_a_canarys_word_and_not_for_a_record() -> None:
    asked = proven(root=True, ask="How many receipts?", schema=COUNT)
    urls = ["u"] * 5
    body = asked.body(asked.first(), urls)
    properties = body["response_format"]["json_schema"]["schema"]["properties"]
    places = {str(canary.place) for canary in asked.canaries(asked.first())}
    assert {key for key, value in properties.items() if value.get("type") == "string"} == places
    assert ", ".join(f"[{place}]" for place in sorted(places)) in said(body)
    told = told_with_words(asked, asked.first(), RECORD) | {"whole": {"summary": "Tea."}}
    assert json.loads(accepted(asked, asked.first(), told).text)["receipts"] == 3


def test_images_that_are_shown_again_are_numbered_anew_around_their_canaries() -> None:
    asked = proven()
    told = told_with_words(asked, asked.first())
    missing = next(n for n, number in asked.placed(asked.first()).items() if number == 2)
    del told[str(missing)]
    attempt = again(asked, asked.first(), told)
    assert attempt.shown == (2,)
    assert list(asked.placed(attempt).values()) == [2]
    assert len(asked.canaries(attempt)) == 2
    result = accepted(asked, attempt, told_with_words(asked, attempt, "blue"))
    assert images_of(result).answers == {41: "red", 42: "blue", 57: "red"}


# --- whatever is replied


VALUES = st.sampled_from(["red", "no comment", "", "a ghost [99]", "like [1]", None, 3, RECORD])
OBJECTS = st.dictionaries(
    st.one_of(st.integers(0, 14).map(str), st.just("whole"), st.just("WORDS")), VALUES, max_size=14
)
REPLIES = st.tuples(
    st.one_of(OBJECTS, st.sampled_from(["", " ", "sorry", '{"1": "red", "2": "bl', "A red one."])),
    st.sampled_from(["stop", "length"]),
)
JOBS: tuple[dict[str, Any], ...] = (
    {"each": "Which colour?"},
    {"each": "Which colour?", "ask": "Which is brightest?"},
    {"ask": "How many receipts?", "schema": COUNT},
    {"each": "How many receipts?", "schema": COUNT},
)


def told_by(asked: Leaf, attempt: LeafAttempt, told: Any, finish: str) -> Reply:
    """A reply in which the key WORDS stands for the words of the canaries."""
    if isinstance(told, dict) and "WORDS" in told:
        told = told | {str(canary.place): canary.word for canary in asked.canaries(attempt)}
    return reply(told, finish)


def chain(asked: Leaf, replies: list[tuple[Any, str]]) -> tuple[list[LeafAttempt], Any]:
    """All attempts that follow from ``replies``, the last repeated, and the result."""
    attempts = [asked.first()]
    for turn in range(ATTEMPTS_MAX_PER_LEAF):
        told, finish = replies[min(turn, len(replies) - 1)]
        result = asked.review(attempts[-1], told_by(asked, attempts[-1], told, finish))
        if not isinstance(result, AskAgain):
            return attempts, result
        attempts.append(result.attempt)
    raise AssertionError("the chain does not end")


@settings(max_examples=250, deadline=None)
@given(
    st.integers(1, 12),
    st.booleans(),
    st.booleans(),
    st.sampled_from(JOBS),
    st.lists(REPLIES, min_size=1, max_size=ATTEMPTS_MAX_PER_LEAF),
)
def test_attempts_end_and_account_for_every_image_once(
    count: int, root: bool, canary: bool, job: dict[str, Any], replies: list[tuple[Any, str]]
) -> None:
    asked = leaf(root, positions=numbered(count), canary=canary, **job)
    attempts, result = chain(asked, replies)
    assert (attempts, result) == chain(asked, replies)  # the ledger leads to the same attempts
    for attempt, following in pairwise(attempts):
        assert set(following.shown) <= set(attempt.shown)
        assert set(following.kept) >= set(attempt.kept)
    bodies = {json.dumps(asked.body(a, _urls(asked, a)), sort_keys=True) for a in attempts}
    assert len(bodies) == len(set(map(_asked_for, attempts)))  # each attempt is another request
    if isinstance(result, NotSeen):
        assert canary
        return
    images = images_of(result)
    apart = [position for group in images.apart for position in group]
    assert sorted([*images.seen, *images.unseen, *apart]) == list(asked.positions.values())
    shown = len(attempts[-1].shown)
    assert all(1 <= len(group) < shown for group in images.apart)
    assert not images.unseen or shown == 1  # it fails only if it was shown alone
    assert set(images.answers) == set(images.seen)
    assert set(images.seen.values()) <= {Seen.ANSWER}


def _asked_for(attempt: LeafAttempt) -> Any:
    """What makes an attempt another request. Over answers a nudge is not repeated, so that the
    attempt after a second reply of a wrong form is the same request and gets the same reply."""
    inner = attempt.over_answers
    return attempt.turn if inner is None else (inner.widened, frozenset(inner.nudges))


def _urls(asked: Leaf, attempt: LeafAttempt) -> list[str]:
    """The pictures of a request by what is on them, as the key of a request names them."""
    if attempt.over_answers is not None:
        return []
    on_them = {n: f"u{number}" for n, number in asked.placed(attempt).items()}
    on_them |= {canary.place: canary.word for canary in asked.canaries(attempt)}
    return [on_them[n] for n in sorted(on_them)]


# --- the request


@pytest.mark.parametrize(
    ("model", "kind"), [("step-3.7-flash", "json_schema"), ("step-1o-turbo-vision", "json_object")]
)
def test_a_schema_is_sent_to_models_that_support_it(model: str, kind: str) -> None:
    asked = leaf(root=True, model=model, ask="How many receipts?", schema=COUNT)
    body = asked.body(asked.first(), URLS)
    assert body["response_format"]["type"] == kind
    assert ("<schema>" in said(body)) is (kind == "json_object")
    if kind == "json_schema":
        schema = body["response_format"]["json_schema"]["schema"]
        assert schema["required"] == ["1", "2", "3", "whole"]
        assert schema["additionalProperties"] is False
        assert json.dumps(schema).count("receipts") == 2  # once under $defs: named and required
