"""Facts beside images: what files and tables say of an image, quoted after its number.

Cells are written by anybody. So facts are one line of JSON, in which nothing can end the line,
close a frame of ours or look like a special token of a model. Only facts that the job names are
sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from core.catalog.tokens import text_tokens_estimate
from core.images.exif import GPS, TAKEN
from core.prompts import Own, text_of
from core.prompts.shaped import framed

Facts = Mapping[str, Any]
NAME = "name"
RESERVED = (NAME, TAKEN, GPS)
"""Facts that every image may have; a column of a table with such a name wins."""
READ_LATER = {TAKEN: "2024-05-01T12:00:03.123+02:00", GPS: "-48.20849,-116.37208"}
"""What is read from the picture when it is prepared; a plan counts as many characters."""
CHARACTERS_MAX = 2_000
"""Of one image's facts: a description fits, a page of text does not."""
_AROUND = len('"": "", ')
_ESCAPED = {"<": "\\u003c", "\u2028": "\\u2028", "\u2029": "\\u2029", "\x85": "\\u0085"}
_ESCAPES = str.maketrans(_ESCAPED)


def chosen(facts: Facts | None, name: str, wanted: Sequence[str]) -> dict[str, Any]:
    """Those of an image's facts that are ``wanted``, in that order; ``name``: of the image."""
    known = {NAME: name, **(facts or {})}
    return {key: known[key] for key in wanted if known.get(key) is not None}


def quoted(facts: Facts) -> str:
    """The facts as one line of JSON, empty without any. What is longer than CHARACTERS_MAX is cut
    off with a sign that says so, and what follows it is left out."""
    told: dict[str, Any] = {}
    left = CHARACTERS_MAX
    for key, value in facts.items():
        left -= len(key) + _AROUND
        if left <= 0:
            break
        text = value if isinstance(value, bool | int | float) else str(value)
        if isinstance(text, str):
            text = framed(text if len(text) <= left else f"{text[:left]}...")
        told[framed(key)] = text
        left -= len(str(text))
    return json.dumps(told, ensure_ascii=False).translate(_ESCAPES) if told else ""


def tokens_of(facts: Facts | None, name: str, wanted: Sequence[str]) -> int:
    """An upper bound on the prompt tokens that an image's facts take, before it is prepared."""
    if not wanted:
        return 0
    known = {**READ_LATER, **(facts or {})}
    return text_tokens_estimate(quoted(chosen(known, name, wanted)))


def beside(body: dict[str, Any], facts: Sequence[str], own: Own) -> dict[str, Any]:
    """``body`` with ``facts``, one text for each of its images in order, after their numbers; and a
    sentence in the system's text that says what they are."""
    texts = iter(facts)
    system, *others = body["messages"]
    told = {**system, "content": f"{system['content']}\n{text_of('facts', own)}"}
    return {**body, "messages": [told, *(_with_facts(message, texts) for message in others)]}


def _with_facts(message: dict[str, Any], texts: Any) -> dict[str, Any]:
    if isinstance(message["content"], str):
        return message
    parts: list[dict[str, Any]] = []
    for part in message["content"]:
        if part["type"] == "image_url" and (text := next(texts)):
            parts[-1] = {**parts[-1], "text": f"{parts[-1]['text']} {text}"}
        parts.append(part)
    return {**message, "content": parts}
