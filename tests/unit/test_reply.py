"""Parsing replies: every known dialect, as tables."""

from __future__ import annotations

import math
import pickle
from typing import Any

import pytest

from clients.provider.replies import TEXT_MAX, read_reply, read_usage
from core.errors import ReplyUnusable
from core.reply import Reply, Usage
from core.requests.empty_reply import why_empty


def body(**changes: Any) -> dict[str, Any]:
    """A reply as StepFun documents it, with top-level changes."""
    return {
        "id": "0123abcd.4567ef",
        "object": "chat.completion",
        "model": "step-3.7-flash",
        "choices": [choice()],
        "usage": {"prompt_tokens": 900, "completion_tokens": 20, "total_tokens": 920},
    } | changes


def choice(finish: Any = "stop", **message: Any) -> dict[str, Any]:
    return {
        "index": 0,
        "finish_reason": finish,
        "message": {"role": "assistant", "content": "été", **message},
    }


def reply_of(finish: str, reasoning: str, completion: int, **more: Any) -> Reply:
    return Reply("", reasoning, finish, Usage(9, 0, completion), None, "m", **more)


def test_a_documented_reply_is_read() -> None:
    reply = read_reply(body(), "trace-1")
    assert reply == Reply("été", "", "stop", Usage(900, 0, 20), "trace-1", "step-3.7-flash")


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 9, "cached_tokens": 4, "completion_tokens": 2}, Usage(9, 4, 2)),
        ({"prompt_tokens": 9, "cached_token": 4, "completion_tokens": 2}, Usage(9, 4, 2)),
        ({"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4}}, Usage(9, 4, 0)),
        (
            {"prompt_tokens": 9, "cached_tokens": 0, "prompt_tokens_details": {"cached_tokens": 4}},
            Usage(9, 4, 0),
        ),
        ({"prompt_tokens": 9, "prompt_tokens_details": None}, Usage(9, 0, 0)),
        ({"prompt_tokens": 9, "cached_tokens": 12}, Usage(9, 9, 0)),
        ({"prompt_tokens": 9.0, "completion_tokens": None}, Usage(9, 0, 0)),
        ({"prompt_tokens": "9", "completion_tokens": -3}, Usage(0, 0, 0)),
        ({"prompt_tokens": math.nan, "completion_tokens": math.inf}, Usage(0, 0, 0)),
        ({}, Usage(0, 0, 0)),
        (None, Usage(0, 0, 0)),
        ([1], Usage(0, 0, 0)),
    ],
)
def test_usage_is_read_from_every_known_place(usage: object, expected: Usage) -> None:
    assert read_usage(usage) == expected


@pytest.mark.parametrize(
    ("given", "text", "expected"),
    [
        ("stop", "a", "stop"),
        ("length", "", "length"),
        ("content_filter", "a", "content_filter"),
        ("tool_calls", None, "tool_calls"),
        ("", "a", "stop"),
        (None, "a", "stop"),
        (None, None, ""),
    ],
)
def test_an_empty_finish_reason_is_stop_when_there_is_text(
    given: object, text: object, expected: str
) -> None:
    reply = read_reply(body(choices=[choice(given, content=text)]), None)
    assert (reply.finish_reason, reply.text) == (expected, text or "")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab"),
        ([{"type": "refusal", "refusal": "no"}, {"type": "text", "text": "b"}], "b"),
        (["stray", {"type": "text", "text": None}], ""),
        (None, ""),
        (7, ""),
    ],
)
def test_content_may_be_a_list_of_parts(content: object, expected: str) -> None:
    assert read_reply(body(choices=[choice(content=content)]), None).text == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"reasoning": "so"},
        {"reasoning_content": "so"},
        {"reasoning": "so", "reasoning_content": "so"},
        {"reasoning": "so", "reasoning_content": None},
    ],
)
def test_reasoning_is_read_from_either_field(fields: dict[str, Any]) -> None:
    assert read_reply(body(choices=[choice(**fields)]), None).reasoning == "so"


@pytest.mark.parametrize(
    ("header", "identifier", "expected"),
    [
        ("t", "a.b", "t"),
        (None, "a.b", "a"),
        (None, "5f1c-77", "5f1c-77"),
        (None, "", None),
        (None, 12, None),
        (None, None, None),
    ],
)
def test_the_trace_is_the_header_or_the_id_before_its_dot(
    header: str | None, identifier: object, expected: str | None
) -> None:
    assert read_reply(body(id=identifier), header).trace == expected


@pytest.mark.parametrize("choices", [None, [], {}, ["x"], [None], [{}]])
def test_a_reply_without_choices_is_unusable_but_its_usage_is_kept(choices: object) -> None:
    with pytest.raises(ReplyUnusable, match="no choices") as caught:
        read_reply(body(choices=choices), "t")
    assert caught.value.reason == "no_choices"
    assert caught.value.reply is not None
    assert caught.value.reply.usage == Usage(900, 0, 20)


@pytest.mark.parametrize("error", [{"message": "overloaded"}, "overloaded"])
def test_an_error_inside_a_200_is_quoted(error: object) -> None:
    with pytest.raises(ReplyUnusable, match="overloaded") as caught:
        read_reply({"error": error}, None)
    assert caught.value.reason == "error_in_reply"


def test_a_choice_without_a_message_is_an_empty_answer() -> None:
    reply = read_reply(body(choices=[{"finish_reason": "length", "message": None}]), None)
    assert (reply.text, reply.finish_reason) == ("", "length")


def test_an_unusable_reply_survives_pickling_with_its_usage() -> None:
    with pytest.raises(ReplyUnusable) as caught:
        read_reply(body(choices=[]), "t")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.reason, str(again), again.reply) == (
        caught.value.reason,
        str(caught.value),
        caught.value.reply,
    )


@pytest.mark.parametrize(
    ("message", "finish", "text", "instead"),
    [
        ({"content": "", "reasoning_content": "so"}, "stop", "so", ""),
        ({"content": None, "reasoning": "so"}, "stop", "so", ""),
        ({"content": " \n", "reasoning": "so"}, None, "so", ""),
        ({"content": "", "reasoning": "so"}, "length", "", ""),
        ({"content": "a", "reasoning": "so"}, "stop", "a", ""),
        (
            {"content": None, "tool_calls": [{"function": {"name": "look"}}], "reasoning": "so"},
            "tool_calls",
            "",
            "a call of the tool look",
        ),
        ({"content": "", "function_call": {"name": "look"}}, "stop", "", "a call of the tool look"),
        ({"content": "", "tool_calls": [{}]}, "stop", "", ""),
    ],
)
def test_what_stands_for_an_empty_text(
    message: dict[str, Any], finish: str | None, text: str, instead: str
) -> None:
    reply = read_reply(body(choices=[choice(finish, **message)]), None)
    assert (reply.text.strip(), reply.instead) == (text, instead)


def test_an_error_in_the_choice_is_an_error_also_below_a_text() -> None:
    cut = {**choice("error"), "error": {"code": 502, "message": "Provider returned error"}}
    with pytest.raises(ReplyUnusable, match="Provider returned error") as caught:
        read_reply(body(choices=[cut]), None)
    assert caught.value.reply is not None
    assert caught.value.reply.usage == Usage(900, 0, 20)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (reply_of("length", "so", 500), "reasoning took 500 of max_tokens 500"),
        (reply_of("length", "", 500), "what is not sent, probably reasoning, took 500"),
        (reply_of("length", "", 500), "OVERSTORY_REASONING_TOKENS=1000"),
        (reply_of("stop", "", 7, reasoning_tokens=7), "reasoning took 7 tokens of max_tokens 500"),
        (reply_of("stop", "", 7), "finish_reason stop"),
        (reply_of("tool_calls", "", 7, instead="a call of a tool"), "with a call of a tool;"),
    ],
)
def test_a_sentence_says_where_the_tokens_of_an_empty_reply_went(
    reply: Reply, expected: str
) -> None:
    assert expected in why_empty(reply, 500)


@pytest.mark.parametrize("finish", ["stop", "length", None])
def test_a_text_longer_than_any_model_writes_is_cut_like_one_without_tokens_left(
    finish: str | None,
) -> None:
    text = "[1] a barn\n" * (TEXT_MAX // 5)
    message = {"content": [{"text": text}, {"text": "end"}], "reasoning": "x" * (TEXT_MAX + 1)}
    got = read_reply({"choices": [{"message": message, "finish_reason": finish}]}, None)
    assert (got.text, got.finish_reason) == (text[:TEXT_MAX], "length")
    assert len(got.reasoning) == TEXT_MAX
