"""Requests and their keys: equal requests have equal keys, different ones do not."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import prompts
from core.catalog.facts import facts_of
from core.catalog.tokens import LOW_TOKENS
from core.job_options import JobOptions
from core.reply import Reply, Usage
from core.requests import canary
from core.requests.request import (
    FIRST,
    Attempt,
    Body,
    RequestContext,
    images_body,
    key_of,
    notes_body,
    prompt_text,
    prompt_tokens,
    request_context,
    with_room_for,
    with_usage,
)
from core.settings import load
from core.tree.capacity import LABEL_TOKENS, NOTHING_LEARNED, capacity_of

ENDPOINT = "https://api.stepfun.ai/v1"
SHAPE = capacity_of(facts_of("step-3.7-flash"), "stepfun", "?")
ASK = RequestContext("What is there?", "step-3.7-flash", ENDPOINT, "low", SHAPE)
IMAGES = ["sha256:a", "sha256:b", "sha256:c"]


def look_key(
    context=ASK, images=IMAGES, is_root=False, attempt=FIRST, endpoint=ENDPOINT, words=()
) -> str:
    return key_of(endpoint, images_body(context, images, is_root, attempt, words))


def read_key(
    context=ASK, notes=("one [1]", "two [2]"), images=2, is_root=False, attempt=FIRST
) -> str:
    return key_of(ENDPOINT, notes_body(context, list(notes), images, is_root, attempt))


def test_the_same_content_has_the_same_key():
    assert look_key() == look_key(replace(ASK), list(IMAGES))
    assert read_key() == read_key()
    assert len(look_key()) == 64


@pytest.mark.parametrize(
    "changed",
    [
        {"endpoint": "sandbox"},
        {"is_root": True},
        {"images": IMAGES[:2]},
        {"images": IMAGES[::-1]},
        {"images": [*IMAGES, "sha256:d"]},
        {"attempt": Attempt(1)},
        {"attempt": Attempt(0, ("citation",))},
        {"attempt": Attempt(0, ("length",))},
        {"context": replace(ASK, question="What is there")},
        {"context": replace(ASK, model="step-5-preview")},
        {"context": replace(ASK, detail="high")},
        {"context": replace(ASK, reasoning_effort="low")},
        {"words": (3,)},
    ],
    ids=str,
)
def test_a_leaf_that_differs_in_anything_has_another_key(changed):
    assert look_key(**changed) != look_key()


@pytest.mark.parametrize(
    "changed",
    [
        {"notes": ("one [1]",)},
        {"notes": ("two [2]", "one [1]")},
        {"notes": ("one [1]", "two [3]")},
        {"images": 3},
        {"is_root": True},
        {"attempt": Attempt(1)},
        {"context": replace(ASK, question="Why?")},
        {"context": replace(ASK, model="step-5-preview")},
    ],
    ids=str,
)
def test_a_branch_that_differs_in_anything_has_another_key(changed):
    assert read_key(**changed) != read_key()


def test_a_changed_prompt_text_changes_the_key(monkeypatch):
    before, original = look_key(), prompts.text
    monkeypatch.setattr(prompts, "text", lambda name: original(name) + " Please.")
    assert look_key() != before


def test_what_is_sent_differs_from_what_is_hashed_in_the_addresses_alone():
    sent = images_body(ASK, ["stepfile://1", "stepfile://2", "stepfile://3"], is_root=False)
    hashed = images_body(ASK, IMAGES, is_root=False)
    for body in (sent, hashed):
        for part in body["messages"][-1]["content"]:
            if part["type"] == "image_url":
                part["image_url"].pop("url")
    assert sent == hashed


@given(st.text(max_size=40), st.text(max_size=40))
def test_different_questions_have_different_keys(one, other):
    same = look_key(replace(ASK, question=one)) == look_key(replace(ASK, question=other))
    assert same == (one == other)


def test_the_bound_of_a_prompt_covers_its_images_and_its_text():
    body = images_body(ASK, IMAGES, is_root=True)
    assert prompt_tokens(body, 3 * 171) > 3 * 171
    longer = images_body(replace(ASK, question="?" * 1000), IMAGES, is_root=True)
    assert prompt_tokens(longer, 0) - prompt_tokens(body, 0) == (1000 - len(ASK.question)) // 2


@pytest.mark.parametrize("effort", [None, "low"])
def test_reasoning_effort_is_sent_only_where_it_is_set(effort):
    body = images_body(replace(ASK, reasoning_effort=effort), IMAGES, is_root=False)
    assert body.get("reasoning_effort") == effort
    assert ("reasoning_effort" in body) == (effort is not None)


def test_a_further_question_repeats_the_first_request_to_the_byte():
    urls = ["sha256:a", "sha256:b"]
    first = images_body(ASK, urls, is_root=True)
    history = ((ASK.question, "The first [1]."),)
    second = images_body(replace(ASK, question="And now?", history=history), urls, is_root=True)
    third = images_body(
        replace(ASK, question="And then?", history=(*history, ("And now?", "Both [1, 2]."))),
        urls,
        is_root=True,
    )
    before = ""
    for body in (first, second, third):
        said = json.dumps(body["messages"], ensure_ascii=False)[:-1]  # without the closing bracket
        assert said.startswith(before)
        before = said
    assert [m["role"] for m in third["messages"]] == ["system", *["user", "assistant"] * 2, "user"]


def test_a_branch_gets_the_conversation_and_a_leaf_only_the_questions():
    ask = replace(ASK, question="Which?", history=(("How many?", "Twelve [3]."),))
    branch = notes_body(ask, ["[3] a note"], 4, is_root=True)["messages"][-1]["content"]
    leaf = images_body(ask, ["u"], is_root=False)["messages"][-1]["content"][-1]["text"]
    assert "How many?" in branch
    assert "Twelve [3]." in branch
    assert "How many?" in leaf
    assert "Twelve" not in leaf


def instruction(body: Body) -> str:
    return body["messages"][1]["content"][-1]["text"]


@pytest.mark.parametrize(
    ("images", "is_root", "bare", "with_lines"),
    [
        (3, True, False, True),
        (1, True, False, False),  # the answer is about the one image
        (3, True, True, False),
        (3, False, False, False),  # the leaf's text asks for lines itself
    ],
)
def test_lines_are_asked_for_where_an_answer_is_about_several_images(
    images, is_root, bare, with_lines
):
    body = images_body(replace(ASK, bare=bare), ["u"] * images, is_root)
    assert (prompts.text("lines") in instruction(body)) is with_lines


def test_the_text_of_a_prompt_is_that_of_all_messages_without_images():
    body = images_body(replace(ASK, question="Où?"), IMAGES, is_root=True)
    texts = [body["messages"][0]["content"], "Image 1:", "Image 2:", "Image 3:", instruction(body)]
    assert prompt_text(body) == "\n".join(texts)
    assert "[1] é" in prompt_text(notes_body(ASK, ["[1] é"], 1, is_root=True))


def test_usage_that_a_server_does_not_report_is_marked_as_estimated():
    reported = Reply("x", "", "stop", Usage(7, 0, 1), None, "m")
    assert with_usage(reported, 500, 100) == reported
    silent = replace(reported, usage=Usage(0, 0, 0))
    assert with_usage(silent, 500, 100).usage == Usage(500, 0, 1, estimated=True)


@pytest.mark.parametrize(
    ("images_per_request", "canaries"), [(1, 0), (2, 1), (19, 1), (20, 2), (60, 2)]
)
def test_a_request_with_canaries_has_room_for_them(images_per_request, canaries):
    settings = load().model_copy(update={"images_per_request": images_per_request})
    plain, proven = (
        request_context(
            settings, question="?", model="step-3.7-flash", provider="stepfun", endpoint="e",
            detail="low", options=JobOptions(canary=asked), learned=NOTHING_LEARNED,
        )
        for asked in (False, True)
    )  # fmt: skip
    assert (plain.canaries, proven.canaries) == (0, canaries)
    assert proven.capacity.leaf.items + canaries == plain.capacity.leaf.items
    assert proven.capacity.leaf.items >= 1
    assert with_room_for(plain.capacity, canaries, LOW_TOKENS) == proven.capacity
    tokens = plain.capacity.leaf.tokens - proven.capacity.leaf.tokens
    assert tokens == canaries * (LOW_TOKENS + LABEL_TOKENS)
    assert plain.capacity.leaf.bytes - proven.capacity.leaf.bytes == canaries * canary.BYTES


# --- what it costs to account for every image

TEXT_BYTES = {True: (256, 330), False: (256, 457)}
"""UTF-8 bytes of the parts of a request for 60 images as they were before images had labels and
answers had lines: of the system text, and of the instruction with the question of ASK. By
``is_root``."""


@pytest.mark.parametrize("is_root", [True, False])
def test_labels_and_lines_take_at_most_three_percent_more_of_a_prompt(is_root):
    def tokens(parts):
        return 60 * LOW_TOKENS + sum(-(-size // 4) for size in parts)

    body = images_body(ASK, ["u"] * 60, is_root)
    system, content = body["messages"][0]["content"], body["messages"][1]["content"]
    texts = [system, *(part["text"] for part in content if part["type"] == "text")]
    now = tokens(len(text.encode()) for text in texts)
    assert now <= 1.03 * tokens(TEXT_BYTES[is_root])
