"""The rules of a chat request, one row each."""

import pytest
from pydantic import ValidationError

from core.errors import WrongUsage
from overstory.sandbox.config import FaultKind, SandboxConfig
from overstory.sandbox.errors import Refusal
from overstory.sandbox.faults import Faults
from overstory.sandbox.models import MODELS, find_model
from overstory.sandbox.protocol.request import read_request
from overstory.sandbox.vision.decode import inline_size

CONFIG = SandboxConfig()
FLASH = MODELS["step-3.7-flash"]
HI = {"role": "user", "content": "hi"}


def image(detail="low", url="stepfile://file-1"):
    return {"type": "image_url", "image_url": {"url": url, "detail": detail}}


def text(words):
    return {"type": "text", "text": words}


def user(*parts):
    return {"role": "user", "content": list(parts)}


def read(changes, model=FLASH, config=CONFIG):
    return read_request({"model": model.name, "messages": [HI]} | changes, model, config)


def schema(**given):
    return {"response_format": {"type": "json_schema", "json_schema": given}}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"messages": None}, "messages must be"),
        ({"messages": []}, "messages must be"),
        ({"messages": ["hi"]}, "must be an object"),
        ({"messages": [{"role": "function", "content": "x"}]}, "invalid msg role: function"),
        ({"messages": [{"role": "system", "content": [{"type": "text"}]}]}, "invalid content"),
        ({"messages": [{"role": "user", "content": None}]}, "invalid content"),
        ({"messages": [{"role": "user", "content": []}]}, "invalid content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "tool_call_id"),
        ({"messages": [user({"type": "picture"})]}, "part type: picture"),
        ({"messages": [user("hi")]}, "part type: None"),
        ({"messages": [user({"type": "text"})]}, "needs a text"),
        ({"messages": [user({"type": "image_url", "image_url": "x"})]}, "needs an image_url.url"),
        ({"messages": [user({"type": "video_url", "video_url": {}})]}, "video_url"),
        ({"messages": [user(image(detail="auto"))]}, "invalid detail: auto"),
        ({"messages": [user(*[image()] * 61)]}, "exceeds the model's limitation"),
        ({"messages": [user(*[image()] * 31), HI, user(*[image()] * 30)]}, "limitation"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": -0.1}, "top_p"),
        ({"frequency_penalty": 3}, "frequency_penalty"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"n": 0}, "n must be"),
        ({"stop": [1]}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": 1}}, "include_usage"),
        ({"reasoning_effort": "none"}, "reasoning_effort"),
        ({"reasoning_format": "odd"}, "reasoning_format"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": "json"}, "response_format.type"),
        (schema(schema={}), "name is required"),
        (schema(name="x"), "schema is required"),
        (schema(name="x", schema={}, strict="no"), "strict"),
        ({"tools": [{"type": "function", "function": {"name": "9x"}}]}, "invalid tool name"),
    ],
)
def test_a_broken_rule_is_a_400_that_names_it(changes, words):
    with pytest.raises(Refusal) as caught:
        read(changes)
    assert caught.value.status == 400
    assert words in caught.value.message


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"temperature": 0, "top_p": 1, "n": 2, "frequency_penalty": -2.0},
        {"messages": [{"role": "system", "content": "s"}, HI, {"role": "assistant"}]},
        {"messages": [user(*[image()] * 60)]},
        {"reasoning_effort": "high", "reasoning_format": "general"},
        {"response_format": {"type": "json_object"}},
        schema(name="x", schema={"type": "object"}, strict=True),
        {"stream": True, "stream_options": {"include_usage": True}},
        {"unheard_of": 1},
    ],
)
def test_a_request_within_the_rules_is_read(changes):
    assert read(changes).model is FLASH


@pytest.mark.parametrize(
    ("messages", "instruction"),
    [
        ([HI], "hi"),
        ([{"role": "system", "content": "s"}], ""),
        ([user(image(), text("a"))], "a"),
        ([user(text("Image 1:"), image(), text("a"), text("b"))], "a\n\nb"),
        ([user(text("a"), image())], "a"),
        ([user(text("notes"), text("a"))], "a"),
        ([user(image(), text("a")), {"role": "assistant", "content": "c"}, HI], "hi"),
        ([HI, user(image())], "hi"),
    ],
)
def test_the_instruction_stands_after_the_images_of_the_last_turn(messages, instruction):
    assert read({"messages": messages}).instruction == instruction


def test_a_model_without_vision_takes_no_image():
    with pytest.raises(Refusal, match="does not support image"):
        read({"messages": [user(image())]}, model=MODELS["step-3.5-flash"])


def test_a_model_that_is_not_on_the_json_page_takes_no_schema():
    given = schema(name="a", schema={"type": "object"})
    assert read(given).response_format == given["response_format"]
    with pytest.raises(Refusal, match="json_schema"):
        read(given, model=MODELS["step-1o-turbo-vision"])


def test_unlisted_fields_are_refused_only_in_strict_mode():
    with pytest.raises(Refusal, match="unheard_of"):
        read({"unheard_of": 1}, config=SandboxConfig(strict_fields=True))


@pytest.mark.parametrize(("status", "kind"), [(400, "request_params_invalid"), (404, "not_found")])
@pytest.mark.parametrize("name", ["step-1v-8k", "step-1-256k", "gpt-4o", ""])
def test_retired_and_unknown_models_are_refused(name, status, kind):
    with pytest.raises(Refusal) as caught:
        find_model(name, status)
    assert (caught.value.status, caught.value.kind) == (status, kind)


def test_inline_size_counts_only_base64():
    urls = ["data:image/png;base64,AAAA", "stepfile://file-1", "data:image/png;base64,AAAAAAAA"]
    assert inline_size(urls) == 12


@pytest.mark.parametrize(
    "changes",
    [
        {"rates": {"500": 0.6, "503": 0.6}},
        {"rates": {"500": -1}},
        {"rates": {"418": 0.1}},
        {"window_seconds": 0},
        {"no_such_setting": 1},
        {"keyed": [{"match": ""}]},
    ],
)
def test_a_wrong_config_is_refused(changes):
    with pytest.raises(ValidationError):
        CONFIG.changed(changes)


def test_an_unknown_tier_is_wrong_usage():
    with pytest.raises(WrongUsage):
        CONFIG.changed({"tier": "V9"})


def test_explicit_limits_override_the_tier():
    limits = CONFIG.changed({"tier": "a:V1", "rpm": 7}).limits
    assert (limits.concurrency, limits.rpm, limits.tpm) == (100, 7, 20_000_000)


def test_faults_repeat_by_seed_and_keep_their_rates():
    config = SandboxConfig(rates={FaultKind.OVERLOADED: 0.2, FaultKind.CUT: 0.1}, seed=7)
    faults, again = Faults(config), Faults(config)
    drawn = [faults.draw(config) for _ in range(2000)]
    assert drawn == [again.draw(config) for _ in range(2000)]
    assert 340 < drawn.count(FaultKind.OVERLOADED) < 460
    assert 150 < drawn.count(FaultKind.CUT) < 250


def test_scripted_faults_happen_once_and_then_stop():
    config = SandboxConfig(script=("503", "ok", "reset"))
    faults = Faults(config)
    drawn = [faults.draw(config) for _ in range(4)]
    assert drawn == [FaultKind.OVERLOADED, None, FaultKind.RESET, None]
