"""Replies that an earlier version of the leaf requests misread."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.errors import WrongUsage
from core.job_options import Exchange, JobOptions
from core.jobs import JobSpec, parse_spec
from core.reply import Reply, Usage
from core.requests.leaf import Leaf
from core.requests.leaves import leaf_of
from core.requests.request import request_context
from core.requests.review import Accepted, AskAgain
from core.requests.sight import Measured, Prompt, ShownImage, unheld
from core.settings import load
from core.text.citations import cited_numbers
from core.text.notes import read_notes
from core.tree.capacity import NOTHING_LEARNED

COUNT = {
    "type": "object",
    "required": ["receipts", "summary"],
    "properties": {"receipts": {"type": "integer"}, "summary": {"type": "string"}},
}


def leaf(images: int = 4, root: bool = False, **asked: Any) -> Leaf:
    spec = JobSpec(images=["x"], **(asked or {"ask": "Which?"}))
    return of(images, root, spec.options, spec.question)


def of(images: int, root: bool, options: JobOptions, question: str) -> Leaf:
    context = request_context(
        load(), question=question, model="step-3.7-flash", provider="stepfun", endpoint="e",
        detail="low", options=options, learned=NOTHING_LEARNED,
    )  # fmt: skip
    numbers = range(1, images + 1)
    return leaf_of(context, {n: 100 + n for n in numbers}, {n: f"c{n}" for n in numbers}, root)


def reply(value: Any, finish: str = "stop") -> Reply:
    text = value if isinstance(value, str) else json.dumps(value)
    return Reply(text, "", finish, Usage(0, 0, 0), None, "m")


def chain(asked: Leaf, *replies: Reply) -> Any:
    """The result of the last of ``replies``, each to the attempt that the one before led to."""
    attempt = asked.first()
    for number, given in enumerate(replies, start=1):
        result = asked.review(attempt, given)
        if number < len(replies):
            assert isinstance(result, AskAgain)
            attempt = result.attempt
    return result


@pytest.mark.parametrize(
    "line",
    [
        "[1] to [3] all red", "[1]-[3] all red", "[1]–[3]: all red", "[1]/[2] both",
        "[1] + [2] both", "[1] und [2] beide", "[1] et [2]", "[1]、[2] 都", "[1]和[2] 都",
        "Image 1-3: all red", "Image 1 and 2: red", "Image 1, 2: red", "Image 1 & Image 2: red",
        "Image 1 and Image 2 both show a barn.",
    ],
)  # fmt: skip
def test_a_line_about_several_images_is_about_none(line: str) -> None:
    assert not read_notes(line, [1, 2, 3]).lines


@pytest.mark.parametrize(
    "text",
    [
        "[Image 1] red\n[Image 2] blue", "(1) red\n(2) blue", "1 - red\n2 - blue", "1、红\n2、蓝",
        "图片1是红色\n图片2是蓝色", "【1】红色\n【2】蓝色", "第1张图片：红\n第2张图片：蓝",
        "图像1：红\n图像2：蓝", "照片1：红\n照片2：蓝", "<b>[1]</b> red\n<b>[2]</b> blue",
        "Image\xa01: red\nImage\xa02: blue", "\\[1\\] red\n\\[2\\] blue",
    ],
)  # fmt: skip
def test_lines_are_read_in_the_forms_that_models_write(text: str) -> None:
    assert set(read_notes(text, [1, 2]).lines) == {1, 2}


@pytest.mark.parametrize("end", ["Answer: two", "---\nTwo.", "```", "===\nTwo."])
def test_a_heading_a_rule_or_a_fence_ends_a_line(end: str) -> None:
    assert read_notes(f"[1] red\n[2] blue\n{end}", [1, 2]).lines[2] == "blue"


@pytest.mark.parametrize("answer", ["N/A", "无", "Not shown.", "Not provided", "Same.", "none"])
def test_a_short_answer_about_one_image_is_an_answer(answer: str) -> None:
    root = leaf(1, True, ask="Which price is on it?")
    assert isinstance(chain(root, reply(answer)), Accepted)
    value = leaf(1, each="Which price is on it?")
    assert isinstance(chain(value, reply({"1": answer})), Accepted)


@pytest.mark.parametrize("line", ["Not shown.", "not available", "None", "same"])
def test_a_line_that_may_be_meant_is_proof(line: str) -> None:
    text = f"[1] shown, 3 EUR\n[2] {line}\n[3] shown, 4 EUR"
    assert isinstance(chain(leaf(3), reply(text)), Accepted)


def test_lines_of_a_few_kinds_are_no_copies() -> None:
    """An honest model that tells damaged from intact is not asked again."""
    kinds = "\n".join(f"[{n}] {'damaged' if n % 2 else 'intact'}" for n in range(1, 61))
    assert isinstance(chain(leaf(60), reply(kinds)), Accepted)
    same = "\n".join(f"[{n}] no damage" for n in range(1, 4))
    assert isinstance(chain(leaf(3), reply(same)), Accepted)


def test_images_with_copied_lines_are_shown_again_together() -> None:
    """The model can write lines for so many images, so they are not put apart."""
    lines = "\n".join(f"[{n}] card {(n + 1) // 3}" for n in range(1, 31))
    result = chain(leaf(30), reply(lines))
    assert isinstance(result, AskAgain)
    assert len(result.attempt.shown) >= 15


def test_a_leaf_that_is_parted_leaves_notes_and_no_answer() -> None:
    records = {"1": {"receipts": 1, "summary": "tea"}, "2": {"receipts": 2, "summary": "tea"}}
    result = chain(leaf(6, True, ask="How many?", schema=COUNT), reply(records))
    assert result.images.apart
    assert result.text == "[101] receipts: 1; summary: tea\n[102] receipts: 2; summary: tea"


def test_an_image_that_fails_leaves_an_answer_about_the_others() -> None:
    """In a set that one request shows, the answer is then asked of the notes."""
    root = leaf(3, True)
    gap, nothing = reply("[1] red\n[2] blue\n===\nBoth."), reply("no comment")
    asked = chain(root, gap, nothing, nothing)
    assert isinstance(asked, AskAgain)
    assert asked.attempt.over_answers is not None
    result = root.review(asked.attempt, reply("Red and blue [101, 102]."))
    assert isinstance(result, Accepted)
    assert result.images is not None
    assert result.text == "Red and blue [101, 102]."
    assert (set(result.images.seen), set(result.images.unseen)) == ({101, 102}, {103})


def test_a_line_without_a_number_stands_once() -> None:
    assert chain(leaf(1), reply("A red barn.")).text == "[101] A red barn."


def test_values_above_a_cut_text_are_not_paid_for_again() -> None:
    cut = '{"1": "r", "2": "b", "3": "g", "whole": "The r'
    result = chain(leaf(3, True, ask="Why?", each="Colour?"), reply(cut, "length"))
    assert isinstance(result, AskAgain)
    assert result.attempt.over_answers is not None


@pytest.mark.parametrize(
    "later", [["", ""], ["[1] red\n===\nThe red one is [1] because it is bright."]]
)
def test_a_cut_text_never_becomes_the_answer(later: list[str]) -> None:
    cut = reply("[1] red\n[2] blue\n===\nThe red one is [1] because it", "length")
    result = chain(leaf(2, True), cut, *map(reply, later))
    assert not (isinstance(result, Accepted) and result.text.endswith("because it"))


def test_the_answer_of_a_reply_with_gaps_is_not_shown_to_the_next_request() -> None:
    root = leaf(4, True)
    gaps = reply("[1] red\n[2] blue\n[3] green\n\nAll four are barns.")
    result = chain(root, gaps, reply("[1] a dog"))
    assert "All four are barns" not in json.dumps(root.body(result.attempt, []))


def test_lines_above_the_separator_are_complete_in_a_cut_reply() -> None:
    result = chain(leaf(2, True), reply("[1] red\n[2] blue\n===\n", "length"))
    assert result.attempt.kept == {1: "red", 2: "blue"}


def test_notes_do_not_cite_images_that_failed() -> None:
    nothing = reply("[1] no comment")
    notes = reply("[1] a\n[2] b\n[3] c\n\n[3-4] two dogs")
    result = chain(leaf(4), notes, nothing, nothing)
    assert set(result.images.unseen) == {104}
    assert 104 not in cited_numbers(result.text)


def test_a_further_question_may_be_answered_below_lines() -> None:
    options = JobOptions(history=(Exchange("q", "a"),))
    result = chain(of(2, True, options, "?"), reply("[1] red\n[2] blue\n===\nThe red one."))
    assert (result.text, result.images.notes[102]) == ("The red one.", "blue")


def test_usage_of_small_images_is_not_compared_with_that_of_fewer_large_ones() -> None:
    small = [ShownImage(171, 100, 100)] * 40
    others = [Measured(20, 20 * 676 + 100), Measured(40, 40 * 676 + 100)]
    assert unheld(Prompt("x " * 200, small, None, others), 40 * 16 + 100) is None


def test_a_label_is_short_because_every_image_has_one() -> None:
    with pytest.raises(WrongUsage, match="label"):
        parse_spec({"images": ["x"], "ask": "?", "prompts": {"label": "x" * 100 + " $number"}})
