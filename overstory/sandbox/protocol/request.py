"""The rules for a chat request (fact sheet 2.1), as one pure function of its JSON body."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core.catalog.tokens import Detail
from overstory.sandbox.config import SandboxConfig
from overstory.sandbox.errors import Refusal, wrong_param
from overstory.sandbox.models import Model
from overstory.sandbox.protocol.refused_parts import check_parts

_STRUCTURE = {"model", "messages", "tools", "tool_choice", "n", "stop", "stream", "stream_options"}
_TUNING = {"max_tokens", "temperature", "top_p", "frequency_penalty", "response_format"}
_REASONING = {"reasoning_format", "reasoning_effort"}
DOCUMENTED = _STRUCTURE | _TUNING | _REASONING
_TOOL_NAME = re.compile(r"^[a-zA-Z_][a-zA-Z0-9_-]{0,63}$")


@dataclass(frozen=True, slots=True)
class ChatRequest:
    model: Model
    turns: tuple[Turn, ...]
    max_tokens: int | None
    choices: int
    stream: bool
    stops: tuple[str, ...]
    response_format: dict[str, Any] | None

    @property
    def images(self) -> list[ImagePart]:
        return [p for turn in self.turns for p in turn.parts if isinstance(p, ImagePart)]

    @property
    def user_texts(self) -> list[str]:
        return [text for turn in self.turns if turn.role == "user" for text in turn.texts]

    @property
    def instruction(self) -> str:
        """What is asked: the texts after the images of the user's last turn, or the last text."""
        last = next((turn for turn in reversed(self.turns) if turn.role == "user"), None)
        parts = last.parts if last else ()
        images = [at for at, part in enumerate(parts) if isinstance(part, ImagePart)]
        after = [p for p in parts[images[-1] + 1 :] if isinstance(p, str)] if images else []
        return "\n\n".join(after or self.user_texts[-1:])


def read_request(body: dict[str, Any], model: Model, config: SandboxConfig) -> ChatRequest:
    """The request in ``body``. Raises Refusal 400 that names the first broken rule."""
    check_parts(body, config.refuses)
    if "max_tokens" in config.refuses and "max_completion_tokens" in body:
        body = {**body, "max_tokens": body["max_completion_tokens"]}
    _check_fields(body, config)
    _check_numbers(body)
    _check_effort(body, model, config)
    _check_tools(body.get("tools"))
    request = ChatRequest(
        model=model,
        turns=read_turns(body.get("messages"), config.default_detail),
        max_tokens=_whole_number(body, "max_tokens"),
        choices=_whole_number(body, "n") or 1,
        stream=_stream(body),
        stops=_stops(body.get("stop")),
        response_format=_response_format(body.get("response_format"), model),
    )
    _check_images(request, config)
    return request


def read_messages(body: dict[str, Any], model: Model, config: SandboxConfig) -> ChatRequest:
    """The request of ``POST /v1/token/count``: only model and messages are read."""
    kept = {key: body.get(key) for key in ("model", "messages")}
    return read_request(kept, model, config)


def model_name(body: dict[str, Any]) -> str:
    """The value of ``model``. Raises Refusal 400 if it is missing."""
    name = body.get("model")
    if not isinstance(name, str) or not name:
        raise wrong_param("model is required")
    return name


def _check_fields(body: dict[str, Any], config: SandboxConfig) -> None:
    unknown = sorted(body.keys() - DOCUMENTED)
    if config.strict_fields and unknown:
        raise wrong_param(f"unknown field: {', '.join(unknown)}")


def _check_numbers(body: dict[str, Any]) -> None:
    for name, low, high in (
        ("temperature", 0.0, 2.0),
        ("top_p", 0.0, 1.0),
        ("frequency_penalty", -2.0, 2.0),
    ):
        value = body.get(name)
        if value is None:
            continue
        if not _is_number(value) or not low <= value <= high:
            raise wrong_param(f"{name} must be a number from {low} to {high}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole_number(body: dict[str, Any], name: str) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise wrong_param(f"{name} must be an integer of at least 1")
    return value


def _check_effort(body: dict[str, Any], model: Model, config: SandboxConfig) -> None:
    effort = body.get("reasoning_effort")
    if effort is not None and not config.lenient_reasoning_effort and effort not in model.efforts:
        known = ", ".join(model.efforts) or "none"
        raise wrong_param(f"reasoning_effort of {model.name} must be one of: {known}")
    if body.get("reasoning_format") not in (None, "general", "deepseek-style"):
        raise wrong_param("reasoning_format must be general or deepseek-style")


def _check_tools(tools: object) -> None:
    if tools is None:
        return
    if not isinstance(tools, list):
        raise wrong_param("tools must be an array")
    for tool in tools:
        function = tool.get("function") if isinstance(tool, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(name, str) or not _TOOL_NAME.match(name):
            raise wrong_param(f"invalid tool name: {name}")


def _stream(body: dict[str, Any]) -> bool:
    stream, options = body.get("stream"), body.get("stream_options")
    if stream is not None and not isinstance(stream, bool):
        raise wrong_param("stream must be a boolean")
    if options is not None and not isinstance(options, dict):
        raise wrong_param("stream_options must be an object")
    if options and not isinstance(options.get("include_usage", False), bool):
        raise wrong_param("stream_options.include_usage must be a boolean")
    return bool(stream)


def _stops(stop: object) -> tuple[str, ...]:
    stops = [] if stop is None else [stop] if isinstance(stop, str) else stop
    if not isinstance(stops, list) or not all(isinstance(word, str) for word in stops):
        raise wrong_param("stop must be a string or an array of strings")
    return tuple(word for word in stops if word)


def _response_format(wanted: object, model: Model) -> dict[str, Any] | None:
    if wanted is None:
        return None
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if not isinstance(wanted, dict) or kind not in ("text", "json_object", "json_schema"):
        raise wrong_param("response_format.type must be text, json_object or json_schema")
    if kind == "json_schema":
        if not model.json_schema:
            raise wrong_param(f"model {model.name} does not support response_format json_schema")
        _check_schema(wanted.get("json_schema"))
    return None if kind == "text" else wanted


def _check_schema(wrapper: object) -> None:
    if not isinstance(wrapper, dict) or not isinstance(wrapper.get("name"), str):
        raise wrong_param("response_format.json_schema.name is required")
    if not isinstance(wrapper.get("schema"), dict):
        raise wrong_param("response_format.json_schema.schema is required")
    if not isinstance(wrapper.get("strict", False), bool | None):
        raise wrong_param("response_format.json_schema.strict must be a boolean")


def _check_images(request: ChatRequest, config: SandboxConfig) -> None:
    images = request.images
    if images and not request.model.vision:
        raise wrong_param(f"model {request.model.name} does not support image input")
    if len(images) > config.max_images:
        message = config.too_many_images_message.replace("{most}", str(config.max_images))
        raise Refusal(400, config.too_many_images_type, message)


ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class ImagePart:
    """One image of a request: its URL and the requested detail."""

    url: str
    detail: Detail
    detail_given: bool


@dataclass(frozen=True, slots=True)
class Turn:
    """One message: its role and its parts in order."""

    role: str
    parts: tuple[str | ImagePart, ...]

    @property
    def texts(self) -> list[str]:
        return [part for part in self.parts if isinstance(part, str)]


def read_turns(messages: object, default_detail: Detail) -> tuple[Turn, ...]:
    """The turns of ``messages``. Raises Refusal 400 for an unknown role, part or detail."""
    if not isinstance(messages, list) or not messages:
        raise wrong_param("messages must be an array with at least one message")
    return tuple(_turn(message, default_detail) for message in messages)


def _turn(message: object, default_detail: Detail) -> Turn:
    if not isinstance(message, dict):
        raise wrong_param("a message must be an object")
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        raise wrong_param(f"invalid msg role: {role}")
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        raise wrong_param("a tool message needs a tool_call_id")
    if isinstance(content, str):
        return Turn(role, (content,))
    if role == "assistant" and content is None:
        return Turn(role, ())
    if role != "user" or not isinstance(content, list) or not content:
        raise wrong_param(f"invalid content of a {role} message")
    return Turn(role, tuple(_part(part, default_detail) for part in content))


def _part(part: object, default_detail: Detail) -> str | ImagePart:
    kind = part.get("type") if isinstance(part, dict) else None
    reader = _PARTS.get(kind) if isinstance(kind, str) else None
    if reader is None or not isinstance(part, dict):
        raise wrong_param(f"invalid content part type: {kind}")
    return reader(part, default_detail)


def _text_part(part: dict[str, Any], _: Detail) -> str:
    if not isinstance(part.get("text"), str):
        raise wrong_param("a text part needs a text")
    return str(part["text"])


def _image_part(part: dict[str, Any], default_detail: Detail) -> ImagePart:
    image = part.get("image_url")
    if not isinstance(image, dict) or not isinstance(image.get("url"), str):
        raise wrong_param("an image_url part needs an image_url.url")
    detail = image.get("detail")
    if detail is None:
        return ImagePart(image["url"], default_detail, detail_given=False)
    if detail not in ("low", "high"):
        raise wrong_param(f"invalid detail: {detail}, must be low or high")
    return ImagePart(image["url"], "low" if detail == "low" else "high", detail_given=True)


def _unsupported_part(part: dict[str, Any], _: Detail) -> str:
    raise wrong_param(f"the sandbox does not take {part['type']} parts")


_PARTS: dict[str, Callable[[dict[str, Any], Detail], str | ImagePart]] = {
    "text": _text_part,
    "image_url": _image_part,
    "video_url": _unsupported_part,
    "input_audio": _unsupported_part,
}
