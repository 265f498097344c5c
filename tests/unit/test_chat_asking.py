"""What a chat completion asks for, and what its parameters mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from overstory.api.chat.asking import Asking, read
from overstory.api.chat.inline import Inline
from overstory.api.chat.parameters import PARAMETERS, Rule, table
from overstory.api.openai_errors import Refusal

SCHEMA = {"type": "object", "properties": {"total": {"type": "number"}}}
SHAPE = {"type": "json_schema", "json_schema": {"name": "t", "strict": True, "schema": SCHEMA}}
TEXT = {"type": "text", "text": "What is there?"}


def image(url: object = "https://host/a.jpg", **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **more}}


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def asking(*messages: Any, owner: str = "local", key: str | None = None, **more: Any) -> Asking:
    sent = list(messages) or [user(TEXT, image())]
    return read({"model": "m", "messages": sent, **more}, owner, key)


def test_texts_are_the_question_and_instructions_come_first() -> None:
    asked = asking(
        user({"type": "text", "text": " First. "}, image("https://host/1.jpg")),
        {"role": "developer", "content": "Be brief."},
        {"role": "system", "content": [{"type": "text", "text": "In English."}]},
        user(image(Inline("a" * 64, "image-0001.jpg"), detail="low"), TEXT),
    )
    assert asked.spec.ask == "Be brief.\n\nIn English.\n\nFirst.\n\nWhat is there?"
    assert asked.spec.images == ["https://host/1.jpg", f"upload:{'a' * 64}/image-0001.jpg"]
    assert asked.spec.detail == "low"
    assert (asked.stream, asked.with_usage, asked.retry) == (False, False, False)


@pytest.mark.parametrize(
    ("details", "job"),
    [
        ([None, None], None),
        (["low", None], "low"),
        (["low", "auto"], "auto"),
        (["high", "low"], "high"),
        (["auto", "high"], "high"),
    ],
)
def test_the_highest_detail_is_the_jobs(details: list[str | None], job: str | None) -> None:
    parts = [image(**({"detail": detail} if detail else {})) for detail in details]
    assert asking(user(TEXT, *parts)).spec.detail == job


def test_our_options_come_by_either_name() -> None:
    options = {"pack": 20, "canary": True, "budget": 1.5, "each": "Which colour?"}
    spec = asking(overstory=options).spec
    assert (spec.pack, spec.canary, spec.budget, spec.each) == (20, True, 1.5, "Which colour?")
    as_text = asking(metadata={"other": "x", "overstory": '{"pack": 20, "images": ["/in"]}'}).spec
    assert (as_text.pack, as_text.images) == (20, ["https://host/a.jpg", "/in"])


def test_instructions_alone_belong_to_the_question_about_each_image() -> None:
    system = {"role": "system", "content": "Be brief."}
    spec = asking(system, user(image()), overstory={"each": "Which colour?"}).spec
    assert (spec.ask, spec.each) == (None, "Be brief.\n\nWhich colour?")


def test_a_schema_shapes_the_answer() -> None:
    assert asking(response_format=SHAPE).spec.schema_ == SCHEMA
    assert asking(response_format={"type": "text"}).spec.schema_ is None


def test_the_key_is_what_makes_the_answer() -> None:
    one, two = image("https://host/1.jpg"), image("https://host/2.jpg")
    same = [
        asking(user(TEXT, one, two)),
        asking(user(one, TEXT, two), temperature=0, max_tokens=9, stream=True),
        asking(user(TEXT, one, two), overstory={"budget": 2.0, "label": "x", "retry": True}),
    ]
    others = [
        asking(user(TEXT, two, one)),
        asking(user(TEXT, one)),
        asking(user({"type": "text", "text": "Who?"}, one, two)),
        asking(user(TEXT, one, two), owner="anna"),
        asking(user(TEXT, one, two), key="again"),
        asking(user(TEXT, one, two), overstory={"pack": 3}),
        asking(user(TEXT, one, two), response_format=SHAPE),
        asking(user(TEXT, image("https://host/1.jpg", detail="high"), two)),
        read({"model": "n", "messages": [user(TEXT, one, two)]}, "local"),
    ]
    assert len({asked.spec.key for asked in same}) == 1
    assert len({asked.spec.key for asked in [same[0], *others]}) == 1 + len(others)
    assert asking(overstory={"key": "mine"}).spec.key == "mine"


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"n": 2}, "n", "one answer"),
    ({"tools": [{}]}, "tools", "response_format"),
    ({"logprobs": True}, "logprobs", "tokens"),
    ({"stop": ["x"]}, "stop", "cut"),
    ({"modalities": ["text", "audio"]}, "modalities", "text"),
    ({"frobnicate": 1}, "frobnicate", "no such parameter"),
    ({"model": None}, "model", "GET /v1/models"),
    ({"stream": "yes"}, "stream", "true or false"),
    ({"stream": 1}, "stream", "true or false"),
    ({"stream_options": {"include_usage": True}}, "stream_options", "stream: true"),
    ({"response_format": {"type": "json_object"}}, "response_format", "give json_schema"),
    ({"response_format": {"type": "json_schema"}}, "response_format", "json_schema"),
    ({"response_format": "json"}, "response_format", "json_schema"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "array"}}}},
        "response_format",
        "must be an object",
    ),
    ({"overstory": []}, "overstory", "give an object"),
    ({"overstory": {"pakc": 3}}, "overstory.pakc", "there is no such option"),
    ({"overstory": {"pack": 0}}, "overstory.pack", "greater than or equal to 1"),
    ({"overstory": {"images": "x"}}, "overstory.images", "list"),
    ({"overstory": {"retry": "x"}}, "overstory.retry", "true or false"),
    ({"metadata": {"overstory": "{"}}, "metadata.overstory", "give an object"),
    ({"messages": []}, "messages", "at least one message"),
    ({"messages": [3]}, "messages[0]", "an object"),
    ({"messages": [{"role": "assistant", "content": "x"}]}, "messages[0].role", "earlier answer"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role", "the roles are"),
    ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content", "list of parts"),
    ({"messages": [{"role": "user", "content": "x"}]}, "messages", "no image"),
    ({"messages": [user(image())]}, "messages", "nothing is asked"),
    ({"messages": [user(TEXT, 3)]}, "messages[0].content[1].type", "image_url and file"),
    ({"messages": [user({"type": "text"})]}, "messages[0].content[0].text", "is missing"),
    (
        {"messages": [{"role": "system", "content": [image()]}]},
        "messages[0].content[0].type",
        "parts of system are text",
    ),
    ({"messages": [user(image("/etc/passwd"))]}, "messages[0].content[0]", "begins with https"),
    (
        {"messages": [user(image(detail="max"))]},
        "messages[0].content[0].image_url.detail",
        "low, high or auto",
    ),
    ({"messages": [user({"type": "file"})]}, "messages[0].content[0].file", "file_data"),
    ({"messages": [user(TEXT | {"text": "\0"}, image())]}, "messages", "NUL"),
]


@pytest.mark.parametrize(("values", "param", "says"), REFUSED)
def test_a_refusal_names_the_parameter(values: dict[str, Any], param: str, says: str) -> None:
    with pytest.raises(Refusal) as caught:
        read({"model": "m", "messages": [user(TEXT, image())], **values}, "local")
    assert caught.value.param == param
    assert says in str(caught.value)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (name, value)
        for parameter in PARAMETERS
        if parameter.rule is not Rule.HONOURED
        for name in parameter.names
        for value in (None, *parameter.harmless, *([5] if parameter.rule is Rule.IGNORED else []))
    ],
)
def test_what_asks_for_nothing_changes_nothing(name: str, value: Any) -> None:
    assert asking(**{name: value}) == asking()


def test_the_documentation_has_the_table() -> None:
    text = Path(__file__).parents[2].joinpath("docs", "openai.md").read_text("utf-8")
    assert table() in text
