"""Probes: which requests they are, and what a reply to them shows."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from core.errors import RequestForm
from core.reply import Reply, Usage
from core.requests.probe import SEVERAL, Probe, ProbeKind, is_cut, probes
from core.requests.probe_findings import ProbeFindings
from core.requests.request import image_urls
from core.settings import Settings
from core.tree.capacity import NOTHING_LEARNED, LearnedLimits

KINDS = list(ProbeKind)


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
    ("asked", "text", "mode"),
    [
        ("json_schema", '{"word": "TIGER", "checked": "yes"}', "json_schema"),
        ("json_schema", '{"answer": "TIGER"}', "json_object"),
        ("json_schema", "TIGER", "text"),
        ("json_schema", '```json\n{"word": "TIGER", "checked": "yes"}\n```', "text"),
        ("json_object", '{"answer": "TIGER"}', "json_object"),
        ("json_object", "TIGER", "text"),
        ("json_schema", "", None),
    ],
)
def test_a_reply_shows_how_json_can_be_asked_for(asked, text, mode) -> None:
    forms = frozenset({RequestForm.NO_JSON_SCHEMA} if asked == "json_object" else ())
    (probe,) = (c for c in made(LearnedLimits(forms=forms)) if c.kind is ProbeKind.JSON)
    assert probe.body["response_format"]["type"] == asked
    assert "checked" not in json.dumps(probe.body["messages"])
    assert probe.json_mode(reply(text)) == mode
    assert probe.json_mode(replace(reply(text or "{"), finish_reason="length")) is None


def test_probes_show_small_and_large_one_and_several_short_and_long() -> None:
    parts = [call.parts for call in made()]
    sizes = {(size, part.detail, count) for part in parts for size, count in part.sizes}
    assert sizes == {
        *(((256, 256), "low", count) for count in (1, SEVERAL)),
        ((728, 546), "low", 1),
        ((1512, 1134), "high", 1),
    }
    texts = sorted(part.ascii for part in parts)
    assert texts[-1] > 20 * texts[0]


def test_findings_are_kept_as_json_and_said_in_one_sentence() -> None:
    found = ProbeFindings(12, 9_910, "text", True, (0.4, 2.13), "x-ratelimit-limit-requests: 5")
    assert ProbeFindings.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert found.sentence == (
        "12 images are seen in one request, a prompt of 9,910 tokens arrives whole, JSON comes by"
        " the prompt alone, replies report tokens, calls took 0.4 to 2.1 s"
    )
    assert ProbeFindings(images=1).sentence == "1 image is seen in one request"


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
