"""The vision API: the one module that imports openai.

No vendor type leaves this package: replies become ``core.reply.Reply``, failures one of
``core.errors``. Ours are raised outside the except blocks, so that no vendor exception (it holds
the request, and with it the key) becomes their context. Nothing is retried here: retries have one
owner, and it is not the client. Facts: StepFun's API fact sheet; its sections are named below.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpcore2
import httpx2
import openai

from clients.provider.body import InlineBody, UploadForm, json_bytes, utf8
from clients.provider.errors import (
    CHAT,
    ErrorResponse,
    error_of,
    read_envelope,
    retry_after_of,
)
from clients.provider.replies import RemoteFile, json_or_none, list_entries, read_reply, remote_file
from clients.provider.transport import (
    NEVER_SENT,
    TRANSPORT_FAILURES,
    CallClock,
    http_client,
    pool_for,
)
from core.errors import (
    FileGone,
    KeyRefused,
    OverstoryError,
    ProviderDown,
    ReplyUnusable,
    RequestRefused,
    WrongUsage,
)
from core.reply import Reply
from core.requests.request import Inline
from core.settings import Settings

QUESTION_SECONDS = 20.0  # balance, models: somebody waits for the answer
SIDE_CALL_SECONDS = 120.0  # files, balance, models: whole call; an image of ours is under 5 MB
WRITE_STALL_SECONDS = 60.0  # without one byte of the request being taken
NO_KEY = "sandbox"  # sent in the place of a key when there is none
SECRET_MIN = 8  # characters; "none", "EMPTY" and our own "sandbox" are no secrets, but are words
TEXT_MAX = 500  # characters of a provider's message that are kept


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
        self._call = CallClock()
        self._http = http_client(settings, self._url, max_connections, self._call)
        self._pool = pool_for(self._http, self._url)
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
        form = UploadForm.of(utf8(name).decode() or "image", data, mime)
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
        return [remote_file(entry) for entry in list_entries(self._object(response))]

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
        return [str(entry.get("id", "")) for entry in list_entries(self._object(response))]

    def close(self) -> None:
        """Closes the connections; the provider cannot be used after it."""
        self._api.close()

    def _send(
        self,
        method: str,
        path: str,
        seconds: float,
        content: bytes | InlineBody | None = None,
        form: UploadForm | None = None,
    ) -> httpx2.Response:
        """One request and its whole response, or one of our errors."""
        error: OverstoryError
        self._call.start(seconds)
        try:
            response = self._request(method, path, self._timeout(seconds), content, form)
        except openai.APIStatusError as refusal:
            error = self._refusal(method, path, refusal.response)
        except (openai.OpenAIError, httpx2.HTTPError, OSError, *TRANSPORT_FAILURES) as failure:
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
        form: UploadForm | None,
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
        self, method: str, path: str, timeout: httpx2.Timeout, form: UploadForm | None
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
        body = json_or_none(response.content)
        if isinstance(body, dict) and body.get("error") and not body.get("choices"):
            return {**body, "error": self._safe(read_envelope(response)[1])}
        if isinstance(body, dict):
            return body
        start = self._safe(response.text)[:80]
        raise ReplyUnusable("invalid_json", f"the provider's reply is no JSON object: {start!r}")

    def _refusal(self, method: str, path: str, response: httpx2.Response) -> OverstoryError:
        kind, message, structured = read_envelope(response)
        trace = response.headers.get("x-trace-id")
        said = ErrorResponse(
            method=method,
            path=path,
            status=response.status_code,
            kind=self._safe(kind),
            message=self._safe(message),
            structured=structured,
            retry_after=retry_after_of(response),
        )
        return error_of(said, self._where(trace), self._settings.model)

    def _where(self, trace: str | None) -> str:
        return f" [{self._url.host}, trace {self._safe(trace)}]" if trace else ""

    def _outage(self, failure: Exception) -> ProviderDown:
        """No response: a connection that failed, broke or took too long (also the request's)."""
        cause = failure.__cause__ or failure
        sent = self._call.wrote and not isinstance(cause, NEVER_SENT)
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


# --- what comes back ---------------------------------------------------------------------------


# --- errors (6: Errors) ------------------------------------------------------------------------
