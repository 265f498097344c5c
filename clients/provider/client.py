"""The client of the vision API: the only module that imports openai.

No vendor type leaves this package: replies become ``core.reply.Reply``, failures become
``core.errors``. We raise ours outside the except blocks: a vendor exception holds the request and
with it the key, so it must not become the context. The client never retries: retries belong to its
caller. Section numbers below refer to the fact sheet of StepFun's API.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any
from urllib.parse import quote

import httpcore2
import httpx2
import openai

from clients.provider.allowances import allowances
from clients.provider.body import InlineBody, UploadForm, json_bytes, utf8
from clients.provider.errors import (
    CHAT,
    ErrorResponse,
    error_of,
    limits_in,
    read_envelope,
    read_error,
    retry_after_of,
    status_in,
)
from clients.provider.meanings import Meaning, meaning_of, seems_lasting
from clients.provider.replies import (
    REFUSAL,
    RemoteFile,
    error_in,
    json_or_none,
    list_entries,
    read_reply,
    remote_file,
)
from clients.provider.transport import (
    NEVER_SENT,
    TRANSPORT_FAILURES,
    CallClock,
    http_client,
    pool_for,
)
from clients.provider.uplink import Uplink
from core.account.allowance import Allowance
from core.errors import (
    AccountPaused,
    EndpointRefused,
    FileGone,
    FormRefused,
    KeyRefused,
    OverstoryError,
    ProviderDown,
    ReplyUnusable,
    RequestRefused,
    TooMuch,
    WrongUsage,
)
from core.reply import Reply
from core.requests.request import Inline
from core.settings import Settings

QUESTION_SECONDS = 20.0  # balance, models: a person waits for the answer
SIDE_CALL_SECONDS = 120.0  # files: the whole call; our images are under 5 MB
WRITE_STALL_SECONDS = 60.0  # longest wait for the network to take a byte of the request
NO_KEY = "sandbox"  # sent when no key is configured
SECRET_MIN = 8  # characters; shorter keys such as "none" or "EMPTY" are ordinary words
_AZURE = re.compile(r"\.(?:azure\.(?:com|us|cn)|azure-api\.net)$")
TEXT_MAX = 500  # characters kept of a provider's message
MODELS_SHOWN = 8  # of those that an endpoint lists


class Provider:
    """One account at one endpoint, with one connection pool. Build it once in each process.

    Thread-safe; do not use it after a fork. Every method may raise KeyRefused, AccountPaused,
    SlowDown, ProviderDown or RequestRefused. The methods name what else they raise.
    """

    def __init__(
        self,
        settings: Settings,
        max_connections: int = 200,
        heard: Callable[[Sequence[Allowance]], None] | None = None,
        uplink: Uplink | None = None,
    ) -> None:
        """``max_connections``: at least the number of threads that call. ``heard`` is told what the
        headers of a chat reply say about the account's limits. ``uplink`` measures requests with
        images inside. Raises WrongUsage for an invalid base URL and KeyRefused for a key that does
        not fit into an HTTP header."""
        self._settings = settings
        self._heard = heard
        self._uplink = uplink
        self._key = _header_key(settings)
        url = _endpoint(settings.base_url)
        self._url = url.copy_with(query=None, fragment=None)
        self._query = url.query  # of every request: ?api-version=... of Azure
        self._call = CallClock()
        self._http = http_client(settings, self._url, max_connections, self._call)
        self._pool = pool_for(self._http, self._url)
        self._file_headers = (
            (b"Host", self._url.netloc),
            *((name.encode(), value.encode()) for name, value in self._key_headers()),
            (b"Accept", b"application/json"),
            (b"User-Agent", self._http.headers["User-Agent"].encode()),
        )
        self._api = openai.OpenAI(
            api_key=self._key,
            base_url=self._url,
            max_retries=0,
            http_client=self._http,
            default_headers=_own_headers(),
            default_query=dict(url.params.multi_items()),
        )

    def __repr__(self) -> str:
        return f"Provider({self._url.host})"

    def _key_headers(self) -> list[tuple[str, str]]:
        """Azure takes keys in a header of its own, and tokens alone in the usual one."""
        if _AZURE.search(self._url.host):
            return [("api-key", self._key)]
        return [("Authorization", f"Bearer {self._key}")]

    def chat(
        self,
        body: dict[str, Any],
        timeout_seconds: float | None = None,
        inline: Mapping[str, Inline] | None = None,
    ) -> Reply:
        """The reply to one chat request. ``body`` is sent unchanged as UTF-8 JSON, except that the
        images in ``inline`` replace their URLs.

        ``timeout_seconds`` limits the whole call, even if the reply arrives slowly; default: the
        settings' read timeout. Also raises FileGone, BytesGone and ServiceAway (for an inline
        image), and ReplyUnusable or RequestRefused, with ``.reply`` set if an unusable reply was
        paid for.
        """
        seconds = timeout_seconds or self._settings.read_timeout_seconds
        content = InlineBody(body, inline, self._uplink) if inline else json_bytes(body)
        response = self._send("POST", CHAT, seconds, content=content)
        reply = self._reply(self._object(response), response.headers.get("x-trace-id"))
        reply = replace(reply, limits=self._safe(limits_in(response)))
        if reply.finish_reason in ("content_filter", REFUSAL):
            message = (
                self._safe(reply.instead) or "the answer did not pass the provider's moderation"
            )
            raise RequestRefused(200, reply.finish_reason, message, True, reply)
        return reply

    def upload(self, name: str, data: bytes, mime: str) -> str:
        """Store ``data`` for use as ``stepfile://<id>``, and return the id.

        Also raises FileStoreFull, and ReplyUnusable if the reply has no id.
        """
        form = UploadForm.of(utf8(name).decode() or "image", data, mime)
        response = self._send("POST", "/files", SIDE_CALL_SECONDS, form=form)
        identifier = self._object(response).get("id")
        if not isinstance(identifier, str) or not identifier:
            raise ReplyUnusable("no_file_id", "the provider stored a file but sent no id")
        return identifier

    def delete_file(self, file_id: str) -> bool:
        """Delete a stored file. False if the provider does not know it."""
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
        """All files that the account stores. StepFun documents no paging (4: Files API)."""
        response = self._send("GET", "/files", SIDE_CALL_SECONDS)
        return [remote_file(entry) for entry in list_entries(self._object(response))]

    def balance(self) -> float | None:
        """The account's balance in its own currency; None if the provider does not report it."""
        try:
            response = self._send("GET", "/accounts", QUESTION_SECONDS)
        except RequestRefused:
            return None
        balance = self._object(response).get("balance")
        return float(balance) if isinstance(balance, int | float) else None

    def models(self, seconds: float = QUESTION_SECONDS) -> list[str]:
        """Ids of the models that the key may use. ``seconds``: for the whole call."""
        response = self._send("GET", "/models", seconds)
        return [str(entry.get("id", "")) for entry in list_entries(self._object(response))]

    def close(self) -> None:
        """Close the connections. The object cannot be used afterwards."""
        self._api.close()

    def _send(
        self,
        method: str,
        path: str,
        seconds: float,
        content: bytes | InlineBody | None = None,
        form: UploadForm | None = None,
    ) -> httpx2.Response:
        """Send one request and read its whole response. Raises one of our errors."""
        error: OverstoryError
        self._call.start(seconds)
        try:
            response = self._request(method, path, self._timeout(seconds), content, form)
        except openai.APIStatusError as refusal:
            self._hear(path, refusal.response)
            error = self._refusal(method, path, refusal.response)
        except (openai.OpenAIError, httpx2.HTTPError, OSError, *TRANSPORT_FAILURES) as failure:
            cause = failure.__cause__  # may be ours: reading an inline image failed while sending
            error = cause if isinstance(cause, OverstoryError) else self._outage(failure)
        else:
            self._hear(path, response)
            if response.is_success:
                return response
            error = self._refusal(method, path, response)
        raise error

    def _hear(self, path: str, response: httpx2.Response) -> None:
        if self._heard and path == CHAT and (found := allowances(response.headers)):
            self._heard(found)

    def _request(
        self,
        method: str,
        path: str,
        timeout: httpx2.Timeout,
        content: bytes | InlineBody | None,
        form: UploadForm | None,
    ) -> httpx2.Response:
        """Uses the SDK's generic get and post.

        For a call with 60 file ids they take 0.6 ms of CPU; ``chat.completions.create`` takes 0.7
        ms with ``messages=[], extra_body=body``, and 11 ms with typed messages.
        """
        headers: dict[str, Any] = dict(self._key_headers())
        if "Authorization" not in headers:
            headers["Authorization"] = openai.Omit()
        if method == "GET":
            options: Any = {"timeout": timeout, "headers": headers}
            return self._api.get(path, cast_to=httpx2.Response, options=options)
        if content is not None:
            size = content.size if isinstance(content, InlineBody) else len(content)
            return self._api.post(
                path,
                cast_to=httpx2.Response,
                content=content,
                options={"timeout": timeout, "headers": {**headers, "Content-Length": str(size)}},
            )
        return self._file_request(method, path, timeout, form)

    def _file_request(
        self, method: str, path: str, timeout: httpx2.Timeout, form: UploadForm | None
    ) -> httpx2.Response:
        """Uses the connection pool of the SDK's HTTP client directly, because there are one or two
        such requests an image: 0.4 ms of CPU, instead of 0.9 by ``files.create`` or 0.6 by the HTTP
        client's ``request``."""
        headers = [*self._file_headers]
        if form is not None:
            headers.append((b"Content-Type", form.content_type.encode()))
            headers.append((b"Content-Length", str(len(form.content)).encode()))
        url = httpcore2.URL(
            scheme=self._url.raw_scheme,
            host=self._url.raw_host,
            port=self._url.port,
            target=f"{self._url.raw_path.decode().rstrip('/')}{path}".encode() + self._asked(),
        )
        request = httpcore2.Request(
            method,
            url,
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

    def _asked(self) -> bytes:
        return b"?" + self._query if self._query else b""

    def _timeout(self, seconds: float) -> httpx2.Timeout:
        """Timeouts of the waits inside a call; ``CallClock`` cuts each to the call's deadline."""
        connect = min(seconds, self._settings.connect_timeout_seconds)
        write = min(seconds, WRITE_STALL_SECONDS)
        return httpx2.Timeout(connect=connect, read=seconds, write=write, pool=connect)

    def _object(self, response: httpx2.Response) -> Mapping[str, Any]:
        """The JSON object of a 200. Raises ReplyUnusable (its cost is unknown then)."""
        body = json_or_none(response.content)
        if isinstance(body, list) and body and isinstance(body[0], dict):
            body = body[0]  # Gemini's OpenAI endpoint has its errors in a list
        if isinstance(body, dict):
            return body
        start = self._safe(" ".join(response.text.split()))[:80]
        kind = response.headers.get("content-type", "")
        if "text/event-stream" in kind or start.startswith("data:"):
            message = (
                "the endpoint answers with an event stream, although none was asked for: turn"
                f" streaming off at the server or proxy ({start!r})"
            )
            raise ReplyUnusable("event_stream", message, lasting=True)
        if start.startswith("<"):
            title = self._safe(read_envelope(response)[1])[:120]
            message = (
                f"a web page answers, and no API: {title!r}; check OVERSTORY_BASE_URL, and whether"
                " a proxy or a login page is in between"
            )
            raise ReplyUnusable("web_page", message, lasting=True)
        message = f"the provider's reply is not a JSON object: {start!r}"
        raise ReplyUnusable("invalid_json", message)

    def _reply(self, answer: Mapping[str, Any], trace: str | None) -> Reply:
        try:
            return read_reply(answer, trace)
        except ReplyUnusable as unusable:
            error = self._error_in_reply(answer, unusable, trace)
        raise error

    def _error_in_reply(
        self, body: Mapping[str, Any], unusable: ReplyUnusable, trace: str | None
    ) -> OverstoryError:
        """What an error inside a 200 means. One that was paid for stays an unusable reply, so that
        its cost is recorded, unless the endpoint would refuse each request."""
        error = error_in(body) or (body if "choices" not in body else None)
        kind, message, structured = read_error(error, "200")
        if error is None or not structured:
            return unusable
        refusal = ErrorResponse(
            method="POST",
            path=CHAT,
            status=status_in(error) or 200,
            kind=self._safe(kind),
            message=self._safe(message),
            structured=True,
            retry_after=None,
        )
        meant = self._with_models(error_of(refusal, self._where(trace), self._settings.model))
        usage = unusable.reply.usage if unusable.reply else None
        is_paid = usage is not None and (usage.prompt_tokens or usage.completion_tokens)
        is_known = refusal.status != 200 or not isinstance(meant, RequestRefused)
        ends = isinstance(meant, EndpointRefused | KeyRefused | AccountPaused)
        if ends or (is_known and not is_paid) or isinstance(meant, TooMuch | FormRefused):
            return meant
        lasting = seems_lasting(message)
        text = f"200 with an error: {self._safe(message)}"
        return ReplyUnusable(unusable.reason, text, unusable.reply, lasting)

    def _refusal(self, method: str, path: str, response: httpx2.Response) -> OverstoryError:
        kind, message, structured = read_envelope(response)
        trace = response.headers.get("x-trace-id")
        refusal = ErrorResponse(
            method=method,
            path=path,
            status=response.status_code,
            kind=self._safe(kind),
            message=self._safe(message),
            structured=structured,
            retry_after=retry_after_of(response),
        )
        return self._with_models(error_of(refusal, self._where(trace), self._settings.model))

    def _with_models(self, error: OverstoryError) -> OverstoryError:
        """``error``, with the models that the endpoint lists if it does not know ours."""
        is_unknown = isinstance(error, EndpointRefused) and (
            meaning_of(error.kind, error.message) is Meaning.NO_SUCH_MODEL
        )
        if not is_unknown or not isinstance(error, EndpointRefused):
            return error
        try:
            listed = [name for name in self.models() if name]
        except OverstoryError:
            return error
        model = self._settings.model
        near = get_close_matches(model, listed, n=MODELS_SHOWN, cutoff=0.5) or sorted(listed)
        if not near:
            return error
        some = ", ".join(near[:MODELS_SHOWN])
        message = f"{error.message}; it lists {len(listed)}: {self._safe(some)}"
        return EndpointRefused(error.status, error.kind, message)

    def _where(self, trace: str | None) -> str:
        return f" [{self._url.host}, trace {self._safe(trace)}]" if trace else ""

    def _outage(self, failure: Exception) -> ProviderDown:
        """No response: the connection failed, broke or took too long, possibly while sending."""
        cause = failure.__cause__ or failure
        sent = self._call.wrote and not isinstance(cause, NEVER_SENT)
        reason = self._safe(f"{type(cause).__name__}: {cause}".rstrip(": "))
        return ProviderDown(f"no answer from {self._url.host}: {reason}", sent)

    def _safe(self, text: str) -> str:
        """``text`` without the key, in case an endpoint echoes it, and cut to ``TEXT_MAX``."""
        secret = len(self._key) >= SECRET_MIN
        return (text.replace(self._key, "[key]") if secret else text)[:TEXT_MAX]


def _header_key(settings: Settings) -> str:
    key = settings.api_key.get_secret_value().strip() if settings.api_key else ""
    if any(not "!" <= character <= "~" for character in key):
        raise KeyRefused(
            "OVERSTORY_API_KEY has spaces, line breaks or other invalid characters; paste it again"
        )
    return key or NO_KEY


def _own_headers() -> dict[str, Any]:
    """Explicit, so that OPENAI_ORG_ID, _PROJECT_ID and _CUSTOM_HEADERS in the environment, which
    belong to another vendor's account, are not sent."""
    omitted = ("Authorization", "OpenAI-Organization", "OpenAI-Project")
    return dict.fromkeys(omitted, openai.Omit())


def _endpoint(base_url: str) -> httpx2.URL:
    try:
        url = httpx2.URL(base_url.strip())
    except httpx2.InvalidURL:
        url = httpx2.URL("")
    if url.scheme not in ("http", "https") or not url.host:
        raise WrongUsage("OVERSTORY_BASE_URL must be like https://api.stepfun.ai/v1")
    return url
