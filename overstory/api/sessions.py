"""Sessions of the page: a browser shows a token once, and a cookie afterwards.

The cookie is a secret of its own, so it ends by itself, with the token, or when the person leaves,
and a thief of it has no token. Scripts cannot read it, and browsers send it to this service alone
and from no page of another site.
"""

from __future__ import annotations

import secrets
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from core.access import SECRET_BYTES, hashed, secret_of
from models import tokens
from models.engine import Database
from overstory.api.caller import Caller, caller_of
from overstory.api.guard import COOKIE
from overstory.api.known_tokens import KnownTokens
from overstory.api.problems import NeedsToken

SESSION_SECONDS = 30 * 86_400


class Shown(BaseModel):
    """A token that is shown to the page."""

    model_config = ConfigDict(extra="forbid")
    token: Annotated[str, Field(min_length=1, max_length=200)]


class Visitor(BaseModel):
    """The person at the page. ``name``: of the token; ``local``: this machine, without one; null: a
    visitor, for whom ``needs_token`` is true."""

    name: str | None
    is_admin: bool
    read_only: bool
    needs_token: bool


class Sessions:
    """``/api/session``."""

    def __init__(self, database: Database, known: KnownTokens) -> None:
        self._database = database
        self._known = known

    def router(self) -> APIRouter:
        routes = APIRouter(prefix="/api/session", tags=["session"])
        routes.get("")(self.show)
        routes.post("")(self.open)
        routes.delete("")(self.close)
        return routes

    def show(self, request: Request) -> Visitor:
        """The caller as the service knows it, and whether a token is needed."""
        return _visitor(caller_of(request))

    async def open(self, shown: Shown, request: Request, response: Response) -> Visitor:
        """Show a token, for a browser: sets a cookie that holds for 30 days."""
        caller = await self._known.caller(shown.token.strip())
        if caller is None or caller.name is None:
            raise NeedsToken(wrong=True)
        cookie = secret_of(secrets.token_bytes(SECRET_BYTES))
        await to_thread.run_sync(self._open, caller.name, cookie)
        response.set_cookie(
            COOKIE,
            cookie,
            max_age=SESSION_SECONDS,
            secure=request.headers.get("origin", "").startswith("https:"),
            httponly=True,
            samesite="strict",
        )
        return _visitor(caller)

    def _open(self, name: str, cookie: str) -> None:
        with self._database.write() as connection:
            tokens.open_session(connection, name, hashed(cookie), SESSION_SECONDS)

    def close(self, request: Request, response: Response) -> Visitor:
        """Leave: the cookie holds no more."""
        if cookie := request.cookies.get(COOKIE):
            with self._database.write() as connection:
                tokens.close_session(connection, hashed(cookie))
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return _visitor(None)


def _visitor(caller: Caller | None) -> Visitor:
    if caller is None:
        return Visitor(name=None, is_admin=False, read_only=True, needs_token=True)
    return Visitor(
        name=caller.owner,
        is_admin=caller.is_admin,
        read_only=caller.read_only,
        needs_token=False,
    )
