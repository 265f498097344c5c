"""Citations: what counts as one, what is removed, and resistance to hostile text."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.text.citations import RANGE_MAX, check, cited_numbers, format_numbers, translate


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("", []),
        ("a cat [17]", [17]),
        ("cats [3, 5] and [3]", [3, 5]),
        ("[3-7]", [3, 4, 5, 6, 7]),
        ("[3 – 5], [8—9]", [3, 4, 5, 8, 9]),
        ("[1 to 3]", [1, 2, 3]),
        ("[1;2; 9-11]", [1, 2, 9, 10, 11]),
        ("[ 4 ]", [4]),
        ("[7-7]", [7]),
        ("[7-3]", [7, 3]),  # not a range, so two numbers: each is checked
        ("猫[2]と犬[3]。", [2, 3]),
        ("[٣]", [3]),  # digits of any script are numbers
        ("[a], [1a], [], [1.5], [-3], (3), 3]", []),
        ("[[5]]", [5]),
        ("[1](http://x) [2][3]", [1, 2, 3]),
        ("[9999999999]", []),
        (f"[1-{RANGE_MAX + 2}]", [1, RANGE_MAX + 2]),
    ],
)
def test_numbers_in_square_brackets_are_citations(text, numbers):
    assert cited_numbers(text) == numbers


@pytest.mark.parametrize(
    ("text", "kept", "cited", "refused"),
    [
        ("A cat [1]. A dog [2].", "A cat [1]. A dog [2].", (1, 2), 0),
        ("A cat [1]. A ghost [9].", "A cat [1].", (1,), 1),
        ("A ghost [9]. A cat [1].", "A cat [1].", (1,), 1),
        ("Cats [1, 9].", "Cats [1].", (1,), 1),
        ("Cats [1-5].", "Cats [1-3].", (1, 2, 3), 2),
        ("A cat [1], a ghost [9].", "A cat [1], a ghost.", (1,), 1),
        ("A ghost [9].", "A ghost.", (), 1),
        ("No images. A ghost [0].", "No images.", (), 1),
        ("猫[1]。 犬[9]。 鳥[2]。", "猫[1]。 鳥[2]。", (1, 2), 1),
        ("- cat [1]\n- ghost [9]\n- dog [2]", "- cat [1]\n- dog [2]", (1, 2), 1),
        ("Version [1.5] of it", "Version [1.5] of it", (), 0),
    ],
)
def test_citations_of_only_unknown_numbers_are_removed(text, kept, cited, refused):
    checked = check(text, {1, 2, 3})
    assert (checked.text, checked.cited, checked.refused) == (kept, cited, refused)


@pytest.mark.parametrize(
    ("text", "numbers", "translated"),
    [
        ("a [1], b [2]", {1: 31, 2: 32}, "a [31], b [32]"),
        ("[1-3]", {1: 31, 2: 32, 3: 33}, "[31-33]"),
        ("[1-3]", {1: 5, 2: 40, 3: 41}, "[5, 40, 41]"),
        ("[1, 9]", {1: 5}, "[5]"),
        ("gone [9].", {1: 5}, "gone."),
        ("all is [9] gone [8] [9].", {1: 5}, "all is gone."),
        ("[2] [1]", {1: 2, 2: 1}, "[1] [2]"),  # all replaced in one pass
        ("[1]", {1: 1}, "[1]"),
    ],
)
def test_request_numbers_become_job_positions(text, numbers, translated):
    assert translate(text, numbers) == translated


@pytest.mark.parametrize(
    ("numbers", "text"),
    [([1], "[1]"), ([2, 1], "[1, 2]"), ([3, 4, 5, 9], "[3-5, 9]"), ([1, 2, 4, 5], "[1, 2, 4, 5]")],
)
def test_runs_are_shortened(numbers, text):
    assert format_numbers(numbers) == text


@given(st.sets(st.integers(1, 500), min_size=1))
def test_formatted_citations_can_be_parsed_again(numbers):
    assert set(cited_numbers(format_numbers(numbers))) == numbers


WORDS = st.lists(
    st.one_of(
        st.text(max_size=6),
        st.sampled_from(["[", "]", "[1]", "[9]", "[1-9]", "[2, 9]", ". ", "\n", "。", "[[", "]]"]),
    ),
    max_size=30,
).map("".join)


@given(WORDS)
@example("[[9]1]")
@example("[1[9]]")
@example("[1 [9]]")
@example("[1[9]-2]")
@example("[[9] 9]")
@example("[9[1]]")
@example("[ [9]8]. x")
def test_no_citation_of_an_unknown_number_remains(text):
    known = {1, 2, 3}
    checked = check(text, known)
    assert set(cited_numbers(checked.text)) <= known
    assert set(checked.cited) <= known


@given(WORDS)
def test_text_with_only_known_citations_is_unchanged(text):
    checked = check(text, range(1000))
    if not checked.refused:
        assert checked.text == text


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text",
    ["[" * 50_000, "[1" * 20_000, "[1," * 20_000, "[" + "1, " * 30_000, "[1" + " " * 50_000, "[1-"
     * 20_000 + "]", "[1-100000] " * 1_000],
    ids=["brackets", "open", "lists", "one list", "spaces", "ranges", "a set that is not there"],
)  # fmt: skip
def test_hostile_text_is_parsed_fast(text):
    check(text, {1})
