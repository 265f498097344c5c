"""The messages of a request: its images in their order, and the question."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from core.text.printable import quotable
from overstory.api.chat.inline import Inline
from overstory.api.openai_errors import Refusal

_DETAILS = ("low", "auto", "high")
"""From the least to the most that a model sees. Where parts differ, the job takes the most."""
_INSTRUCTIONS = ("system", "developer")
ANSWERED = (
    "an earlier answer is not sent on: ask about the same images as POST /api/jobs/JOB/ask, where"
    " the job is the header Overstory-Job of that answer; or put all that matters into the question"
)


@dataclass(slots=True)
class Asked:
    """``images``: uploads and URLs as inputs of a submission. ``detail``: the highest that a part
    names, or None."""

    images: list[str] = field(default_factory=list)
    detail: str | None = None
    instructions: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    @property
    def question(self) -> str | None:
        """The instructions, then what the user says; None if nobody says anything."""
        return "\n\n".join([*self.instructions, *self.texts]) or None


def read(messages: Any) -> Asked:
    """Raises Refusal, which names the message or its part."""
    if not isinstance(messages, list) or not messages:
        raise Refusal("messages: give a list of at least one message", "messages")
    asked = Asked()
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        if not isinstance(message, dict):
            raise Refusal(f"{where}: a message is an object with a role and a content", where)
        _read_message(message, where, asked)
    return asked


def _read_message(message: dict[str, Any], where: str, asked: Asked) -> None:
    role = message.get("role")
    if role not in ("user", *_INSTRUCTIONS):
        why = ANSWERED if role == "assistant" else "the roles are system, developer and user"
        raise Refusal(f"{where}: {why}", f"{where}.role")
    content = message.get("content")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise Refusal(f"{where}: the content is a text, or a list of parts", f"{where}.content")
    texts = asked.texts if role == "user" else asked.instructions
    for number, part in enumerate(content):
        place = f"{where}.content[{number}]"
        kind = part.get("type") if isinstance(part, dict) else None
        read_part = _PARTS.get(kind) if isinstance(kind, str) else None
        if read_part is None or (role != "user" and kind != "text"):
            shown = quotable(str(kind), 40)
            kinds = "text, image_url and file" if role == "user" else "text"
            raise Refusal(f"{place}: parts of {role} are {kinds}, not {shown}", f"{place}.type")
        read_part(part, place, asked, texts)


def _read_text(part: dict[str, Any], where: str, asked: Asked, texts: list[str]) -> None:
    text = part.get("text")
    if not isinstance(text, str):
        raise Refusal(f"{where}: 'text' is missing", f"{where}.text")
    if text.strip():
        texts.append(text.strip())


def _read_image(part: dict[str, Any], where: str, asked: Asked, texts: list[str]) -> None:
    given = part.get("image_url")
    image = given if isinstance(given, dict) else {"url": given}
    asked.images.append(_input(image.get("url"), where))
    detail = image.get("detail")
    if detail is None:
        return
    if detail not in _DETAILS:
        raise Refusal(f"{where}: detail is low, high or auto", f"{where}.image_url.detail")
    asked.detail = max(detail, asked.detail or "low", key=_DETAILS.index)


def _read_file(part: dict[str, Any], where: str, asked: Asked, texts: list[str]) -> None:
    given = part.get("file")
    data = given.get("file_data") if isinstance(given, dict) else None
    if not isinstance(data, Inline):
        raise Refusal(
            f"{where}: give file_data: data:application/pdf;base64,...; there are no stored files",
            f"{where}.file",
        )
    asked.images.append(data.input)


def _input(url: Any, where: str) -> str:
    if isinstance(url, Inline):
        return url.input
    if not isinstance(url, str) or not url.lower().startswith(("http://", "https://")):
        raise Refusal(
            f"{where}: the URL of an image begins with https://, http:// or data:image/",
            where,
            "invalid_image_url",
        )
    return url


_PARTS: dict[str, Callable[[dict[str, Any], str, Asked, list[str]], None]] = {
    "text": _read_text,
    "image_url": _read_image,
    "file": _read_file,
}
