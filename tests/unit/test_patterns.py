"""Patterns of people: RE2's dialect in the spelling of ECMA-262, and time linear in the text."""

from __future__ import annotations

import time

import pytest

from core.answers.patterns import compiled
from core.errors import WrongUsage


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("^[A-Z]{2}-\\d+$", "AB-17", True),
        ("b", "abc", True),  # not anchored
        ("^a$", "a\n", False),  # $ is the end of the text
        ("^a\\Z", "a", True),  # Python's end of the text
        ("^\\u0041$", "A", True),
        ("^\\u{1F600}$", "\U0001f600", True),
        ("^\\ud83d\\ude00$", "\U0001f600", True),
        ("^[\\u4e00-\\u9fff]+$", "灯台", True),
        ("^\\u0041\\u0042$", "AB", True),
        ("^\\\\u0041$", "\\u0041", True),  # an escaped backslash
        ("^\\d+$", "٣", False),  # ASCII, as in ECMA-262
        ("^\\p{L}+$", "灯台", True),
        ("^(?<year>\\d{4})", "2026-11", True),
        ("^(?i)abc$", "ABC", True),
        ("^.{1,200}$", "x" * 201, False),
        ("^https?:\\/\\/", "http://x", True),
        ("^[\\w.-]+@[\\w.-]+$", "a.b@c.org", True),
        ("", "", True),
    ],
)
def test_a_pattern_means_what_json_schema_says(pattern: str, text: str, found: bool) -> None:
    assert compiled(pattern).is_in(text) is found


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(?=a)b", "look-around is not supported"),
        ("(?!a)b", "look-around is not supported"),
        ("(?<=a)b", "look-around is not supported"),
        ("(?<!a)b", "look-around is not supported"),
        ("(?>a)b", "atomic groups are not supported"),
        ("(a)\\1", "back-references are not supported"),
        ("(?<x>a)\\k<x>", "back-references are not supported"),
        ("a{1,1001}", "more than 1,000 repetitions"),
        ("(a{500}){500}", "more than 1,000 repetitions"),
        ("\\p{L}{900}", "too large"),
        ("(", "missing"),
        ("(" * 50_000, "more than 5,000 characters"),
        ("\ud800", "half of a surrogate pair"),
    ],
)
def test_what_is_not_linear_is_refused_with_the_reason(pattern: str, reason: str) -> None:
    with pytest.raises(WrongUsage, match=reason) as refused:
        compiled(pattern)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("^(a+)+$", "a" * 1_000_000 + "!"),
        ("^(a|a)*$", "a" * 1_000_000 + "!"),
        ("(x+x+)+y", "x" * 1_000_000),
        ("^(\\w+\\s?)*$", "word " * 200_000 + "!"),
        ("^([a-zA-Z0-9]+)*@", "a" * 1_000_000),
    ],
)
def test_a_million_characters_take_a_fraction_of_a_second(pattern: str, text: str) -> None:
    expression = compiled(pattern)
    began = time.process_time()
    assert not expression.is_in(text)
    assert time.process_time() - began < 0.5
