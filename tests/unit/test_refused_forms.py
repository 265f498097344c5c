"""Refusals of a part of a request: what they mean, and how the request is written then."""

from __future__ import annotations

from typing import Any

import pytest

from clients.provider.errors import ErrorResponse, error_of
from clients.provider.refused_forms import FORM_TEXTS, form_in
from core.errors import FormRefused, RequestForm, TooMuch
from core.requests.forms import cure_of, formed, structured_in

F = RequestForm
TEXTS: list[tuple[str, RequestForm | None, int | None]] = [
    ("'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
     F.COMPLETION_TOKENS, None),
    ("Extra inputs are not permitted: field max_tokens", F.COMPLETION_TOKENS, None),
    ("Unrecognized request argument supplied: max_completion_tokens", F.NO_MAX_TOKENS, None),
    ("max_tokens is too large: 20000. This model supports at most 16384 completion tokens",
     F.REPLY_TOKENS, 16384),
    ("`max_tokens` must be less than or equal to `8192`, the maximum value", F.REPLY_TOKENS, 8192),
    ("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]", F.REPLY_TOKENS, 8192),
    ("max_tokens: 20000 > 8192, which is the maximum allowed number", F.REPLY_TOKENS, 8192),
    ("'temperature' does not support 0 with this model. Only the default (1) value is supported.",
     F.NO_TEMPERATURE, None),
    ("Unsupported parameter: 'temperature' is not supported with this model.", F.NO_TEMPERATURE,
     None),
    ("`temperature` is deprecated for this model.", F.NO_TEMPERATURE, None),
    ("invalid temperature: only 1 is allowed for this model", F.NO_TEMPERATURE, None),
    ("`temperature` must be strictly positive", F.NO_TEMPERATURE, None),
    ("System role not supported", F.NO_SYSTEM, None),
    ("Unsupported value: 'messages[0].role' does not support 'system' with this model.",
     F.NO_SYSTEM, None),
    ("Developer instruction is not enabled for models/gemma-3-27b-it", F.NO_SYSTEM, None),
    ("Conversation roles must alternate user/assistant/user/assistant/...", F.NO_SYSTEM, None),
    ("invalid msg role: system", F.NO_SYSTEM, None),
    ("'response_format' of type 'json_schema' is not supported with this model.",
     F.NO_JSON_SCHEMA, None),
    ("This model does not support response format `json_schema`.", F.NO_JSON_SCHEMA, None),
    ("model step-1o-turbo-vision does not support response_format json_schema", F.NO_JSON_SCHEMA,
     None),
    ("This response_format type is unavailable now", F.NO_JSON_SCHEMA, None),
    ("Invalid schema for response_format 'answer': In context=()", F.NO_JSON_SCHEMA, None),
    ("'response_format.type' must be 'json_schema' or 'text'", F.NO_RESPONSE_FORMAT, None),
    ("Unknown parameter: 'response_format'.", F.NO_RESPONSE_FORMAT, None),
    ("JSON mode is not enabled for models/gemma-3-27b-it", F.NO_RESPONSE_FORMAT, None),
    ("Unrecognized request argument supplied: reasoning_effort", F.NO_REASONING_EFFORT, None),
    ('"llava" does not support thinking', F.NO_REASONING_EFFORT, None),
    ("Invalid url. 'url' field must be a base64 encoded image.", F.INLINE, None),
    ("unsupported image url: https://example.com/a.jpg", F.INLINE, None),
    ("invalid image input", F.INLINE, None),
    ("Image URLs are not supported", F.INLINE, None),
    ("unsupported image format: webp", F.JPEG, None),
    ("image/webp is not supported", F.JPEG, None),
    ("Unknown parameter: 'messages[1].content[0].image_url.detail'.", F.NO_DETAIL, None),
    ("invalid detail: low", F.NO_DETAIL, None),
    ("the image cannot be decoded", None, None),
    ("This model's maximum context length is 4,096 tokens.", None, None),
    ("At most 5 image(s) may be provided in one prompt.", None, None),
    ("Request param: size is invalid", None, None),
    ("internal error", None, None),
]  # fmt: skip


@pytest.mark.parametrize(("message", "form", "most"), TEXTS)
@pytest.mark.parametrize("status", [200, 400, 422, 500])
def test_a_refusal_says_which_form_avoids_it(
    status: int, message: str, form: RequestForm | None, most: int | None
) -> None:
    assert form_in(status, "", message) == (None if form is None else (form, most))
    refusal = ErrorResponse("POST", "/chat/completions", status, "", message, True, None)
    assert isinstance(error_of(refusal, "", "m"), FormRefused) == (form is not None)


def test_each_row_of_the_table_has_a_source_and_each_form_a_row() -> None:
    assert all(len(row.source) > 5 for row in FORM_TEXTS)
    assert {row.form for row in FORM_TEXTS} == set(RequestForm)


def test_a_limit_of_the_context_stays_a_limit() -> None:
    text = "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens"
    refusal = ErrorResponse("POST", "/chat/completions", 400, "", text, True, None)
    assert isinstance(error_of(refusal, "", "m"), TooMuch)


IMAGE = {"type": "image_url", "image_url": {"url": "sha256:1", "detail": "low"}}
BODY: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "Be exact."},
        {"role": "user", "content": [IMAGE, {"type": "text", "text": "What?"}]},
    ],
    "max_tokens": 9000,
    "temperature": 0,
    "reasoning_effort": "low",
}


def test_a_body_is_left_as_it_is_without_forms() -> None:
    assert formed(BODY, ()) == BODY


@pytest.mark.parametrize(
    ("forms", "gone", "new"),
    [
        ({F.COMPLETION_TOKENS}, {"max_tokens"}, {"max_completion_tokens": 9000}),
        ({F.COMPLETION_TOKENS, F.NO_MAX_TOKENS}, {"max_tokens"}, {}),
        ({F.NO_TEMPERATURE}, {"temperature"}, {}),
        ({F.NO_REASONING_EFFORT}, {"reasoning_effort"}, {}),
    ],
)
def test_fields_are_renamed_or_left_out(
    forms: set[RequestForm], gone: set[str], new: dict[str, Any]
) -> None:
    rest = {name: value for name, value in BODY.items() if name not in gone}
    assert formed(BODY, forms) == rest | new


def test_a_reply_is_asked_for_that_the_endpoint_gives() -> None:
    assert formed(BODY, (), 4096)["max_tokens"] == 4096
    assert formed(BODY, {F.COMPLETION_TOKENS}, 4096)["max_completion_tokens"] == 4096
    assert formed(BODY, (), 99_999)["max_tokens"] == 9000


def test_the_system_is_folded_into_the_users_first_turn() -> None:
    [user] = formed(BODY, {F.NO_SYSTEM})["messages"]
    assert user["role"] == "user"
    assert [part["text"] for part in user["content"] if part["type"] == "text"] == [
        "Be exact.",
        "What?",
    ]
    plain = {**BODY, "messages": [BODY["messages"][0], {"role": "user", "content": "What?"}]}
    assert formed(plain, {F.NO_SYSTEM})["messages"] == [
        {"role": "user", "content": "Be exact.\n\nWhat?"}
    ]


def test_images_lose_their_detail_and_the_given_body_stays() -> None:
    made = formed(BODY, {F.NO_DETAIL})
    assert made["messages"][1]["content"][0]["image_url"] == {"url": "sha256:1"}
    assert IMAGE["image_url"] == {"url": "sha256:1", "detail": "low"}


@pytest.mark.parametrize(
    ("refused", "forms", "kind", "cure"),
    [
        (F.NO_JSON_SCHEMA, set(), "json_schema", F.NO_JSON_SCHEMA),
        (F.NO_JSON_SCHEMA, set(), "json_object", F.NO_RESPONSE_FORMAT),
        (F.NO_RESPONSE_FORMAT, set(), "json_schema", F.NO_RESPONSE_FORMAT),
        (F.NO_RESPONSE_FORMAT, set(), None, None),
        (F.NO_TEMPERATURE, {F.NO_TEMPERATURE}, None, None),
        (F.NO_TEMPERATURE, set(), None, F.NO_TEMPERATURE),
        (F.COMPLETION_TOKENS, {F.COMPLETION_TOKENS}, None, F.NO_MAX_TOKENS),
        (F.NO_SYSTEM, set(), None, F.NO_SYSTEM),
    ],
)
def test_the_form_that_helps_follows_from_what_was_sent(
    refused: RequestForm, forms: set[RequestForm], kind: str | None, cure: RequestForm | None
) -> None:
    body = BODY if kind is None else {**BODY, "response_format": {"type": kind}}
    assert cure_of(refused, body, forms) == cure


def test_json_is_asked_for_as_well_as_the_endpoint_takes() -> None:
    assert structured_in("json_schema", ()) == "json_schema"
    assert structured_in("json_schema", {F.NO_JSON_SCHEMA}) == "json_object"
    assert structured_in("json_object", {F.NO_JSON_SCHEMA}) == "json_object"
    assert structured_in("json_schema", {F.NO_JSON_SCHEMA, F.NO_RESPONSE_FORMAT}) == "text"
