"""What goes wrong, one class for each kind. ``str(error)`` says what to do."""

from __future__ import annotations

import json
from typing import Any

import httpx2

DETAIL_CHARACTERS = 2_000


class OverstoryError(Exception):
    """The base of all errors of this package.

    ``detail``: what is wrong and what to do. ``field``: of the request, if one is to blame.
    ``status``: of the HTTP response; None if there was none. ``retry_after``: seconds after which
    the service wants to be asked again, if it said so.
    """

    def __init__(
        self,
        detail: str,
        field: str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail, field, status, retry_after)
        self.detail = detail
        self.field = field
        self.status = status
        self.retry_after = retry_after

    def __str__(self) -> str:
        return self.detail


class WrongUsage(OverstoryError):
    """The request is wrong; ``field`` names the part of it."""


class NotAuthorized(OverstoryError):
    """The service wants a token, and has not got a valid one."""


class Refused(OverstoryError):
    """The token may not do this, or the service may not read this path."""


class NotFound(OverstoryError):
    """There is no such job for this token."""


class Conflict(OverstoryError):
    """The job's state does not allow this."""


class TooLarge(OverstoryError):
    """The request or file has more bytes than the service takes."""


class TooBusy(OverstoryError):
    """The service takes no more requests now. It was asked several times."""


class ServiceAway(OverstoryError):
    """The service does not answer, or what it needs is away. It was asked several times."""


class ServiceFailed(OverstoryError):
    """The service has a bug, or its answer is not one of an Overstory service."""


_KINDS: dict[int, type[OverstoryError]] = {
    401: NotAuthorized,
    403: Refused,
    404: NotFound,
    408: ServiceAway,
    409: Conflict,
    413: TooLarge,
    429: TooBusy,
    502: ServiceAway,
    503: ServiceAway,
    504: ServiceAway,
}


def error_of(response: httpx2.Response) -> OverstoryError:
    """The error of a response that was read, from its problem details (RFC 9457) if it has any."""
    problem = _object(response)
    status = response.status_code
    usual = WrongUsage if 400 <= status < 500 else ServiceFailed
    detail = problem.get("detail") or response.text.strip() or response.reason_phrase
    field = problem.get("field")
    return _KINDS.get(status, usual)(
        f"{detail}"[:DETAIL_CHARACTERS],
        field if isinstance(field, str) else None,
        status,
        _seconds(response.headers.get("Retry-After")),
    )


def _object(response: httpx2.Response) -> dict[str, Any]:
    try:
        value = response.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        return {}
    return value if isinstance(value, dict) else {}


def _seconds(text: str | None) -> float | None:
    """Of a Retry-After in seconds. A date is not used: the clocks may differ."""
    return float(text) if text is not None and text.isdecimal() else None
