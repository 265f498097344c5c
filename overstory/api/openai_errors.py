"""Errors in OpenAI's shape, which its SDKs turn into exceptions of their own."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse

from core.errors import WrongUsage
from core.text.printable import one_line

MESSAGE_CHARACTERS = 2_000
_NOT_AGAIN = frozenset({HTTPStatus.CONFLICT, HTTPStatus.BAD_GATEWAY})
"""Statuses that SDKs retry by themselves, although the same request would be refused again."""
_CODES = {
    HTTPStatus.UNAUTHORIZED: "invalid_api_key",
    HTTPStatus.FORBIDDEN: "permission_denied",
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "request_too_large",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_exceeded",
}


class Refusal(WrongUsage):
    """A request that is refused: with ``status``, the parameter ``param`` that is to blame, and a
    ``code`` for programs."""

    def __init__(
        self,
        message: str,
        param: str | None = None,
        code: str | None = None,
        status: int = HTTPStatus.BAD_REQUEST,
    ) -> None:
        super().__init__(message, param, code, status)
        self.param = param
        self.code = code
        self.status = status


def is_openai(path: str) -> bool:
    """Whether errors of ``path`` have OpenAI's shape."""
    return path == "/v1" or path.startswith("/v1/")


def error_object(
    status: int, message: str, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """``{"error": {"message", "type", "param", "code"}}``."""
    error = {
        "message": one_line(message, MESSAGE_CHARACTERS),
        "type": _kind(status),
        "param": param,
        "code": code or _CODES.get(HTTPStatus(status)),
    }
    return {"error": error}


def error_response(
    status: int,
    message: str,
    param: str | None = None,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """The error as a response. What is not worth a retry says so: SDKs retry 409 and 5xx."""
    once = {"x-should-retry": "false"} if status in _NOT_AGAIN else {}
    return JSONResponse(
        error_object(status, message, param, code), status, {**once, **(headers or {})}
    )


def _kind(status: int) -> str:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "rate_limit_error"
    return "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
