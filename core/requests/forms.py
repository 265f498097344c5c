"""Requests as an endpoint takes them: parts that it refuses are written otherwise, or left out.

The key of a request is that of its usual body. So a reply that was paid for answers the request in
any form, before a form is learned, after it, and when it is forgotten. The exception is how JSON is
requested: without an enforced schema the prompt has the schema, which is another request.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from core.catalog.models import Structured
from core.errors import RequestForm

Body = dict[str, Any]

_FIELDS = {
    RequestForm.NO_TEMPERATURE: "temperature",
    RequestForm.NO_REASONING_EFFORT: "reasoning_effort",
}


def formed(body: Body, forms: Collection[RequestForm], reply_tokens: int | None = None) -> Body:
    """``body`` in the given forms. ``reply_tokens``: the most that a reply may have."""
    made = {**body}
    if reply_tokens is not None and "max_tokens" in made:
        made["max_tokens"] = min(made["max_tokens"], reply_tokens)
    if RequestForm.NO_MAX_TOKENS in forms:
        made.pop("max_tokens", None)
    elif RequestForm.COMPLETION_TOKENS in forms and "max_tokens" in made:
        made["max_completion_tokens"] = made.pop("max_tokens")
    for form, field in _FIELDS.items():
        if form in forms:
            made.pop(field, None)
    if RequestForm.NO_SYSTEM in forms:
        made["messages"] = _without_system(made["messages"])
    if RequestForm.NO_DETAIL in forms:
        made["messages"] = [_without_detail(message) for message in made["messages"]]
    return made


def structured_in(wanted: Structured, forms: Collection[RequestForm]) -> Structured:
    """How JSON is requested from an endpoint that refuses better ways."""
    if RequestForm.NO_RESPONSE_FORMAT in forms:
        return "text"
    if RequestForm.NO_JSON_SCHEMA in forms and wanted == "json_schema":
        return "json_object"
    return wanted


def cure_of(refused: RequestForm, body: Body, forms: Collection[RequestForm]) -> RequestForm | None:
    """The form that avoids a refusal of ``body``, which was sent in ``forms``; None if the part
    that was ``refused`` was not sent, so that no form helps."""
    if refused in (RequestForm.NO_JSON_SCHEMA, RequestForm.NO_RESPONSE_FORMAT):
        kind = body.get("response_format", {}).get("type")
        if kind is None:
            return None
        is_schema = kind == "json_schema" and refused == RequestForm.NO_JSON_SCHEMA
        refused = RequestForm.NO_JSON_SCHEMA if is_schema else RequestForm.NO_RESPONSE_FORMAT
    if refused in forms and refused == RequestForm.COMPLETION_TOKENS:
        return RequestForm.NO_MAX_TOKENS  # the other name is refused, too
    if refused in forms or not _has(refused, body):
        return None
    return refused


def _has(form: RequestForm, body: Body) -> bool:
    if form in _FIELDS:
        return _FIELDS[form] in body
    if form == RequestForm.NO_SYSTEM:
        return any(message["role"] == "system" for message in body["messages"])
    if form in (RequestForm.NO_DETAIL, RequestForm.INLINE, RequestForm.JPEG):
        return any(isinstance(message["content"], list) for message in body["messages"])
    return True


def _without_system(messages: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The system's text stands before the user's first turn."""
    texts = [str(message["content"]) for message in messages if message["role"] == "system"]
    others = [message for message in messages if message["role"] != "system"]
    if not texts or not others:
        return messages
    text, first = "\n\n".join(texts), others[0]
    content = first["content"]
    if isinstance(content, str):
        return [{**first, "content": f"{text}\n\n{content}"}, *others[1:]]
    return [{**first, "content": [{"type": "text", "text": text}, *content]}, *others[1:]]


def _without_detail(message: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(message["content"], list):
        return message
    parts = [
        {**part, "image_url": {k: v for k, v in part["image_url"].items() if k != "detail"}}
        if part["type"] == "image_url"
        else part
        for part in message["content"]
    ]
    return {**message, "content": parts}
