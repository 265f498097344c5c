"""Errors as problem details (RFC 9457): what is wrong, which field, and what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from core.errors import InputRefused, OverstoryError, ServiceAway, WrongUsage
from core.text.printable import one_line
from overstory.api.openai_errors import Refusal, error_response, is_openai

MEDIA_TYPE = "application/problem+json"
DETAIL_CHARACTERS = 2_000
RETRY_SECONDS = 5
_FIELD = re.compile(r"(?:overstory\.submit refused its arguments: )?([a-z_]+)[:.]")
"""Messages about a submission begin with the name of the field."""


class Problem(BaseModel):
    """An RFC 9457 problem. ``field``: of the request, if one is to blame."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    field: str | None = None


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem} for status in (401, 403, 404, 409, 422, 429, 503)
}
"""The statuses of a router's routes, for their description."""


class NotFound(WrongUsage):
    """There is nothing at this address."""


class NoSuchJob(NotFound):
    """There is no such job."""


class NeedsToken(HTTPException):
    """The request shows no token that holds."""

    def __init__(self, wrong: bool = False) -> None:
        kind = ', error="invalid_token"' if wrong else ""
        super().__init__(
            HTTPStatus.UNAUTHORIZED,
            "the token is unknown or was revoked"
            if wrong
            else "a token is needed here: send it as"
            " 'Authorization: Bearer ...'; 'overstory token create NAME' makes one",
            {"WWW-Authenticate": f'Bearer realm="overstory"{kind}'},
        )


class NotAllowed(WrongUsage):
    """The caller may not do this."""


class FileTooLarge(WrongUsage):
    """A file has more bytes than one may have."""


class TooBusy(OverstoryError):
    """The service plans as many jobs as it can at once: try again in a few seconds."""


class Conflict(WrongUsage):
    """What is there already differs from what is asked for."""


_STATUS: tuple[tuple[type[OverstoryError], HTTPStatus], ...] = (
    (NotFound, HTTPStatus.NOT_FOUND),
    (Conflict, HTTPStatus.CONFLICT),
    (InputRefused, HTTPStatus.FORBIDDEN),
    (NotAllowed, HTTPStatus.FORBIDDEN),
    (FileTooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (WrongUsage, HTTPStatus.UNPROCESSABLE_ENTITY),
    (TooBusy, HTTPStatus.TOO_MANY_REQUESTS),
    (ServiceAway, HTTPStatus.SERVICE_UNAVAILABLE),
    (OverstoryError, HTTPStatus.BAD_GATEWAY),
)


def problem(
    status: int,
    detail: str,
    field: str | None = None,
    path: str = "",
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """The error of a request to ``path``; under /v1 in OpenAI's shape, which has a ``code``."""
    waits = status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
    sent = {"Retry-After": str(RETRY_SECONDS)} if waits else {}
    sent |= headers or {}
    if is_openai(path):
        return error_response(_openai_status(status), detail, field, code, sent)
    value = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=one_line(detail, DETAIL_CHARACTERS),
        field=field,
    )
    return JSONResponse(value.model_dump(exclude_none=True), status, sent, MEDIA_TYPE)


def handle_problems(app: FastAPI) -> None:
    """Make every error of ``app`` a problem. A bug is a 500 without its traceback."""
    app.add_exception_handler(OverstoryError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _bug)


def _openai_status(status: int) -> int:
    """OpenAI refuses wrong values with 400: its SDKs have a class of their own for it."""
    wrong = status == HTTPStatus.UNPROCESSABLE_ENTITY
    return HTTPStatus.BAD_REQUEST if wrong else status


def _ours(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, Refusal):
        return problem(error.status, str(error), error.param, request.url.path, error.code)
    status = next(status for kind, status in _STATUS if isinstance(error, kind))
    named = _FIELD.match(str(error)) if isinstance(error, WrongUsage) else None
    return problem(status, str(error), named[1] if named else None, request.url.path)


def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors: Sequence[Any] = error.errors()
    lines = [f"{_place(each['loc'])}: {each['msg']}" for each in errors]
    place = _place(errors[0]["loc"])
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(lines), place, request.url.path)


def _place(location: Sequence[object]) -> str:
    """``images.0`` of (body, images, 0)."""
    names = [str(part) for part in location[1:]] or [str(location[0])]
    return ".".join(names)


def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    path = request.url.path
    detail = str(error.detail)
    if is_openai(path) and error.status_code == HTTPStatus.NOT_FOUND:
        detail = f"there is no {path} here, but /v1/chat/completions and /v1/models"
    return problem(error.status_code, detail, path=path, headers=error.headers)


def _bug(request: Request, error: Exception) -> JSONResponse:
    return problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        f"a bug: {type(error).__name__}; the log of 'overstory serve' has its traceback",
        path=request.url.path,
    )
