"""From a chat request to a reply, by templates. Functions of values: reading is passed in."""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from benchmarks.eyes import fields
from benchmarks.eyes.rows import Row

Reading = Callable[[bytes], Sequence[Row]]
NOTE_FIELDS = ("shop", "date", "number", "total")
CHARACTERS_PER_TOKEN = 3
PATCH = 28
"""Pixels on a side for which a picture is counted as one token, as Qwen's models do."""
_LABEL = re.compile(r"(\d+):?\s*$")
_LINE = re.compile(r"^\[(\d+)\].*$", re.MULTILINE)
_TEXT_ABOUT_ALL = "whole"


class BadRequest(ValueError):
    """The request cannot be answered; the message says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``text`` and its ``finish`` reason, with the tokens that are charged for it."""

    text: str
    finish: str
    prompt_tokens: int
    completion_tokens: int


def answer(body: Mapping[str, Any], read: Reading, most_images: int | None = None) -> Answer:
    """The reply to ``body``, a chat completion request with inline images.

    ``most_images``: above it the request is refused, which makes the sender halve. Raises
    BadRequest.
    """
    images, told = _parts(body)
    if most_images is not None and len(images) > most_images:
        raise BadRequest(f"too many images: {len(images)}, max allowed is {most_images}")
    rows = {number: read(data) for number, data in images.items()}
    schema = _schema(body, told)
    if not images:
        text = _from_notes(told, schema)
    elif schema is not None:
        text = json.dumps(_keyed(rows, schema), ensure_ascii=False)
    elif "one JSON object" in told:
        text = json.dumps({str(n): _described(r) for n, r in rows.items()}, ensure_ascii=False)
    else:
        text = _lines(rows, told)
    seen = sum(_image_tokens(data) for data in images.values())
    room = body.get("max_tokens") or body.get("max_completion_tokens") or 10**9
    cut = text[: room * CHARACTERS_PER_TOKEN]
    return Answer(
        cut,
        "stop" if cut == text else "length",
        seen + len(told) // CHARACTERS_PER_TOKEN + 1,
        len(cut) // CHARACTERS_PER_TOKEN + 1,
    )


def _parts(body: Mapping[str, Any]) -> tuple[dict[int, bytes], str]:
    """The images by the number that stands before each, and all text."""
    images: dict[int, bytes] = {}
    told: list[str] = []
    for message in body.get("messages", ()):
        content = message.get("content") or ""
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            if part["type"] == "text":
                told.append(part["text"])
            else:
                label = _LABEL.search(told[-1]) if told else None
                number = int(label[1]) if label else len(images) + 1
                images[number] = _bytes(part["image_url"]["url"])
    return images, "\n".join(told)


def _bytes(url: str) -> bytes:
    head, _, data = url.partition(",")
    if not head.startswith("data:") or not head.endswith(";base64"):
        raise BadRequest("images must be inline, as data URLs in base64")
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise BadRequest(f"an image is not base64: {error}") from None


def _schema(body: Mapping[str, Any], told: str) -> dict[str, Any] | None:
    """The schema of the field ``response_format``, or the one that is written in the prompt."""
    given = body.get("response_format", {}).get("json_schema", {}).get("schema")
    if given is not None:
        return dict(given)
    written = re.findall(r"<schema>\n(.*?)\n</schema>", told, re.DOTALL)
    return dict(json.loads(written[-1])) if written else None


def _keyed(rows: Mapping[int, Sequence[Row]], schema: Mapping[str, Any]) -> dict[str, Any]:
    """A value for each key of ``schema``: an image's number, the text about all, or the list of
    what was unclear, if the schema asks for one."""
    reply: dict[str, Any] = {}
    unclear = []
    for name, given in schema["properties"].items():
        inner = _resolved(given, schema)
        if name.isdecimal():
            value, not_told = _value(rows[int(name)], inner)
            reply[name] = value
            if not_told:
                unclear.append({"image": int(name), "fields": not_told})
        elif name == _TEXT_ABOUT_ALL:
            lines = "\n".join(_line(number, found) for number, found in rows.items())
            texts = inner.get("properties", {})
            reply[name] = dict.fromkeys(texts, lines) if texts else lines
    if "unclear" in schema["properties"]:
        reply["unclear"] = unclear
    return reply


def _resolved(given: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in given:
        given = schema["$defs"][given["$ref"].rpartition("/")[2]]
    return given


def _value(rows: Sequence[Row], schema: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """The value of one image, and the names of its fields that could not be told."""
    if "properties" not in schema:
        return _described(rows), []
    found = fields.read(rows, list(schema["properties"]))
    return {name: one.value if one else None for name, one in found.items()}, fields.unclear(found)


def _described(rows: Sequence[Row]) -> str:
    found = fields.read(rows, NOTE_FIELDS)
    told = [f"{name} {one.value}" for name, one in found.items() if one is not None]
    return ", ".join(told) or " / ".join(row.text for row in rows) or "no text can be read"


def _line(number: int, rows: Sequence[Row], mark: str = "") -> str:
    return f"[{number}] {mark}{_described(rows)}"


def _lines(rows: Mapping[int, Sequence[Row]], told: str) -> str:
    """A line for each image; the same lines again as the answer, where both are asked for."""
    marks = "begin the line of that image with ?" in told
    lines = [
        _line(n, found, "? " if marks and fields.unclear(fields.read(found, NOTE_FIELDS)) else "")
        for n, found in rows.items()
    ]
    text = "\n".join(lines)
    return f"{text}\n===\n{text}" if "===" in told else text


def _from_notes(told: str, schema: Mapping[str, Any] | None) -> str:
    """Every line of the notes again: what is missing at the root was lost on the way."""
    framed = re.findall(r"<notes>\n(.*?)\n</notes>", told, re.DOTALL)
    lines = "\n".join(line[0] for line in _LINE.finditer("\n".join(framed)))
    if schema is None:
        return lines
    return json.dumps(dict.fromkeys(schema.get("properties", {}), lines), ensure_ascii=False)


def _image_tokens(data: bytes) -> int:
    with Image.open(io.BytesIO(data)) as image:
        return -(-image.width // PATCH) * -(-image.height // PATCH)
