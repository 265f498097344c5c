"""Attempts of a leaf with one value per image: which attempt follows which replies."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.jobs import JobSpec
from core.reply import Reply, Usage
from core.requests.per_image import PerImageAttempt, PerImageLeaf
from core.requests.request import Body, request_context
from core.requests.review import ATTEMPTS_ALONE, Accepted, AskAgain
from core.settings import load
from core.tree.capacity import NOTHING_LEARNED

URLS = ["sha256:a", "sha256:b", "sha256:c"]
POSITIONS = {1: 41, 2: 42, 3: 57}
COUNT = {
    "type": "object",
    "required": ["receipts", "summary"],
    "properties": {"receipts": {"type": "integer"}, "summary": {"type": "string"}},
}


def leaf(root: bool = False, model: str = "step-3.7-flash", **asked: Any) -> PerImageLeaf:
    spec = JobSpec(images=["x"], **asked)
    ask = request_context(
        load(), question=spec.question, model=model, provider="stepfun", endpoint="e",
        detail="low", options=spec.options, learned=NOTHING_LEARNED,
    )  # fmt: skip
    assert ask.answer_spec is not None
    return PerImageLeaf(ask, ask.answer_spec, POSITIONS, root)


def reply(value: Any, finish: str = "stop") -> Reply:
    text = value if isinstance(value, str) else json.dumps(value)
    return Reply(text, "", finish, Usage(0, 0, 0), None, "m")


def said(body: Body) -> str:
    content = body["messages"][-1]["content"]
    return str(content if isinstance(content, str) else content[-1]["text"])


def test_answers_are_stored_by_job_position() -> None:
    asked = leaf(each="Which colour?")
    found = asked.review(asked.first(), reply({"1": "[1] red", "2": "blue, unlike [1]", "3": "-"}))
    assert found == Accepted(
        "[41] red\n[42] blue, unlike [41]\n[57] -",
        0,
        {41: "red", 42: "blue, unlike [41]", 57: "-"},
    )


def test_schema_values_are_not_read_as_citations() -> None:
    sizes = {"type": "object", "properties": {"size": {"enum": ["[10]", "[20]"]}}}
    asked = leaf(each="Which size?", schema=sizes)
    found = asked.review(asked.first(), reply({key: {"size": "[20]"} for key in "123"}))
    assert isinstance(found, Accepted)
    assert found.answers == {key: {"size": "[20]"} for key in (41, 42, 57)}


def test_a_key_or_citation_without_an_image_is_refused() -> None:
    asked = leaf(each="Which colour?")
    told = {"1": "red", "2": "as [9].", "3": "blue [2]. Like [9].", "4": "x", "9": "x"}
    found = asked.review(asked.first(), reply(told))
    assert isinstance(found, Accepted)
    assert found.answers == {41: "red", 42: "as.", 57: "blue [42]."}
    assert found.refused == 2


def test_missing_images_are_sent_again_alone_with_new_numbers() -> None:
    asked = leaf(each="Which colour?")
    again = asked.review(asked.first(), reply({"1": "red", "2": ""}))
    assert isinstance(again, AskAgain)
    assert again.attempt == PerImageAttempt((2, 3), 1, 0, {1: "red"})
    body = asked.body(again.attempt, URLS[1:])
    assert '"1" to "2"' in said(body)
    assert "no usable value" in said(body)
    done = asked.review(again.attempt, reply({"1": "green", "2": "blue"}))
    assert isinstance(done, Accepted)
    assert done.answers == {41: "red", 42: "green", 57: "blue"}


def test_at_most_three_attempts_show_images_and_missing_ones_are_then_named() -> None:
    asked = leaf(each="Which colour?")
    attempt = asked.first()
    for _ in range(2):
        again = asked.review(attempt, reply({"1": "red"} if attempt.turn == 0 else "sorry"))
        assert isinstance(again, AskAgain)
        attempt = again.attempt
    found = asked.review(attempt, reply("sorry"))
    assert isinstance(found, Accepted)
    assert (found.answers, found.missing) == ({41: "red"}, (42, 57))


def test_an_empty_reply_is_retried_with_more_room_and_every_attempt_is_a_new_request() -> None:
    asked = leaf(each="Which colour?")
    attempt, bodies = asked.first(), []
    for _ in range(ATTEMPTS_ALONE - 1):
        bodies.append(asked.body(attempt, URLS))
        again = asked.review(attempt, reply("", "length"))
        assert isinstance(again, AskAgain)
        attempt = again.attempt
    bodies.append(asked.body(attempt, URLS))
    found = asked.review(attempt, reply(""))
    assert isinstance(found, Accepted)
    assert found.missing == (41, 42, 57)
    assert len({json.dumps(body, sort_keys=True) for body in bodies}) == ATTEMPTS_ALONE


def test_a_cut_reply_keeps_complete_entries_and_retries_the_rest_with_more_room() -> None:
    asked = leaf(each="Which colour?")
    again = asked.review(asked.first(), reply('{"1": "red", "2": "bl', "length"))
    assert isinstance(again, AskAgain)
    assert again.attempt == PerImageAttempt((2, 3), 1, 1, {1: "red"})


def test_one_reply_answers_each_image_and_the_set() -> None:
    asked = leaf(root=True, ask="How many receipts?", schema=COUNT)
    records = {str(n): {"receipts": n, "summary": "a café"} for n in (1, 2, 3)}
    whole = {"summary": "All 6 are from cafés [1-3].", "receipts": 999}
    wrong = asked.review(asked.first(), reply(records | {"whole": whole}))
    assert isinstance(wrong, AskAgain)  # totals are not the model's to give
    right = asked.review(asked.first(), reply(records | {"whole": {"summary": whole["summary"]}}))
    assert isinstance(right, Accepted)
    data = json.loads(right.text)
    assert data == {"receipts": 6, "summary": "All 6 are from cafés [41, 42, 57]."}


def test_text_about_missing_images_is_requested_again_over_the_answers() -> None:
    asked = leaf(root=True, ask="How many receipts?", schema=COUNT)
    record = {"receipts": 1, "summary": "tea"}
    first = asked.review(
        asked.first(), reply({"1": record, "2": record, "whole": {"summary": "Tea."}})
    )
    assert isinstance(first, AskAgain)
    second = asked.review(first.attempt, reply({"1": record}))
    assert isinstance(second, AskAgain)
    body = asked.body(second.attempt, [])
    assert '"receipts": 3' in said(body)
    assert "[57] receipts: 1; summary: tea" in said(body)
    last = asked.review(second.attempt, reply({"summary": "Tea [41], [57]."}))
    assert isinstance(last, Accepted)
    assert json.loads(last.text) == {"receipts": 3, "summary": "Tea [41], [57]."}


@pytest.mark.parametrize("bad", ["", "{}", '{"summary": "There are 999."}', '{"summary": 3}'])
def test_text_that_never_fits_is_replaced_by_the_records(bad: str) -> None:
    asked = leaf(root=True, ask="How many receipts?", schema=COUNT)
    record = {"receipts": 1, "summary": "tea"}
    found = asked.review(asked.first(), reply(dict.fromkeys("123", record)))
    for _ in range(2):
        assert isinstance(found, AskAgain)
        found = asked.review(found.attempt, reply(bad))
    assert isinstance(found, AskAgain)
    found = asked.review(found.attempt, reply(bad))
    assert isinstance(found, Accepted)
    assert json.loads(found.text) == {
        "receipts": 3,
        "summary": "[41] tea; [42] tea; [57] tea",
    }


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
