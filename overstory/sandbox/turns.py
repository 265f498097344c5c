"""The messages of a chat request and what may stand in them (fact sheet 2.1, 3.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core.catalog.tokens import Detail
from overstory.sandbox.refusal import wrong_param

ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class ImagePart:
    """One image of a request, where it stood: its URL and the detail asked for."""

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
        """The texts, without the images."""
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
    given = image.get("detail")
    if given is None:
        return ImagePart(image["url"], default_detail, detail_given=False)
    if given not in ("low", "high"):
        raise wrong_param(f"invalid detail: {given}, must be low or high")
    return ImagePart(image["url"], "low" if given == "low" else "high", detail_given=True)


def _unseen_part(part: dict[str, Any], _: Detail) -> str:
    raise wrong_param(f"the sandbox does not take {part['type']} parts")


_PARTS: dict[str, Callable[[dict[str, Any], Detail], str | ImagePart]] = {
    "text": _text_part,
    "image_url": _image_part,
    "video_url": _unseen_part,
    "input_audio": _unseen_part,
}
