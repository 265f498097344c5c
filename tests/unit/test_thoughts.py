"""Reasoning that a server left in the text is taken out; an answer that quotes a mark is not."""

from __future__ import annotations

import pytest

from clients.provider.replies import read_reply
from core.text.thoughts import MARKS, WRAPPERS, split_thoughts

ANSWER = "[1] a red barn.\n[2] a boat."
HARMONY = "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>{}"


@pytest.mark.parametrize("mark", MARKS, ids=lambda mark: mark[0])
@pytest.mark.parametrize("case", ["whole", "first blanks", "lone", "other case"])
def test_a_thought_of_every_family_is_taken_out(mark: tuple[str, str], case: str) -> None:
    begin, end = mark
    text = f"{begin}\nIs it [7]?\n{end}\n\n{ANSWER}"
    if case == "first blanks":
        text = f"\ufeff\n {text}"
    elif case == "lone":
        text = text.removeprefix(begin)
    elif case == "other case":
        text = f"{begin.upper()}\nIs it [7]?\n{end.upper()}\n{ANSWER}"
    assert split_thoughts(text) == ("Is it [7]?", ANSWER)


@pytest.mark.parametrize("mark", MARKS, ids=lambda mark: mark[0])
def test_a_thought_that_does_not_end_leaves_no_answer(mark: tuple[str, str]) -> None:
    assert split_thoughts(f"{mark[0]}Perhaps [7]. Or") == ("Perhaps [7]. Or", "")


@pytest.mark.parametrize("wrapper", WRAPPERS, ids=lambda wrapper: wrapper[0])
def test_what_a_model_puts_around_its_answer_goes_too(wrapper: tuple[str, str]) -> None:
    begin, end = wrapper
    assert split_thoughts(f"<think>a</think>{begin}\n{ANSWER}\n{end}") == ("a", ANSWER)


@pytest.mark.parametrize(
    ("text", "thoughts", "answer"),
    [
        ("<think></think>\n\nred", "", "red"),
        ("<think>a</think><think>b</think>red", "a\n\nb", "red"),
        ("a</think><think>b</think>red", "a\n\nb", "red"),
        ("so it is red.</think>Red", "so it is red.", "Red"),
        ("so it is red </think> Red [1]", "so it is red", "Red [1]"),
        ("</think>red", "", "red"),
        ("<think>a</think>", "a", ""),
        ('<think>a {"x": 1}</think>{"1": "red"}', 'a {"x": 1}', '{"1": "red"}'),
        (HARMONY.format("a [7]", "red"), "a [7]", "red"),
        (HARMONY.format("a", "red<|return|>"), "a", "red"),
        ("<|start|>assistant" + HARMONY.format("a", "red"), "a", "red"),
        ("a<|end|><|start|>assistant<|channel|>final<|message|>red", "a", "red"),
        ("<|channel|>analysis<|message|>a, and", "a, and", ""),
        ("<|channel|>final <|constrain|>json<|message|>{}", "", "{}"),
        ("<|channel|>commentary<|message|>a<|end|>", "a", ""),
        ("analysisWe see red.assistantfinalred", "We see red.", "red"),
    ],
)
def test_other_forms_that_servers_send(text: str, thoughts: str, answer: str) -> None:
    assert split_thoughts(text) == (thoughts, answer)


@pytest.mark.parametrize(
    "text",
    [
        ANSWER,
        "",
        "[1] A page with <think>hm</think> in its source.",
        "[1] The text reads `</think>` [2] a boat",
        '[1] It shows "</think>" on a screen.',
        "[1] a screenshot with </think> in the middle of a line",
        '{"1": "a page that ends with </think>", "2": "</think>\\nx"}',
        "[1] code:\n```\n<think>x</think>\n```",
        "An analysis of both: red.",
        "The log says <|channel|>analysis<|message|> twice.",
        "<thinker> is a tag [1].",
    ],
)
def test_an_answer_that_quotes_a_mark_is_left_alone(text: str) -> None:
    assert split_thoughts(text) == ("", text)


@pytest.mark.parametrize(
    ("message", "text", "reasoning"),
    [
        ({"content": "<think>a</think>red"}, "red", "a"),
        ({"content": "a</think>red", "reasoning_content": "b"}, "red", "b\n\na"),
        ({"content": "<think>a"}, "", "a"),  # and not the answer: it was found in the text
        (
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "a"}]},
                    {"type": "text", "text": "red"},
                ]
            },
            "red",
            "a",
        ),  # Magistral at Mistral's own endpoint
        ({"content": "red", "thinking": "a"}, "red", "a"),  # Ollama
        ({"content": "red", "reasoning_details": [{"text": "a"}]}, "red", "a"),  # OpenRouter
    ],
)
def test_a_reply_keeps_its_thoughts_apart(
    message: dict[str, object], text: str, reasoning: str
) -> None:
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    reply = read_reply({"choices": [choice]}, None)
    assert (reply.text, reply.reasoning) == (text, reasoning)
