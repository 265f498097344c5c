"""Probes: which requests they are, and what a reply to them shows."""

from __future__ import annotations

import json
import random

import pytest

from core.reply import Reply, Usage
from core.requests.probe import SEVERAL, Probe, ProbeKind, is_cut, probes
from core.requests.request import image_urls
from core.settings import Settings
from core.tree.capacity import NOTHING_LEARNED, LearnedLimits

KINDS = [ProbeKind.ONE, ProbeKind.SEVERAL, ProbeKind.LONG, ProbeKind.LARGE]


def made(learned: LearnedLimits = NOTHING_LEARNED, **settings: object) -> list[Probe]:
    return probes(Settings(**settings), learned, random.Random(1))


def reply(text: str) -> Reply:
    return Reply(text, "", "stop", Usage(400, 0, 20), None, "m")


def test_a_probe_shows_its_words_only_on_its_pictures() -> None:
    calls = made()
    assert [call.kind for call in calls] == KINDS
    for call in calls:
        assert image_urls(call.body) == call.names
        texts = json.dumps(call.body["messages"]).replace("word:", "")
        shown = [word for word in call.words if texts.count(word) > 1]
        assert not shown


@pytest.mark.parametrize(
    ("settings", "learned", "several"),
    [
        ({}, NOTHING_LEARNED, SEVERAL),
        ({"images_per_request": 5}, NOTHING_LEARNED, 5),
        ({}, LearnedLimits(images=3), 3),
        ({"images_per_request": 1}, NOTHING_LEARNED, None),
    ],
)
def test_several_pictures_are_as_many_as_a_run_may_show(settings, learned, several) -> None:
    calls = {call.kind: call for call in made(learned, **settings)}
    shown = calls.get(ProbeKind.SEVERAL)
    assert (len(shown.words) if shown else None) == several


def test_the_long_text_takes_what_the_images_of_a_full_request_take() -> None:
    (long,) = (call for call in made() if call.kind is ProbeKind.LONG)
    assert 60 * 171 <= long.prompt_tokens <= 60 * 171 + 700
    (short,) = (c for c in made(LearnedLimits(tokens=4_096)) if c.kind is ProbeKind.LONG)
    assert short.prompt_tokens < 3_000


def test_a_reply_is_read_by_its_words_and_judged_by_their_numbers() -> None:
    (call,) = (call for call in made(images_per_request=3) if call.kind is ProbeKind.SEVERAL)
    one, two, three = call.words
    right = reply(json.dumps({"1": one.lower(), "2": f"It says {two}.", "3": three}))
    mixed = reply(json.dumps({"1": two, "2": one, "3": three}))
    plain = reply(f"I read {one} and {three}")
    assert call.read(right) == (True, True, True)
    assert call.in_form(right)
    assert call.read(mixed) == (True, True, True)
    assert not call.in_form(mixed)
    assert call.read(plain) == (True, False, True)
    assert not call.in_form(plain)


@pytest.mark.parametrize(
    ("read", "cut"),
    [
        ("1000", True),
        ("1110", True),
        ("0001", True),
        ("1011", False),
        ("0110", False),
        ("1111", False),
        ("0000", False),
    ],
)
def test_missing_pictures_at_an_end_were_cut(read: str, cut: bool) -> None:
    assert is_cut([sign == "1" for sign in read]) is cut
