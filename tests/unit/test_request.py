"""Requests and their keys: equal requests have equal keys, different ones do not."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.requests.request import (
    FIRST,
    Attempt,
    RequestContext,
    images_body,
    key_of,
    notes_body,
    prompt_tokens,
)
from core.tree.capacity import capacity_of

ENDPOINT = "https://api.stepfun.ai/v1"
SHAPE = capacity_of("step-3.7-flash", "stepfun", "?")
ASK = RequestContext("What is there?", "step-3.7-flash", ENDPOINT, "low", SHAPE)
IMAGES = ["sha256:a", "sha256:b", "sha256:c"]


def look_key(context=ASK, images=IMAGES, is_root=False, attempt=FIRST, endpoint=ENDPOINT) -> str:
    return key_of(endpoint, images_body(context, images, is_root, attempt))


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
    from core import prompts

    before, original = look_key(), prompts.text
    monkeypatch.setattr(prompts, "text", lambda name: original(name) + " Please.")
    assert look_key() != before


def test_what_is_sent_differs_from_what_is_hashed_in_the_addresses_alone():
    sent = images_body(ASK, ["stepfile://1", "stepfile://2", "stepfile://3"], is_root=False)
    hashed = images_body(ASK, IMAGES, is_root=False)
    for body in (sent, hashed):
        for part in body["messages"][-1]["content"][:-1]:
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
