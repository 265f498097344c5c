"""Sends calls, again where that is right, and turns refusals into errors."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2

from overstory_client._async import io
from overstory_client.calls import Call, Put
from overstory_client.errors import OverstoryError, ServiceAway, ServiceFailed, WrongUsage, error_of
from overstory_client.retries import AGAIN, Retries

T = TypeVar("T")
URL = "http://127.0.0.1:8700"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
TIMEOUT = httpx2.Timeout(120.0, connect=10.0)
"""A service that plans a job of 100,000 images answers after a minute."""
SILENCE = httpx2.Timeout(60.0, connect=10.0)
"""Of a stream: the service writes a comment each 15 s."""
UPLOAD_PIECE = 1 << 18
UNSENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


class AsyncTransport:
    """One service. The token goes to no other address, and no redirect is followed."""

    def __init__(
        self,
        url: str | None,
        token: str | None,
        http: httpx2.AsyncClient | None,
        retries: Retries,
        sleep: io.Sleep,
    ) -> None:
        self.url = _checked(url or os.environ.get("OVERSTORY_URL") or URL)
        token = (token or os.environ.get("OVERSTORY_TOKEN") or "").strip()
        self._own = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = http or _client(self.url)
        self.retries = retries
        self.sleep = sleep

    async def send(self, call: Call[T]) -> T:
        """The parsed reply. Raises OverstoryError."""

        async def once() -> T:
            response = await self._http.send(self._request(call))
            return _parsed(call, response)

        return await self._again(once, call.repeatable)

    async def put(self, put: Put, path: Path, size: int) -> None:
        """Upload a file, to the service or to its bucket. Raises OverstoryError."""
        headers = {"Content-Length": str(size), **put.headers}
        url = put.url
        if url.startswith("/"):
            url, headers = self.url + url, headers | self._own

        async def once() -> None:
            body = io.pieces(path, UPLOAD_PIECE) if size else b""
            request = self._http.build_request("PUT", url, content=body, headers=headers)
            _check(await self._http.send(request))

        await self._again(once, True)

    async def save(self, call: Call[bytes], to: Path) -> Path:
        """Write the reply to a file, which is there when it is complete."""

        async def once() -> Path:
            async with self.stream(call) as response:
                descriptor, name = tempfile.mkstemp(prefix=f"{to.name}.", dir=to.parent)
                try:
                    with os.fdopen(descriptor, "wb") as file:
                        async for piece in response.aiter_bytes():
                            file.write(piece)
                    return Path(name).replace(to)
                finally:
                    Path(name).unlink(missing_ok=True)

        return await self._again(once, call.repeatable)

    @asynccontextmanager
    async def stream(self, call: Call[Any]) -> AsyncIterator[httpx2.Response]:
        """The reply while it arrives. Raises OverstoryError, also for a cut inside the block."""
        try:
            request = self._request(call, SILENCE)
            response = await self._http.send(request, stream=True)
            try:
                if response.status_code >= 400:
                    await response.aread()
                _check(response)
                yield response
            finally:
                await response.aclose()
        except httpx2.TransportError as error:
            raise self._cut(error) from error

    async def rest(self, failed: int, error: OverstoryError) -> None:
        """Wait before the next attempt after ``failed``; raises ``error`` if there is none."""
        if not (error.status in AGAIN or isinstance(error, ServiceAway)):
            raise error
        seconds = self.retries.wait(failed, error, random.random())  # noqa: S311 - no secret
        if seconds is None:
            raise error
        await self.sleep(seconds)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _again(self, once: Callable[[], Awaitable[T]], repeatable: bool) -> T:
        failed = 0
        while True:
            try:
                return await once()
            except httpx2.TransportError as error:
                trouble: OverstoryError = self._cut(error)
                if not (repeatable or isinstance(error, UNSENT)):
                    raise trouble from error
            except OverstoryError as error:
                trouble = error
            failed += 1
            await self.rest(failed, trouble)

    def _request(self, call: Call[Any], timeout: httpx2.Timeout = TIMEOUT) -> httpx2.Request:
        return self._http.build_request(
            call.method,
            self.url + call.path,
            json=call.json,
            params=call.params,
            headers={**self._own, **call.headers},
            timeout=timeout,
        )

    def _cut(self, error: httpx2.TransportError) -> ServiceAway:
        what = str(error) or type(error).__name__
        return ServiceAway(
            f"no answer of the service at {self.url} ({what}): start it with 'overstory up', or"
            " set OVERSTORY_URL"
        )


def _checked(url: str) -> str:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        parsed = httpx2.URL()
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise WrongUsage(f"url: {url!r} is not the address of a service, such as {URL}", "url")
    return url.rstrip("/")


def _client(url: str) -> httpx2.AsyncClient:
    """Not through a proxy to this machine itself."""
    is_here = urlsplit(url).hostname in LOOPBACK
    return httpx2.AsyncClient(trust_env=not is_here, timeout=TIMEOUT)


def _check(response: httpx2.Response) -> None:
    if not response.is_success:
        raise error_of(response)


def _parsed(call: Call[T], response: httpx2.Response) -> T:
    _check(response)
    try:
        return call.parse(response)
    except ValueError as error:
        raise ServiceFailed(
            f"the answer to {call.method} {call.path} is not one of an Overstory service: {error}",
            status=response.status_code,
        ) from error
