"""Judging a reply: what is recorded, what is retried, and that retries end."""

from __future__ import annotations

import pytest

from core.reply import Reply, Usage
from core.requests.request import FIRST, Attempt
from core.requests.review import ATTEMPTS_MAX, Accepted, Rejected, review, salvage

WIDENED = Attempt(widened=1)
NUDGED = Attempt(nudges=("citation",))
LAST = Attempt(1, ("citation",))
KNOWN = {1, 2}


def reply(text: str, finish: str = "stop") -> Reply:
    return Reply(text, "", finish, Usage(0, 0, 0), None, "m")


@pytest.mark.parametrize(
    ("text", "finish", "attempt", "verdict"),
    [
        ("A cat [1].", "stop", FIRST, Accepted("A cat [1].", 0)),
        ("  A cat [1].\n", "stop", FIRST, Accepted("A cat [1].", 0)),
        ("No citation at all", "stop", FIRST, Accepted("No citation at all", 0)),
        ("", "stop", FIRST, Rejected("empty")),
        (" \n", "stop", LAST, Rejected("empty")),
        ("", "length", FIRST, Rejected("length")),
        ("", "length", LAST, Rejected("length")),
        ("A cat [1", "length", FIRST, Rejected("length")),
        ("A cat [1", "length", WIDENED, Accepted("A cat [1", 0)),
        ("A cat [1", "length", NUDGED, Rejected("length")),
        ("A cat [1", "length", LAST, Accepted("A cat [1", 0)),
        ("A cat [1]. A ghost [9].", "stop", FIRST, Rejected("citation")),
        ("A cat [1]. A ghost [9].", "stop", WIDENED, Rejected("citation")),
        ("A cat [1]. A ghost [9].", "stop", NUDGED, Accepted("A cat [1].", 1)),
        ("A cat [1]. A ghost [9].", "stop", LAST, Accepted("A cat [1].", 1)),
    ],
)
def test_a_reply_is_judged_by_its_words_and_by_what_was_tried(text, finish, attempt, verdict):
    assert review(reply(text, finish), attempt, KNOWN, None) == verdict


@pytest.mark.parametrize(
    ("replies", "kept"),
    [
        ([("", "stop"), ("", "length"), (" ", "stop")], None),
        ([("A cat [1]. A ghost [9].", "stop"), ("", "stop")], None),  # an attempt is left
        (
            [("A cat. A ghost [9].", "stop"), ("", "stop"), ("", "stop")],
            Accepted("A cat.", 1),
        ),
        ([("One.", "stop"), ("Two.", "stop"), ("", "stop")], Accepted("Two.", 0)),
        ([("One.", "stop"), ("Tw", "length"), ("", "stop")], Accepted("One.", 0)),
        ([("", "stop"), ("Tw", "length"), ("", "stop")], Accepted("Tw", 0)),
    ],
)
def test_if_the_last_attempt_got_nothing_the_best_earlier_reply_is_kept(replies, kept):
    assert salvage([reply(*each) for each in replies], KNOWN, None) == kept


def test_numbers_of_the_request_are_recorded_as_positions_of_the_job():
    verdict = review(reply("A cat [1], dogs [1, 2]."), FIRST, KNOWN, {1: 31, 2: 40})
    assert verdict == Accepted("A cat [31], dogs [31, 40].", 0)


@pytest.mark.parametrize("text", ["", "A ghost [9].", "A cat [1"])
@pytest.mark.parametrize("finish", ["stop", "length"])
def test_asking_again_ends_after_three_forms(text, finish):
    attempt, verdicts = FIRST, []
    while len(verdicts) < ATTEMPTS_MAX:
        verdict = review(reply(text, finish), attempt, KNOWN, None)
        verdicts.append(verdict)
        if isinstance(verdict, Accepted):
            break
        after = attempt.after(verdict.reason)
        assert after != attempt
        attempt = after
    assert isinstance(verdicts[-1], Accepted) or not text


def test_each_form_differs_from_the_one_before():
    assert FIRST.after("length") == Attempt(1, ("length",))
    assert FIRST.after("empty") == Attempt(1, ("length",))
    assert FIRST.after("citation") == Attempt(0, ("citation",))
