"""The vision API. The one file that imports openai and the HTTP libraries under it (httpx2,
httpcore2).

Nothing of theirs leaves this file: replies become ``core.reply.Reply``, failures one of
``core.errors``, raised outside their except blocks so that no vendor exception (it holds the
request, and with it the key) hangs on ours as context. Nothing is retried here: retries have one
owner, and it is not the client. Facts: StepFun's API fact sheet; its sections are named below.
"""

from __future__ import annotations

import ipaddress
import json
import re
import secrets
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any
from urllib.parse import quote

import httpcore2
import httpx2
import openai

from clients.bodies import InlineBody, json_bytes, utf8
from clients.limit_texts_ import parse_429
from clients.replies_ import read_reply
from core.errors import (
    AccountPaused,
    FileGone,
    FileStoreFull,
    KeyRefused,
    OverstoryError,
    ProviderDown,
    ReplyUnusable,
    RequestRefused,
    SlowDown,
    WrongUsage,
)
from core.reply import Reply
from core.requests.request import Inline
from core.settings import Settings
from core.text.sanitize import storable

CHAT = "/chat/completions"
QUESTION_SECONDS = 20.0  # balance, models: somebody waits for the answer
SIDE_CALL_SECONDS = 120.0  # files, balance, models: whole call; an image of ours is under 5 MB
WRITE_STALL_SECONDS = 60.0  # without one byte of the request being taken
KEEPALIVE_SECONDS = 30.0  # below the 60 s after which common load balancers hang up
WRITE_PIECE_BYTES = 256 * 1024  # the deadline is looked at between pieces
NO_KEY = "sandbox"  # sent in the place of a key when there is none
SECRET_MIN = 8  # characters; "none", "EMPTY" and our own "sandbox" are no secrets, but are words
TEXT_MAX = 500  # characters of a provider's message that are kept


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file in the provider's store. ``created_at`` is in Unix seconds, 0 if not sent."""

    id: str
    bytes: int
    created_at: int
    filename: str
    purpose: str


class Provider:
    """One account at one endpoint: one connection pool, to be built once in each process.

    Thread safe. Not to be carried over a fork. Every method raises KeyRefused, AccountPaused,
    SlowDown, ProviderDown or RequestRefused; what else it raises is said there.
    """

    def __init__(self, settings: Settings, max_connections: int = 200) -> None:
        """``max_connections``: no fewer than the threads that call. Raises WrongUsage for a base
        URL that is none and KeyRefused for a key that no HTTP header can carry."""
        self._settings = settings
        self._key = _header_key(settings)
        self._url = _endpoint(settings.base_url)
        self._call = _Call()
        self._http = _http_client(settings, self._url, max_connections, self._call)
        self._pool = _pool_for(self._http, self._url)
        self._file_headers = (
            (b"Host", self._url.netloc),
            (b"Authorization", f"Bearer {self._key}".encode()),
            (b"Accept", b"application/json"),
            (b"User-Agent", self._http.headers["User-Agent"].encode()),
        )
        self._api = openai.OpenAI(
            api_key=self._key,
            base_url=self._url,
            max_retries=0,
            http_client=self._http,
            default_headers=_own_headers(self._key),
        )

    def __repr__(self) -> str:
        return f"Provider({self._url.host})"

    def chat(
        self,
        body: dict[str, Any],
        timeout_seconds: float | None = None,
        inline: Mapping[str, Inline] | None = None,
    ) -> Reply:
        """The answer to one chat request, sent exactly as ``body`` (UTF-8 JSON), with the images
        ``inline`` in the places of their URLs.

        ``timeout_seconds`` caps the whole call, a dripping reply included; without it the cap is
        the settings' read timeout. Raises also FileGone, BytesGone and ServiceAway for an image
        inline, and ReplyUnusable or RequestRefused with ``.reply`` set where a reply was paid for
        and cannot be used.
        """
        seconds = timeout_seconds or self._settings.read_timeout_seconds
        content = InlineBody(body, inline) if inline else json_bytes(body)
        response = self._send("POST", CHAT, seconds, content=content)
        reply = read_reply(self._object(response), response.headers.get("x-trace-id"))
        if reply.finish_reason == "content_filter":
            message = "the answer did not pass the provider's moderation"
            raise RequestRefused(200, "content_filter", message, True, reply)
        return reply

    def upload(self, name: str, data: bytes, mime: str) -> str:
        """Stores ``data`` for use as ``stepfile://<id>`` and returns the id.

        Raises also FileStoreFull, and ReplyUnusable if the reply holds no id.
        """
        form = _Form.of(utf8(name).decode() or "image", data, mime)
        response = self._send("POST", "/files", SIDE_CALL_SECONDS, form=form)
        identifier = self._object(response).get("id")
        if not isinstance(identifier, str) or not identifier:
            raise ReplyUnusable("no_file_id", "the provider stored a file and named no id")
        return identifier

    def delete_file(self, file_id: str) -> bool:
        """Deletes a stored file. False if the provider did not know it any more."""
        try:
            self._send("DELETE", f"/files/{quote(file_id, safe='')}", SIDE_CALL_SECONDS)
        except FileGone:
            return False
        except RequestRefused as refusal:
            if refusal.status in (404, 410):
                return False
            raise
        return True

    def files(self) -> list[RemoteFile]:
        """Every file the account stores. StepFun documents no paging (4: Files API)."""
        response = self._send("GET", "/files", SIDE_CALL_SECONDS)
        return [_remote_file(entry) for entry in _entries(self._object(response))]

    def balance(self) -> float | None:
        """What the account has left, in its own currency; None where no endpoint tells."""
        try:
            response = self._send("GET", "/accounts", QUESTION_SECONDS)
        except RequestRefused:
            return None
        balance = self._object(response).get("balance")
        return float(balance) if isinstance(balance, int | float) else None

    def models(self) -> list[str]:
        """The ids of the models that the key may use."""
        response = self._send("GET", "/models", QUESTION_SECONDS)
        return [str(entry.get("id", "")) for entry in _entries(self._object(response))]

    def close(self) -> None:
        """Closes the connections; the provider cannot be used after it."""
        self._api.close()

    def _send(
        self,
        method: str,
        path: str,
        seconds: float,
        content: bytes | InlineBody | None = None,
        form: _Form | None = None,
    ) -> httpx2.Response:
        """One request and its whole response, or one of our errors."""
        error: OverstoryError
        self._call.start(seconds)
        try:
            response = self._request(method, path, self._timeout(seconds), content, form)
        except openai.APIStatusError as refusal:
            error = self._refusal(method, path, refusal.response)
        except (openai.OpenAIError, httpx2.HTTPError, OSError, *_FAILURES) as failure:
            cause = failure.__cause__  # of ours: a request that was given up while it was sent
            error = cause if isinstance(cause, OverstoryError) else self._outage(failure)
        else:
            if response.is_success:
                return response
            error = self._refusal(method, path, response)
        raise error

    def _request(
        self,
        method: str,
        path: str,
        timeout: httpx2.Timeout,
        content: bytes | InlineBody | None,
        form: _Form | None,
    ) -> httpx2.Response:
        """Through the SDK's door for paths it has no method for.

        A call with 60 file ids takes 0.6 ms of CPU so, 0.7 ms by ``chat.completions.create`` with
        ``messages=[], extra_body=body`` and 11 ms with the messages as its typed argument.
        """
        if method == "GET":
            return self._api.get(path, cast_to=httpx2.Response, options={"timeout": timeout})
        if content is not None:
            size = content.size if isinstance(content, InlineBody) else len(content)
            return self._api.post(
                path,
                cast_to=httpx2.Response,
                content=content,
                options={"timeout": timeout, "headers": {"Content-Length": str(size)}},
            )
        return self._file_request(method, path, timeout, form)

    def _file_request(
        self, method: str, path: str, timeout: httpx2.Timeout, form: _Form | None
    ) -> httpx2.Response:
        """Over the connections of the SDK's HTTP client: there is one such request an image, or
        two, and by ``files.create`` it takes 0.9 ms of CPU, by the client's own ``request`` 0.6,
        so 0.4."""
        headers = [*self._file_headers]
        if form is not None:
            headers.append((b"Content-Type", form.content_type.encode()))
            headers.append((b"Content-Length", str(len(form.content)).encode()))
        address = httpcore2.URL(
            scheme=self._url.raw_scheme,
            host=self._url.raw_host,
            port=self._url.port,
            target=f"{self._url.raw_path.decode().rstrip('/')}{path}".encode(),
        )
        request = httpcore2.Request(
            method,
            address,
            headers=headers,
            content=None if form is None else form.content,
            extensions={"timeout": timeout.as_dict()},
        )
        response = self._pool.handle_request(request)
        try:
            content = response.read()
        finally:
            response.close()
        return httpx2.Response(response.status, headers=response.headers, content=content)

    def _timeout(self, seconds: float) -> httpx2.Timeout:
        """Each wait inside a call; ``_Call`` shortens every one of them to the call's deadline."""
        connect = min(seconds, self._settings.connect_timeout_seconds)
        write = min(seconds, WRITE_STALL_SECONDS)
        return httpx2.Timeout(connect=connect, read=seconds, write=write, pool=connect)

    def _object(self, response: httpx2.Response) -> Mapping[str, Any]:
        """The JSON object of a 200. Raises ReplyUnusable: what it cost nobody knows."""
        body = _json_or_none(response.content)
        if isinstance(body, dict) and body.get("error") and not body.get("choices"):
            return {**body, "error": self._safe(_envelope(response)[1])}
        if isinstance(body, dict):
            return body
        start = self._safe(response.text)[:80]
        raise ReplyUnusable("invalid_json", f"the provider's reply is no JSON object: {start!r}")

    def _refusal(self, method: str, path: str, response: httpx2.Response) -> OverstoryError:
        kind, message, structured = _envelope(response)
        trace = response.headers.get("x-trace-id")
        said = _Said(
            method=method,
            path=path,
            status=response.status_code,
            kind=self._safe(kind),
            message=self._safe(message),
            structured=structured,
            retry_after=_retry_after(response),
        )
        return _refused(said, self._where(trace), self._settings.model)

    def _where(self, trace: str | None) -> str:
        return f" [{self._url.host}, trace {self._safe(trace)}]" if trace else ""

    def _outage(self, failure: Exception) -> ProviderDown:
        """No response: a connection that failed, broke or took too long (also the request's)."""
        cause = failure.__cause__ or failure
        sent = self._call.wrote and not isinstance(cause, _NEVER_SENT)
        words = self._safe(f"{type(cause).__name__}: {cause}".rstrip(": "))
        return ProviderDown(f"no answer from {self._url.host}: {words}", sent)

    def _safe(self, text: str) -> str:
        """Without the key, in case an endpoint echoes it, and not endlessly long."""
        secret = len(self._key) >= SECRET_MIN
        return (text.replace(self._key, "[key]") if secret else text)[:TEXT_MAX]


# --- one deadline for a whole call -------------------------------------------------------------
# httpx2's read timeout is for one read, so a reply that drips a byte now and then never ends. The
# network stream under it therefore asks here how long each wait may still be. A thread makes one
# call at a time, from connect to last byte, so the deadline is the thread's.

_NEVER_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
    httpcore2.ConnectError,
    httpcore2.ConnectTimeout,
    httpcore2.PoolTimeout,
    httpcore2.ProxyError,
    httpcore2.UnsupportedProtocol,
)
_FAILURES = (
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.ProxyError,
    httpcore2.TimeoutException,
    httpcore2.UnsupportedProtocol,
)
"""What a pool of connections raises; they have no base of their own."""


class _Call(threading.local):
    """The call that this thread is making: when it must end, and whether a byte of it went out."""

    def __init__(self) -> None:
        self.deadline = float("inf")
        self.wrote = False

    def start(self, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds
        self.wrote = False

    def left(self, timeout: float | None, error: type[Exception]) -> float:
        """Seconds the next wait may take. Raises ``error`` if the deadline has passed."""
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise error("the call's time is up")
        return remaining if timeout is None else min(timeout, remaining)


class _TimedStream(httpcore2.NetworkStream):
    def __init__(self, inner: httpcore2.NetworkStream, call: _Call) -> None:
        self._inner = inner
        self._call = call

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._call.left(timeout, httpcore2.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), WRITE_PIECE_BYTES):
            left = self._call.left(timeout, httpcore2.WriteTimeout)
            self._call.wrote = True
            self._inner.write(buffer[start : start + WRITE_PIECE_BYTES], left)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        left = self._call.left(timeout, httpcore2.ConnectTimeout)
        return _TimedStream(self._inner.start_tls(ssl_context, server_hostname, left), self._call)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _TimedBackend(httpcore2.NetworkBackend):
    def __init__(self, inner: httpcore2.NetworkBackend, call: _Call) -> None:
        self._inner = inner
        self._call = call

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        left = self._call.left(timeout, httpcore2.ConnectTimeout)
        stream = self._inner.connect_tcp(host, port, left, local_address, socket_options)
        return _TimedStream(stream, self._call)


@cache
def authorities() -> ssl.SSLContext:
    """Whose certificates are believed: the system's, or those of SSL_CERT_FILE and SSL_CERT_DIR.
    Reading them takes 25 ms, so once for all clients, and for processes forked after it."""
    return httpx2.create_ssl_context()


def _http_client(
    settings: Settings, url: httpx2.URL, connections: int, call: _Call
) -> httpx2.Client:
    client = httpx2.Client(
        verify=authorities(),
        timeout=settings.read_timeout_seconds,
        limits=httpx2.Limits(
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=KEEPALIVE_SECONDS,
        ),
        follow_redirects=False,  # the key would go along to wherever the redirect points
        trust_env=not _is_loopback(url.host),  # a company proxy cannot reach our own sandbox
    )
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001
        if isinstance(transport, httpx2.HTTPTransport):
            # httpx2 has no argument for httpcore2's public network_backend; a transport of our
            # own would lose the proxies of the environment.
            pool = transport._pool  # noqa: SLF001
            pool._network_backend = _TimedBackend(pool._network_backend, call)  # noqa: SLF001
    return client


def _pool_for(
    client: httpx2.Client, url: httpx2.URL
) -> httpcore2.ConnectionPool | httpcore2.HTTPProxy | httpcore2.SOCKSProxy:
    """The connections (or the proxy's) that ``client`` would take for ``url``."""
    transport = client._transport_for_url(url)  # noqa: SLF001 - as above
    assert isinstance(transport, httpx2.HTTPTransport)
    return transport._pool  # noqa: SLF001


# --- what goes out -----------------------------------------------------------------------------


def _header_key(settings: Settings) -> str:
    key = settings.api_key.get_secret_value().strip() if settings.api_key else ""
    if any(not "!" <= character <= "~" for character in key):
        raise KeyRefused(
            "OVERSTORY_API_KEY holds spaces, line breaks or letters that no key has; paste it anew"
        )
    return key or NO_KEY


def _own_headers(key: str) -> dict[str, Any]:
    """Said outright, so that OPENAI_ORG_ID, _PROJECT_ID and _CUSTOM_HEADERS of another vendor's
    account in the environment do not reach this one."""
    return {
        "Authorization": f"Bearer {key}",
        "OpenAI-Organization": openai.Omit(),
        "OpenAI-Project": openai.Omit(),
    }


def _endpoint(base_url: str) -> httpx2.URL:
    try:
        url = httpx2.URL(base_url.strip())
    except httpx2.InvalidURL:
        url = httpx2.URL("")
    if url.scheme not in ("http", "https") or not url.host:
        raise WrongUsage("OVERSTORY_BASE_URL must be like https://api.stepfun.ai/v1")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True, slots=True)
class _Form:
    """A multipart/form-data body (RFC 7578) in one piece: one file for storage."""

    content_type: str
    content: bytes

    @classmethod
    def of(cls, name: str, data: bytes, mime: str) -> _Form:
        boundary = f"overstory-{secrets.token_hex(16)}"
        quoted = name.translate(_QUOTED)
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nstorage\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{quoted}"\r\n'
            f"Content-Type: {mime}\r\n\r\n"
        )
        content = b"".join((head.encode(), data, f"\r\n--{boundary}--\r\n".encode()))
        return cls(f"multipart/form-data; boundary={boundary}", content)


_QUOTED = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})
"""What a file name in a form is written with (WHATWG HTML, multipart form data)."""


# --- what comes back ---------------------------------------------------------------------------


def _json_or_none(content: bytes) -> Any:
    try:
        return storable(json.loads(content))
    except (ValueError, RecursionError):
        return None


def _entries(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    data = body.get("data")
    return [entry for entry in data if isinstance(entry, dict)] if isinstance(data, list) else []


def _remote_file(entry: Mapping[str, Any]) -> RemoteFile:
    return RemoteFile(
        id=str(entry.get("id") or ""),
        bytes=int(entry.get("bytes") or 0),
        created_at=int(entry.get("created_at") or 0),
        filename=str(entry.get("filename") or ""),
        purpose=str(entry.get("purpose") or ""),
    )


def _envelope(response: httpx2.Response) -> tuple[str, str, bool]:
    """(kind, message, whether it was an error object) of an error response, whatever its shape.

    ``{"error": {"message", "type"}}`` is StepFun's; others add a ``code``, which is the narrower
    word where it is one (OpenAI: type invalid_request_error, code context_length_exceeded), send
    the error at the top level (vLLM), as a string (llama.cpp), or an HTML page (any proxy).
    """
    body = _json_or_none(response.content)
    error = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(error, dict):
        page = storable(response.text)
        text = error if isinstance(error, str) else re.sub(r"<[^>]*>|\s+", " ", page)
        return (
            f"http_{response.status_code}",
            " ".join(text.split()) or response.reason_phrase,
            False,
        )
    code, kind = error.get("code"), error.get("type")
    word = code if isinstance(code, str) and not code.isdigit() else kind
    message = error.get("message") or error.get("detail") or response.reason_phrase
    return str(word or kind or f"http_{response.status_code}"), str(message), True


def _retry_after(response: httpx2.Response) -> float | None:
    """Seconds of a Retry-After header: a number, or a date read against the reply's own date."""
    value = response.headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", value):
        return float(value)
    try:
        until, now = (parsedate_to_datetime(v) for v in (value, response.headers.get("date", "")))
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError):
        return None


# --- errors (6: Errors) ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Said:
    """An error response, read: the request it answers, its status, kind and message.

    ``structured``: it was an error object, and not some web server's page.
    """

    method: str
    path: str
    status: int
    kind: str
    message: str
    structured: bool
    retry_after: float | None


_DOWN = {408, 409, 425}  # and every 5xx
_UNPAID = {"quota_exceeded", "insufficient_quota", "billing_hard_limit_reached"}
_MODERATION = re.compile(r"censorship|content_filter|content_policy|moderation", re.I)
_FILE_WORD = re.compile(r"stepfile|\bfile[-_ ]?(id|not)|\bfiles?\b|文件", re.I)
_GONE_WORD = re.compile(
    r"not[-_ ]?(found|exist)|n[o']t (find|exist)|no such|unknown|invalid|expired|deleted|missing"
    r"|no longer|gone|permission|access|不存在|未找到|过期|无效|找不到",
    re.I,
)
_OTHER_WORD = re.compile(
    r"format|\bsize|large|small|corrupt|unsupported|decod|not an image|pixel|animated|\btype\b",
    re.I,
)
_FULL_WORD = re.compile(r"limit|quota|exceed|maximum|too many|full|上限|超", re.I)
_SIZE_WORD = re.compile(r"\b(size|large|bytes|\d+ ?[kmg]i?b)\b|大小", re.I)
_FILE_ID = re.compile(r"stepfile://([\w-]+)|\b(file-(?=[\w-]*[A-Z0-9])\w[\w-]{5,})")


def _refused(said: _Said, where: str, model: str) -> OverstoryError:
    """The decision for one error response: a table, read from the top."""
    if said.status == 451 or _MODERATION.search(said.kind):
        return RequestRefused(said.status, said.kind, said.message + where, True)
    if said.path == "/files" and _says_store_full(said):
        return FileStoreFull(f"the provider's file store is full: {said.message}{where}")
    if said.status == 402 or said.kind in _UNPAID:
        return AccountPaused(f"the provider wants payment: {said.message}{where}")
    if said.status in (401, 403) or said.kind == "invalid_api_key":
        return KeyRefused(_key_text(said) + where)
    if said.status == 429:
        return _slow_down(said)
    if said.status >= 500 or said.status in _DOWN:
        return ProviderDown(f"{said.status} {said.kind}: {said.message}{where}", True, said.status)
    return _refused_as_it_stands(said, where, model)


def _refused_as_it_stands(said: _Said, where: str, model: str) -> OverstoryError:
    if _says_file_gone(said):
        found = _FILE_ID.search(said.message)
        return FileGone(said.message + where, found and (found[1] or found[2]))
    return RequestRefused(said.status, said.kind, said.message + _advice(said, model) + where)


def _says_store_full(said: _Said) -> bool:
    """The 1,001st file's error is not documented: a 4xx that speaks of a limit, but of no size."""
    text = f"{said.kind} {said.message}"
    speaks = bool(_FULL_WORD.search(text)) and not _SIZE_WORD.search(text)
    return said.method == "POST" and said.status in (400, 403, 409, 422, 507) and speaks


def _says_file_gone(said: _Said) -> bool:
    """An unknown stepfile's error is not documented either: a file is named, and it is lost."""
    if said.status not in (400, 404, 410, 422) or not said.structured:
        return False  # "File not found" is also what a web server says of a wrong path
    if said.path != CHAT and not said.path.startswith("/files/"):
        return False
    text = f"{said.kind} {said.message}" if "file" in said.kind.lower() else said.message
    named = "stepfile" in text.lower() or _FILE_ID.search(text)
    lost = named or (_FILE_WORD.search(text) and _GONE_WORD.search(text))
    return bool(lost) and not _OTHER_WORD.search(text)


def _slow_down(said: _Said) -> SlowDown:
    kind, _current, limit = parse_429(said.message)
    return SlowDown(kind, limit, said.message, said.retry_after)


def _key_text(said: _Said) -> str:
    return (
        f"the API key was refused ({said.status}: {said.message}); check OVERSTORY_API_KEY, and "
        "that it was made for the region of OVERSTORY_BASE_URL"
    )


def _advice(said: _Said, model: str) -> str:
    if 300 <= said.status < 400:
        return "; the endpoint redirects, which is not followed with a key: set OVERSTORY_BASE_URL"
    if said.status != 404 or said.path != CHAT:
        return ""
    if "model" in f"{said.kind} {said.message}".lower():
        return f"; check OVERSTORY_MODEL (now {model})"
    return (
        "; check that OVERSTORY_BASE_URL is the address before /chat/completions "
        f"(most end in /v1), and OVERSTORY_MODEL (now {model})"
    )
