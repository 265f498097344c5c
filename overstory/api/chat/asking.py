"""A chat completion as a job: the submission, its key, and how the answer is to be sent."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import WrongUsage
from core.jobs import NOTHING_ASKED, JobSpec, parse_spec
from core.text.hashing import content_key
from core.text.printable import quotable
from overstory.api.chat import messages, parameters
from overstory.api.openai_errors import Refusal

OPTIONS = (
    *("images", "detail", "each", "pack", "budget", "label", "canary", "second_model"),
    *("second_look", "bare", "fetch", "fresh", "keep_files", "fail_fast", "min_coverage"),
    *("prompts", "webhook", "weight", "key"),
)
"""Fields of a submission that ``overstory`` may have."""
RETRY = "retry"
_BESIDE_THE_QUESTION = ("budget", "label", "weight", "webhook")
"""Fields that a job may get anew: they are not part of what it is."""
_PARAMS = {"ask": "messages", "images": "messages", "schema": "response_format", "model": "model"}
_FIELD = re.compile(r"(?:overstory\.submit refused its arguments: )?([a-z_]+)[:.]")


@dataclass(frozen=True, slots=True)
class Asking:
    """``retry``: a job that failed or was cancelled is taken up again."""

    spec: JobSpec
    stream: bool
    with_usage: bool
    retry: bool


def read(values: Mapping[str, Any], owner: str, idempotency_key: str | None = None) -> Asking:
    """What a request asks for. Raises Refusal that names the parameter."""
    parameters.check(values)
    options = _options(values)
    retry = options.pop(RETRY, None)
    asked = messages.read(values.get("messages"))
    fields: dict[str, Any] = {
        "ask": asked.question,
        "detail": asked.detail,
        "schema": _schema(values.get("response_format")),
        "model": _text(values.get("model"), "model"),
        **options,
        "images": [*asked.images, *_listed(options.get("images"))],
    }
    if not fields["images"]:
        raise Refusal(
            "messages: they hold no images: give parts of type image_url; this service answers"
            " questions about images",
            "messages",
        )
    if fields["ask"] is not None and fields.get("each") is not None and not asked.texts:
        fields["each"] = "\n\n".join([*asked.instructions, fields["each"]])
        fields["ask"] = None
    spec = parsed(fields)
    stream = _flag(values.get("stream"), "stream")
    return Asking(
        spec if spec.key else spec.model_copy(update={"key": _key(spec, owner, idempotency_key)}),
        stream,
        _with_usage(values.get("stream_options"), stream),
        _flag(retry, "overstory.retry"),
    )


def parsed(fields: dict[str, Any]) -> JobSpec:
    """The submission. Raises Refusal with the parameter that the field comes from."""
    try:
        return parse_spec({name: value for name, value in fields.items() if value is not None})
    except WrongUsage as error:
        raise blamed(error) from None


def blamed(error: WrongUsage) -> Refusal:
    """A refusal of a submission, with the parameter of the request instead of the field."""
    if NOTHING_ASKED in str(error):
        return Refusal("messages: nothing is asked: give a part of type text", "messages")
    named = _FIELD.match(str(error))
    field = named[1] if named else None
    known = field in OPTIONS or field in _PARAMS
    param = _PARAMS.get(field or "", f"overstory.{field}") if known else None
    text = str(error).removeprefix("overstory.submit refused its arguments: ")
    return Refusal(text, param)


def _key(spec: JobSpec, owner: str, idempotency_key: str | None) -> str:
    """A hash of the caller, the question, its options and the images in their order."""
    asked = spec.model_dump(mode="json", exclude={"key", *_BESIDE_THE_QUESTION})
    return f"chat-{content_key([owner, idempotency_key, spec.schema_text, asked])}"


def _options(values: Mapping[str, Any]) -> dict[str, Any]:
    """Our own options, of ``overstory`` or of ``metadata``."""
    given = values.get("overstory")
    metadata = values.get("metadata")
    place = "overstory"
    if given is None and isinstance(metadata, dict) and "overstory" in metadata:
        place, given = "metadata.overstory", metadata["overstory"]
        try:
            given = json.loads(given) if isinstance(given, str) else given
        except (ValueError, RecursionError):
            given = ""
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise Refusal(f"{place}: give an object such as {{'pack': 20, 'budget': 1.5}}", place)
    for name in given:
        if name not in (*OPTIONS, RETRY):
            shown = quotable(name, 60)
            raise Refusal(
                f"{place}.{shown}: there is no such option: they are {', '.join(OPTIONS)} and"
                f" {RETRY}",
                f"{place}.{shown}",
            )
    return dict(given)


def _schema(given: Any) -> dict[str, Any] | None:
    """The schema of ``response_format``."""
    if given is None:
        return None
    kind = given.get("type") if isinstance(given, dict) else None
    if kind == "text":
        return None
    if kind == "json_object":
        raise Refusal(
            "response_format: json_object names no properties, so the answers about many images"
            " cannot be merged: give json_schema",
            "response_format",
            "unsupported_value",
        )
    described = given.get("json_schema") if kind == "json_schema" else None
    schema = described.get("schema") if isinstance(described, dict) else None
    if not isinstance(schema, dict):
        raise Refusal(
            "response_format: give {'type': 'json_schema', 'json_schema': {'name': ..., 'schema':"
            " {...}}}",
            "response_format",
        )
    return schema


def _with_usage(given: Any, stream: bool) -> bool:
    if given is None:
        return False
    if not stream or not isinstance(given, dict):
        raise Refusal(
            "stream_options: give an object, and only with stream: true", "stream_options"
        )
    return _flag(given.get("include_usage"), "stream_options.include_usage")


def _flag(given: Any, name: str) -> bool:
    if given not in (None, True, False) or isinstance(given, int) != isinstance(given, bool):
        raise Refusal(f"{name}: give true or false", name)
    return bool(given)


def _text(given: Any, name: str) -> str:
    if not isinstance(given, str) or not given:
        raise Refusal(f"{name}: give a name of GET /v1/models", name)
    return given


def _listed(given: Any) -> list[Any]:
    if given is None:
        return []
    if not isinstance(given, list):
        raise Refusal("overstory.images: give a list of paths and URLs", "overstory.images")
    return given
