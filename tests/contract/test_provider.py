"""The vision API client over real sockets: requests, replies and failures."""

from __future__ import annotations

import gc
import io
import json
import logging
import pickle
import socket
import time
import traceback
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from PIL import Image

from clients.provider.client import Provider
from clients.provider.replies import RemoteFile
from clients.proxies import proxy_for
from core.account.allowance import Allowance
from core.errors import (
    AccountPaused,
    BytesGone,
    FileGone,
    FileStoreFull,
    FormRefused,
    KeyRefused,
    LimitKind,
    OverstoryError,
    ProviderDown,
    ReplyUnusable,
    RequestRefused,
    ServiceAway,
    SlowDown,
    TooMuch,
    WrongUsage,
)
from core.reply import Usage
from core.requests.request import Inline
from core.settings import load
from overstory.sandbox.process import SandboxProcess
from tests.support.fake_endpoint import Answer, FakeEndpoint
from tests.support.socks import socks_proxy
from tests.support.waiting import eventually

KEY = "sk-SECRET-7c1f9e"
REPLY = {
    "id": "aa11.bb22",
    "object": "chat.completion",
    "model": "step-3.7-flash",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "two"}}
    ],
    "usage": {"prompt_tokens": 10, "completion_tokens": 5, "cached_tokens": 4},
}
BODY: dict[str, Any] = {
    "model": "step-3.7-flash",
    "messages": [
        {"role": "system", "content": "Décris précisément. 说明。 \U0001f9fe"},
        {
            "role": "user",
            "content": [
                {
                    "type": "image_url",
                    "image_url": {"url": "stepfile://file-C0DDg04QPg", "detail": "low"},
                },
                {"type": "text", "text": "Wie viele?"},
            ],
        },
    ],
    "max_tokens": 4000,
    "temperature": 0.0,
    "reasoning_effort": "low",
    "response_format": {"type": "json_object"},
    "some_field_openai_does_not_know": [1, None, {"a": True}],
}


@contextmanager
def provider_at(url: str, **settings: Any) -> Iterator[Provider]:
    provider = Provider(load(**({"api_key": KEY, "base_url": url} | settings)), max_connections=64)
    try:
        yield provider
    finally:
        provider.close()


@contextmanager
def scripted(*answers: Answer, **settings: Any) -> Iterator[tuple[FakeEndpoint, Provider]]:
    with FakeEndpoint(*answers) as endpoint, provider_at(endpoint.url, **settings) as provider:
        yield endpoint, provider


def failure(answer: Answer, act: Callable[[Provider], object]) -> OverstoryError:
    with scripted(answer) as (_, provider), pytest.raises(OverstoryError) as caught:
        act(provider)
    return caught.value


def chat(provider: Provider) -> object:
    return provider.chat(BODY)


def envelope(message: str, kind: str | None = None, **more: Any) -> dict[str, Any]:
    error = {"message": message} | ({"type": kind} if kind else {}) | more
    return {"error": error}


# --- requests ----------------------------------------------------------------------------------


def test_the_body_on_the_wire_equals_the_body_given() -> None:
    with scripted(Answer(body=REPLY)) as (endpoint, provider):
        provider.chat(BODY)
    request = endpoint.received[0]
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert json.loads(request.body) == BODY
    assert list(json.loads(request.body)) == list(BODY)
    assert request.headers["content-type"] == "application/json"


def test_accents_and_other_scripts_travel_as_utf8() -> None:
    with scripted(Answer(body=REPLY)) as (endpoint, provider):
        provider.chat(BODY)
    assert "Décris précisément. 说明。 \U0001f9fe".encode() in endpoint.received[0].body
    assert b"\\u" not in endpoint.received[0].body


def test_a_name_that_is_not_utf8_is_sent_with_question_marks() -> None:
    broken = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    with scripted(Answer(body={**REPLY, "id": "file-1"})) as (endpoint, provider):
        provider.chat({**BODY, "user": broken})
        provider.upload(broken, b"x", "image/png")
    assert json.loads(endpoint.received[0].body)["user"] == "caf?.png"
    assert b'filename="caf?.png"' in endpoint.received[1].body


IMAGE = bytes(range(256)) * 1000
QUOTED = 'say "url":"inline:a" and \\"url\\":\\"inline:a\\"'


def showing(*urls: str) -> dict[str, Any]:
    parts = [{"type": "image_url", "image_url": {"url": url, "detail": "low"}} for url in urls]
    content = [*parts, {"type": "text", "text": QUOTED}]
    return {**BODY, "messages": [{"role": "user", "content": content}]}


def test_inline_images_replace_their_urls_and_are_read_while_sending() -> None:
    sizes: list[int] = []

    def read() -> bytes:
        sizes.append(len(IMAGE))
        return IMAGE

    inline = {"inline:a": Inline("image/jpeg", len(IMAGE), read)}
    with scripted(Answer(body=REPLY)) as (endpoint, provider):
        reply = provider.chat(showing("inline:a", "stepfile://f", "inline:a"), inline=inline)
    request = endpoint.received[0]
    data = f"data:image/jpeg;base64,{b64encode(IMAGE).decode()}"
    assert json.loads(request.body) == showing(data, "stepfile://f", data)
    assert request.headers["content-length"] == str(len(request.body))
    assert "transfer-encoding" not in request.headers
    assert (reply.text, len(sizes)) == ("two", 2)


@pytest.mark.parametrize(
    ("fails", "kind"),
    [(BytesGone("vanished"), BytesGone), (ServiceAway("no disk"), ServiceAway), (b"x", BytesGone)],
)
def test_an_unreadable_image_ends_its_request_and_the_client_still_works(
    fails: Exception | bytes, kind: type[OverstoryError]
) -> None:
    def read() -> bytes:
        if isinstance(fails, Exception):
            raise fails
        return fails

    inline = {
        "inline:a": Inline("image/jpeg", len(IMAGE), lambda: IMAGE),
        "inline:b": Inline("image/jpeg", 9, read),
    }
    with scripted(Answer(body=REPLY)) as (endpoint, provider):
        with pytest.raises(kind):
            provider.chat(showing("inline:a", "inline:b"), inline=inline)
        assert endpoint.received == []
        provider.chat(BODY)


def test_only_our_key_is_sent_whatever_the_environment_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY"):
        monkeypatch.setenv(name, "other-vendor")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: Bearer other-vendor")
    with scripted(Answer(body=REPLY)) as (endpoint, provider):
        provider.chat(BODY)
    headers = endpoint.received[0].headers
    assert headers["authorization"] == f"Bearer {KEY}"
    assert "other-vendor" not in json.dumps(headers)


def test_without_a_key_the_sandbox_gets_a_placeholder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("OVERSTORY_API_KEY", "STEPFUN_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with scripted(Answer(body=REPLY), api_key=None) as (endpoint, provider):
        provider.chat(BODY)
    assert endpoint.received[0].headers["authorization"] == "Bearer sandbox"


def test_a_proxy_in_the_environment_is_not_used_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with scripted(Answer(body=REPLY)) as (_, provider):
        assert provider.chat(BODY).text == "two"


@pytest.mark.parametrize("path", ["", "/"])
def test_the_query_of_the_base_url_is_the_query_of_every_request(path: str) -> None:
    answers = Answer(body=REPLY), Answer(body={"id": "file-1"}), Answer(body={"data": []})
    with FakeEndpoint(*answers) as endpoint:
        url = f"{endpoint.url}{path}?api-version=2025-04-01&x=a%20b"
        with provider_at(url) as provider:
            provider.chat(BODY)
            provider.upload("a.png", b"x", "image/png")
            provider.files()
            provider.models()
    paths, queries = zip(*(r.path.split("?") for r in endpoint.received), strict=True)
    assert paths == ("/v1/chat/completions", "/v1/files", "/v1/files", "/v1/models")
    assert [parse_qs(query) for query in queries] == [
        {"api-version": ["2025-04-01"], "x": ["a b"]}
    ] * 4


def test_azure_gets_the_key_in_its_own_header(proxy: FakeEndpoint) -> None:
    with provider_at("http://me.openai.azure.com/openai/v1?api-version=preview") as provider:
        provider.chat(BODY)
    [request] = proxy.received
    assert request.headers["api-key"] == KEY
    assert "authorization" not in request.headers
    assert request.path.endswith("/openai/v1/chat/completions?api-version=preview")


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{scheme}_proxy", raising=False)
        monkeypatch.delenv(f"{scheme.upper()}_PROXY", raising=False)


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEndpoint]:
    """A proxy in the environment that answers requests itself."""
    with FakeEndpoint(Answer(body=REPLY), Answer(body=b"x" * 10_000, drip=True)) as endpoint:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, endpoint.url)
        for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield endpoint


def test_a_proxy_in_the_environment_is_used_within_the_deadline(proxy: FakeEndpoint) -> None:
    with provider_at("http://api.example.invalid/v1") as provider:
        assert provider.chat(BODY).text == "two"
        with pytest.raises(ProviderDown, match="time"):
            provider.chat(BODY, timeout_seconds=0.2)
    assert proxy.received[0].path == "http://api.example.invalid/v1/chat/completions"


def test_a_proxy_that_opens_no_tunnel_means_that_nothing_was_sent(proxy: FakeEndpoint) -> None:
    with (
        provider_at("https://api.example.invalid/v1") as provider,
        pytest.raises(ProviderDown) as caught,
    ):
        provider.chat(BODY)
    assert caught.value.sent is False
    assert proxy.received == []


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
@pytest.mark.parametrize("variable", ["ALL_PROXY", "HTTP_PROXY", "all_proxy"])
def test_a_socks_proxy_is_used(
    variable: str, scheme: str, monkeypatch: pytest.MonkeyPatch, no_proxy: None
) -> None:
    with (
        FakeEndpoint(Answer(body=REPLY)) as endpoint,
        socks_proxy(urlsplit(endpoint.url).port or 0) as proxy,
    ):
        monkeypatch.setenv(variable, f"{scheme}://127.0.0.1:{proxy.port}")
        with provider_at("http://api.example.invalid/v1") as provider:
            assert provider.chat(BODY).text == "two"
    assert proxy.asked == ["api.example.invalid"]


def test_a_silent_socks_proxy_keeps_to_the_deadline(
    monkeypatch: pytest.MonkeyPatch, no_proxy: None
) -> None:
    with socks_proxy(silent=True) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"socks5://127.0.0.1:{proxy.port}")
        with (
            provider_at("http://api.example.invalid/v1") as provider,
            pytest.raises(ProviderDown) as caught,
        ):
            provider.models(0.3)
    assert caught.value.sent is False


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("socks4://127.0.0.1:1080", "kind socks4"),
        ("ftp://proxy:21", "kind ftp"),
        ("http://", "not the URL of a proxy"),
        ("socks5://[::1", "not the URL of a proxy"),
        ("socks5://user:secret@host:port", "not the URL of a proxy"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named(
    value: str, problem: str, monkeypatch: pytest.MonkeyPatch, no_proxy: None
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    with pytest.raises(WrongUsage, match=problem) as caught:
        provider_at("http://api.example.invalid/v1").__enter__()
    assert "HTTPS_PROXY" in str(caught.value)
    assert "socks5://host:port" in str(caught.value)
    assert "secret" not in str(caught.value)
    with provider_at("http://127.0.0.1:9/v1"):
        pass  # no proxy is used for this machine


@pytest.mark.parametrize(
    ("url", "exceptions", "used"),
    [
        ("https://api.example.com/v1", "", "ALL_PROXY"),
        ("http://api.example.com/v1", "", "http_proxy"),
        ("https://api.example.com/v1", "example.com", None),
        ("https://api.example.com/v1", ".example.com", None),
        ("https://api.example.com/v1", "*.example.com, other", None),
        ("https://example.com/v1", ".example.com", "ALL_PROXY"),
        ("https://myexample.com/v1", "example.com", "ALL_PROXY"),
        ("https://api.example.com/v1", "*", None),
        ("http://127.0.0.1:8000/v1", "", None),
        ("http://localhost:8000/v1", "", None),
    ],
)
def test_which_proxy_is_used_is_known_beforehand(
    url: str, exceptions: str, used: str | None, monkeypatch: pytest.MonkeyPatch, no_proxy: None
) -> None:
    """As the SDK's HTTP client chooses it."""
    monkeypatch.setenv("ALL_PROXY", "socks5://me:secret@127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", exceptions)
    found = proxy_for(url)
    assert (found.variable if found else None) == used
    assert found is None or (found.host, found.port) == ("127.0.0.1", 9)
    assert "secret" not in str(found)
    with provider_at(url) as provider:
        assert hasattr(provider._pool, "_proxy_url") == (used is not None)


def test_nothing_is_retried() -> None:
    for status in (408, 409, 429, 500, 503):
        with scripted(Answer(status)) as (endpoint, provider):
            with pytest.raises(OverstoryError):
                provider.chat(BODY)
            assert len(endpoint.received) == 1


def test_connections_are_kept_and_shared_by_threads() -> None:
    with scripted(Answer(body=REPLY)) as (endpoint, provider), ThreadPoolExecutor(32) as threads:
        texts = list(threads.map(lambda _: provider.chat(BODY).text, range(320)))
        assert texts == ["two"] * 320
        assert endpoint.connections <= 32


# --- replies -----------------------------------------------------------------------------------


def test_a_reply_carries_text_usage_and_trace() -> None:
    with scripted(Answer(body=REPLY, headers={"X-Trace-Id": "t-9"}), Answer(body=REPLY)) as (
        _,
        provider,
    ):
        reply = provider.chat(BODY)
        assert (reply.text, reply.usage, reply.trace) == ("two", Usage(10, 4, 5), "t-9")
        assert provider.chat(BODY).trace == "aa11"


def test_a_reply_carries_the_headers_that_tell_limits() -> None:
    told = {"X-RateLimit-Limit-Requests": "500", "Anthropic-RateLimit-Tokens-Reset": "3s"}
    others = {"X-Request-Id": "r-1", "Retry-After": "7"}
    answers = (Answer(body=REPLY, headers=told | others), Answer(body=REPLY))
    with scripted(*answers) as (_, provider):
        assert provider.chat(BODY).limits.splitlines() == [
            "anthropic-ratelimit-tokens-reset: 3s",
            "retry-after: 7",
            "x-ratelimit-limit-requests: 500",
        ]
        assert provider.chat(BODY).limits == ""


def test_characters_no_database_can_store_are_replaced_in_replies_and_refusals() -> None:
    raw = json.dumps(REPLY).replace('"two"', r'"a\u0000b \ud83d \ud83d\ude00"').encode()
    refusal = json.dumps(envelope("no", "bad")).replace('"no"', r'"n\u0000o"').encode()
    with scripted(Answer(body=raw), Answer(status=400, body=refusal)) as (_, provider):
        assert provider.chat(BODY).text == "a\ufffdb \ufffd \U0001f600"
        with pytest.raises(RequestRefused, match="n\ufffdo"):
            provider.chat(BODY)


def test_a_reply_without_json_content_type_is_still_read() -> None:
    with scripted(Answer(body=REPLY, headers={"Content-Type": "text/plain"})) as (_, provider):
        assert provider.chat(BODY).text == "two"


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>hello</html>", b'{"choices": [', b"[]", b"null", b"\xff\xfe", b"[" * 9**5],
)
def test_a_200_that_is_not_a_json_object_is_unusable(content: bytes) -> None:
    error = failure(Answer(body=content), chat)
    assert isinstance(error, ReplyUnusable)
    reason = "web_page" if content.startswith(b"<") else "invalid_json"
    assert (error.reason, error.reply, error.lasting) == (reason, None, reason == "web_page")


def test_a_200_without_choices_is_unusable_and_its_usage_is_known() -> None:
    error = failure(Answer(body={**REPLY, "choices": []}), chat)
    assert isinstance(error, ReplyUnusable)
    assert error.reply is not None
    assert error.reply.usage == Usage(10, 4, 5)


def test_an_answer_that_failed_moderation_is_refused_and_its_usage_is_known() -> None:
    filtered = {"finish_reason": "content_filter", "message": {"content": ""}}
    error = failure(Answer(body={**REPLY, "choices": [filtered]}), chat)
    assert isinstance(error, RequestRefused)
    assert (error.status, error.kind, error.moderation) == (200, "content_filter", True)
    assert error.reply is not None
    assert error.reply.usage == Usage(10, 4, 5)


# --- errors ------------------------------------------------------------------------------------

CHAT_ERRORS: list[tuple[int, Any, type[OverstoryError], dict[str, Any]]] = [
    (
        429,
        envelope("concurrency reached, current: 6, limit: 5", "rate_limited"),
        SlowDown,
        {"kind": LimitKind.CONCURRENCY, "limit": 5, "retry_after": None},
    ),
    (
        429,
        envelope("request limited RPM reached, current: 11, limit: 10", "rate_limited"),
        SlowDown,
        {"kind": LimitKind.RPM, "limit": 10},
    ),
    (
        429,
        envelope("request limited TPM reached, current: 559755, limit: 500000"),
        SlowDown,
        {"kind": LimitKind.TPM, "limit": 500000},
    ),
    (429, b"slow down please", SlowDown, {"kind": LimitKind.UNKNOWN, "limit": None}),
    (429, b"", SlowDown, {"kind": LimitKind.UNKNOWN, "limit": None}),
    (402, envelope("You exceeded your current quota", "quota_exceeded"), AccountPaused, {}),
    (402, b"", AccountPaused, {}),
    (
        429,
        envelope(
            "You exceeded your current quota", "insufficient_quota", code="insufficient_quota"
        ),
        AccountPaused,
        {},
    ),
    (401, envelope("Incorrect API key provided", "invalid_api_key"), KeyRefused, {}),
    (403, envelope("no access"), KeyRefused, {}),
    (400, envelope("bad key", "invalid_request_error", code="invalid_api_key"), KeyRefused, {}),
    (
        451,
        envelope("The content you provided or machine outputted is blocked.", "censorship_blocked"),
        RequestRefused,
        {"status": 451, "kind": "censorship_blocked", "moderation": True, "reply": None},
    ),
    (451, b"", RequestRefused, {"status": 451, "kind": "http_451", "moderation": True}),
    (400, envelope("blocked", "censorship_block"), RequestRefused, {"moderation": True}),
    (500, envelope("blocked", "censorship_block"), RequestRefused, {"moderation": True}),
    (
        400,
        envelope(
            "The amount of images you provided exceeds the model's limitation", "images_too_may"
        ),
        TooMuch,
        {
            "part": "images",
            "most": None,
            "status": 400,
            "kind": "images_too_may",
            "moderation": False,
        },
    ),
    (
        400,
        envelope("Request param: size is invalid", "input_invalid"),
        RequestRefused,
        {"kind": "input_invalid"},
    ),
    (
        400,
        envelope("too long", "invalid_request_error", code="context_length_exceeded", param=None),
        TooMuch,
        {"part": "tokens", "kind": "context_length_exceeded"},
    ),
    (
        400,
        {"object": "error", "message": "bad", "type": "BadRequestError", "code": 400},
        RequestRefused,
        {"kind": "BadRequestError", "message": "bad"},
    ),
    (400, {"error": "words"}, RequestRefused, {"kind": "http_400", "message": "words"}),
    (413, b"<html><body>Too large</body></html>", TooMuch, {"part": "bytes", "most": None}),
    (422, {"detail": [{"loc": ["model"]}]}, RequestRefused, {"status": 422, "kind": "http_422"}),
    (408, b"", ProviderDown, {"status": 408, "sent": True}),
    (409, b"", ProviderDown, {"status": 409, "sent": True}),
    (425, b"", ProviderDown, {"status": 425, "sent": True}),
    (500, envelope("oops"), ProviderDown, {"status": 500, "sent": True}),
    (502, b"<html>Bad gateway</html>", ProviderDown, {"status": 502, "sent": True}),
    (503, b"", ProviderDown, {"status": 503, "sent": True}),
    (504, b"\xff\xfe", ProviderDown, {"status": 504, "sent": True}),
    (529, envelope("overloaded"), ProviderDown, {"status": 529, "sent": True}),
    # lost files: undocumented, so any wording that names a file and says that it is lost
    (
        400,
        envelope("stepfile://file-C0DDg04QPg not found", "request_params_invalid"),
        FileGone,
        {"file_id": "file-C0DDg04QPg"},
    ),
    (
        404,
        envelope("No such File object: file-C0DDg04QPg"),
        FileGone,
        {"file_id": "file-C0DDg04QPg"},
    ),
    (400, envelope("file id abc does not exist", "input_invalid"), FileGone, {"file_id": None}),
    (400, envelope("stepfile is expired"), FileGone, {"file_id": None}),
    (
        400,
        envelope("stepfile file-C0DDg04QPg not found", "request_params_invalid"),
        FileGone,
        {"file_id": "file-C0DDg04QPg"},
    ),
    (
        400,
        envelope("cannot open stepfile://file-C0DDg04QPg"),
        FileGone,
        {"file_id": "file-C0DDg04QPg"},
    ),
    (404, envelope("gone", "file_not_found"), FileGone, {}),
    (400, envelope("文件不存在"), FileGone, {}),
    # errors that name a file or a loss but mean something else
    (400, envelope("stepfile://file-C0DDg04QPg: unsupported image format"), FormRefused, {}),
    (
        400,
        envelope("stepfile file-C0DDg04QPg cannot be decoded as an image", "input_invalid"),
        RequestRefused,
        {},
    ),
    (400, envelope("the file is too large"), RequestRefused, {}),
    (404, b"<html><body>Error 404: File not found.</body></html>", RequestRefused, {"status": 404}),
    (400, envelope("please send a file", "request_params_invalid"), RequestRefused, {}),
    (400, envelope("image cannot be downloaded", "request_params_invalid"), RequestRefused, {}),
    (500, envelope("stepfile://file-C0DDg04QPg not found"), ProviderDown, {}),
]


@pytest.mark.parametrize(("status", "body", "kind", "fields"), CHAT_ERRORS)
def test_every_refusal_becomes_one_of_our_errors(
    status: int, body: Any, kind: type[OverstoryError], fields: dict[str, Any]
) -> None:
    error = failure(Answer(status, body), chat)
    assert type(error) is kind
    assert {name: getattr(error, name) for name in fields} == fields
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), vars(again), str(again)) == (kind, vars(error), str(error))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "nan"}, None),
        ({}, None),
    ],
)
def test_a_retry_after_header_is_kept(headers: dict[str, str], seconds: float | None) -> None:
    error = failure(Answer(429, envelope("wait"), headers), chat)
    assert isinstance(error, SlowDown)
    assert error.retry_after == seconds


def test_a_limit_on_calls_at_once_is_not_waited_for_by_the_clock() -> None:
    text = "Rate limit exceeded. Limit type: max_parallel_requests. Current limit: 3, Remaining: 0"
    error = failure(Answer(429, envelope(text), {"Retry-After": "60"}), chat)
    assert isinstance(error, SlowDown)
    assert (error.kind, error.limit, error.retry_after) == (LimitKind.CONCURRENCY, 3, None)


def test_a_retry_after_date_is_read_against_the_replys_own_clock() -> None:
    later = "Fri, 31 Dec 2100 00:00:00 GMT"
    error = failure(Answer(429, envelope("wait"), {"Retry-After": later}), chat)
    assert isinstance(error, SlowDown)
    assert error.retry_after is not None
    assert error.retry_after > 1e6


@pytest.mark.parametrize(
    ("status", "body"), [(429, envelope("wait")), (503, envelope("overloaded")), (200, {})]
)
def test_headers_about_the_accounts_limits_are_told_with_any_status(
    status: int, body: dict[str, Any]
) -> None:
    heard: list[Allowance] = []
    headers = {"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "0"}
    with FakeEndpoint(Answer(status, body, headers), Answer(200, {"data": []}, headers)) as server:
        provider = Provider(load(api_key=KEY, base_url=server.url), heard=heard.extend)
        with pytest.raises(OverstoryError):
            chat(provider)
        provider.models()
        provider.close()
    assert heard == [Allowance(LimitKind.RPM, 60, 0, None)]  # of the chat call alone


def test_a_404_on_the_chat_path_says_what_to_check() -> None:
    path = failure(Answer(404, b"404 page not found"), chat)
    assert "OVERSTORY_BASE_URL" in str(path)
    model = failure(Answer(404, envelope("model step-9 does not exist", "model_not_found")), chat)
    assert "OVERSTORY_MODEL (now step-3.7-flash)" in str(model)
    assert "OVERSTORY_BASE_URL" not in str(model)


def test_a_trace_id_is_in_the_errors_text() -> None:
    error = failure(Answer(500, envelope("oops"), {"X-Trace-Id": "t-42"}), chat)
    assert "t-42" in str(error)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with FakeEndpoint(Answer(body=REPLY)) as other:
        error = failure(Answer(status, b"", {"Location": other.url + "/chat/completions"}), chat)
        assert other.received == []
    assert isinstance(error, RequestRefused)
    assert "OVERSTORY_BASE_URL" in str(error)


# --- no answer ---------------------------------------------------------------------------------


def test_a_closed_port_means_that_nothing_was_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with (
        provider_at(f"http://127.0.0.1:{port}/v1") as provider,
        pytest.raises(ProviderDown, match=r"127\.0\.0\.1") as caught,
    ):
        provider.chat(BODY)
    assert (caught.value.sent, caught.value.status) == (False, None)


def test_a_tls_handshake_that_fails_means_that_nothing_was_sent() -> None:
    with FakeEndpoint() as endpoint:
        url = endpoint.url.replace("http:", "https:")
        with provider_at(url) as provider, pytest.raises(ProviderDown) as caught:
            provider.chat(BODY)
        assert caught.value.sent is False
        assert endpoint.received == []


def test_a_call_without_a_free_connection_was_not_sent() -> None:
    with (
        FakeEndpoint(Answer(body=REPLY, drip=True)) as endpoint,
        provider_at(endpoint.url, connect_timeout_seconds=0.1) as provider,
        ThreadPoolExecutor(64) as threads,
    ):
        busy = [threads.submit(provider.chat, BODY) for _ in range(64)]
        eventually(lambda: len(endpoint.received) == 64)
        with pytest.raises(ProviderDown, match="PoolTimeout") as caught:
            provider.chat(BODY)
        endpoint.stopping.set()
        assert caught.value.sent is False
        assert all(isinstance(call.exception(), ProviderDown) for call in busy)


@pytest.mark.parametrize(
    "answer",
    [Answer(hang_up=True), Answer(body=REPLY, cut=True), Answer(500, b"0123456789", cut=True)],
)
def test_an_answer_that_breaks_off_may_have_been_paid(answer: Answer) -> None:
    error = failure(answer, chat)
    assert isinstance(error, ProviderDown)
    assert error.sent is True


def test_a_slow_body_is_cut_at_the_deadline() -> None:
    begun = time.monotonic()
    with scripted(Answer(body=b"x" * 10_000, drip=True)) as (_, provider):
        with pytest.raises(ProviderDown, match="time") as caught:
            provider.chat(BODY, timeout_seconds=0.3)
        assert time.monotonic() - begun < 60  # the whole body takes 200 s
    assert caught.value.sent is True


def test_a_server_that_never_reads_is_cut_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/v1"
        with provider_at(url) as provider, pytest.raises(ProviderDown) as caught:
            provider.chat({**BODY, "user": "x" * 30_000_000}, timeout_seconds=0.3)
    assert caught.value.sent is True


def test_a_call_after_a_cut_one_has_its_own_deadline() -> None:
    slow = Answer(body=b"x" * 10_000, drip=True)
    with scripted(slow, Answer(body=REPLY)) as (_, provider):
        with pytest.raises(ProviderDown):
            provider.chat(BODY, timeout_seconds=0.1)
        assert provider.chat(BODY).text == "two"


def test_the_configured_deadline_applies_without_one_from_the_caller() -> None:
    drip = Answer(body=b"x" * 10_000, drip=True)
    with (
        scripted(drip, read_timeout_seconds=0.2) as (_, provider),
        pytest.raises(ProviderDown),
    ):
        provider.chat(BODY)


# --- files, balance, models --------------------------------------------------------------------


def test_an_upload_sends_the_bytes_as_a_storage_file() -> None:
    data = bytes(range(256)) * 10
    with scripted(Answer(body={"id": "file-1", "object": "file"})) as (endpoint, provider):
        assert provider.upload("reçu 1.jpg", data, "image/jpeg") == "file-1"
    request = endpoint.received[0]
    assert (request.method, request.path) == ("POST", "/v1/files")
    assert request.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert data in request.body
    assert b'name="purpose"\r\n\r\nstorage\r\n' in request.body
    assert 'filename="reçu 1.jpg"'.encode() in request.body
    assert b"Content-Type: image/jpeg" in request.body


@pytest.mark.parametrize("body", [{}, {"id": ""}, {"id": 7}, b"<html>"])
def test_an_upload_without_an_id_is_unusable(body: Any) -> None:
    error = failure(Answer(body=body), lambda provider: provider.upload("a", b"x", "image/png"))
    assert isinstance(error, ReplyUnusable)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, envelope("files exceed the limit of 1000"), FileStoreFull),
        (400, envelope("file quota exceeded", "quota_exceeded"), FileStoreFull),
        (403, envelope("maximum number of files reached"), FileStoreFull),
        (400, envelope("file size exceeds the limit of 128 MB"), RequestRefused),
        (413, envelope("file exceeds the limit"), RequestRefused),
        (400, envelope("unsupported file type"), RequestRefused),
        (402, envelope("You exceeded your current quota", "quota_exceeded"), AccountPaused),
        (429, envelope("request limited RPM reached, current: 11, limit: 10"), SlowDown),
        (451, envelope("blocked", "censorship_blocked"), RequestRefused),
        (500, envelope("limit"), ProviderDown),
    ],
)
def test_a_refused_upload_names_the_cause(
    status: int, body: Any, kind: type[OverstoryError]
) -> None:
    error = failure(Answer(status, body), lambda provider: provider.upload("a", b"x", "image/png"))
    assert type(error) is kind
    assert type(pickle.loads(pickle.dumps(error))) is kind


@pytest.mark.parametrize(
    ("answer", "existed"),
    [
        (Answer(body={"id": "file-1", "object": "file", "deleted": True}), True),
        (Answer(204, b""), True),
        (Answer(404, envelope("not found")), False),
        (Answer(404, envelope("No such File object: file-C0DDg04QPg")), False),
        (Answer(400, envelope("file id file-C0DDg04QPg is invalid")), False),
    ],
)
def test_deleting_reports_whether_the_file_existed(answer: Answer, existed: bool) -> None:
    with scripted(answer) as (endpoint, provider):
        assert provider.delete_file("file-1") is existed
    assert (endpoint.received[0].method, endpoint.received[0].path) == (
        "DELETE",
        "/v1/files/file-1",
    )


def test_a_deletion_that_was_refused_is_an_error() -> None:
    error = failure(Answer(400, envelope("no")), lambda provider: provider.delete_file("file-1"))
    assert isinstance(error, RequestRefused)


def test_files_are_listed_with_or_without_every_field() -> None:
    full: dict[str, Any] = {
        "id": "file-1",
        "bytes": 9,
        "created_at": 1700000000,
        "filename": "a",
        "purpose": "storage",
    }
    data = [{**full, "status": "processed"}, {"id": "file-2", "bytes": None}, "stray"]
    with scripted(Answer(body={"object": "list", "data": data})) as (_, provider):
        assert provider.files() == [RemoteFile(**full), RemoteFile("file-2", 0, 0, "", "")]


@pytest.mark.parametrize(
    ("answer", "balance"),
    [
        (Answer(body={"object": "account", "type": "prepaid", "balance": 12.5}), 12.5),
        (Answer(body={"balance": 0}), 0.0),
        (Answer(body={"balance": None}), None),
        (Answer(404, b"404 page not found"), None),
        (Answer(405, b""), None),
    ],
)
def test_the_balance_is_a_number_if_the_endpoint_reports_one(
    answer: Answer, balance: float | None
) -> None:
    with scripted(answer) as (_, provider):
        assert provider.balance() == balance


def test_models_are_listed_by_id() -> None:
    data = [{"id": "step-3.7-flash", "object": "model"}, {"id": "step-5-preview"}]
    with scripted(Answer(body={"object": "list", "data": data})) as (_, provider):
        assert provider.models() == ["step-3.7-flash", "step-5-preview"]


# --- the sandbox, which follows the provider's documentation -------------------------------------


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess(enforce_limits=False, max_files=2) as process:
        yield process


@pytest.fixture
def stepfun(sandbox: SandboxProcess) -> Iterator[Provider]:
    with provider_at(sandbox.base_url) as provider:
        yield provider
        for file in provider.files():
            provider.delete_file(file.id)
    sandbox.configure(max_files=2, script=[], no_balance=False, unknown_file_status=400)


def picture(colour: tuple[int, int, int] = (200, 30, 30)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(stream, "PNG")
    return stream.getvalue()


def question(*files: str) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [
        {"type": "image_url", "image_url": {"url": f"stepfile://{file}", "detail": "low"}}
        for file in files
    ]
    content = [*parts, {"type": "text", "text": "What is it?"}]
    return {"model": "step-3.7-flash", "messages": [{"role": "user", "content": content}]}


def test_an_uploaded_picture_can_be_used_listed_and_deleted(stepfun: Provider) -> None:
    file = stepfun.upload("é 1.png", picture(), "image/png")
    reply = stepfun.chat(question(file))
    assert reply.text
    assert (reply.finish_reason, reply.model) == ("stop", "step-3.7-flash")
    assert reply.usage.prompt_tokens > 171
    assert reply.trace
    stored = stepfun.files()
    assert [(one.id, one.filename, one.purpose) for one in stored] == [(file, "é 1.png", "storage")]
    assert stored[0].bytes == len(picture())
    assert [stepfun.delete_file(file), stepfun.delete_file(file)] == [True, False]


@pytest.mark.parametrize("status", [400, 404])
def test_a_deleted_file_raises_file_gone(
    sandbox: SandboxProcess, stepfun: Provider, status: int
) -> None:
    sandbox.configure(unknown_file_status=status)
    file = stepfun.upload("a.png", picture(), "image/png")
    stepfun.delete_file(file)
    with pytest.raises(FileGone) as caught:
        stepfun.chat(question(file))
    assert caught.value.file_id == file


def test_a_full_file_store_has_its_own_error(stepfun: Provider) -> None:
    for red in (1, 2):
        stepfun.upload("a.png", picture((red, 0, 0)), "image/png")
    with pytest.raises(FileStoreFull):
        stepfun.upload("a.png", picture((3, 0, 0)), "image/png")


def test_the_sandbox_reports_models_and_balance(stepfun: Provider) -> None:
    assert "step-3.7-flash" in stepfun.models()
    assert isinstance(stepfun.balance(), float)


def test_a_stored_file_that_is_not_a_picture_is_refused_not_lost(stepfun: Provider) -> None:
    file = stepfun.upload("a.png", b"\x89PNG\r\n\x1a\nbroken", "image/png")
    with pytest.raises(RequestRefused) as caught:
        stepfun.chat(question(file))
    assert caught.value.moderation is False


@pytest.mark.parametrize(
    ("fault", "kind", "fields"),
    [
        ("451", RequestRefused, {"moderation": True, "reply": None}),
        ("content_filter", RequestRefused, {"moderation": True, "status": 200}),
        ("invalid_json", ReplyUnusable, {"reason": "invalid_json"}),
        ("no_choices", ReplyUnusable, {"reason": "no_choices"}),
        ("500", ProviderDown, {"status": 500, "sent": True}),
        ("503", ProviderDown, {"status": 503, "sent": True}),
        ("504", ProviderDown, {"status": 504, "sent": True}),
        ("reset", ProviderDown, {"status": None, "sent": True}),
        ("cut", ProviderDown, {"status": None, "sent": True}),
        ("429", SlowDown, {}),
    ],
)
def test_every_fault_of_the_sandbox_becomes_one_of_our_errors(
    sandbox: SandboxProcess,
    stepfun: Provider,
    fault: str,
    kind: type[OverstoryError],
    fields: dict[str, Any],
) -> None:
    sandbox.configure(script=[fault])
    with pytest.raises(kind) as caught:
        stepfun.chat(question())
    assert {name: getattr(caught.value, name) for name in fields} == fields
    assert stepfun.chat(question()).text


def test_an_answer_that_reasoning_cut_off_is_a_reply_without_text(
    sandbox: SandboxProcess, stepfun: Provider
) -> None:
    sandbox.configure(script=["length"])
    reply = stepfun.chat({**question(), "max_tokens": 40})
    assert (reply.text, reply.finish_reason) == ("", "length")
    assert reply.reasoning
    assert reply.usage.completion_tokens > 0


def test_an_answer_in_the_field_of_the_reasoning_is_the_text(
    sandbox: SandboxProcess, stepfun: Provider
) -> None:
    usual = stepfun.chat(question()).text
    sandbox.configure(script=["reasoned", "tool_call", "choice_error"])
    assert stepfun.chat(question()).text == usual
    called = stepfun.chat(question())
    assert (called.text, called.instead) == ("", "a call of the tool describe_images")
    with pytest.raises(OverstoryError, match="Provider returned error"):
        stepfun.chat(question())


def test_a_refusal_beside_an_empty_text_is_moderation() -> None:
    choice = {"finish_reason": "stop", "message": {"content": None, "refusal": "I cannot help."}}
    error = failure(Answer(body={**REPLY, "choices": [choice]}), chat)
    assert isinstance(error, RequestRefused)
    assert (error.kind, error.message, error.moderation) == ("refusal", "I cannot help.", True)


# --- secrets and settings ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        Answer(401, envelope(f"Incorrect API key provided: {KEY}", "invalid_api_key")),
        Answer(400, envelope(f"{KEY}", KEY)),
        Answer(500, f"<html>Bearer {KEY}</html>".encode()),
        Answer(429, envelope(f"{KEY} slow")),
        Answer(200, f"{KEY}".encode()),
        Answer(200, {"error": {"message": KEY}}),
        Answer(hang_up=True),
    ],
)
def test_the_key_is_in_no_error(answer: Answer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    error = failure(answer, chat)
    told = "".join(traceback.format_exception(error)) + repr(error) + str(vars(error))
    assert KEY.encode() not in pickle.dumps(error)
    assert KEY not in told + caplog.text
    assert (error.__cause__, error.__context__) == (None, None)


def test_the_key_is_not_in_the_providers_repr() -> None:
    with scripted() as (_, provider):
        assert KEY not in repr(provider)


@pytest.mark.parametrize("key", ["sk-a b", "sk-a\nX: y", "sk-é", "sk-\x00"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(KeyRefused) as caught, provider_at("http://127.0.0.1:9", api_key=key):
        pass
    assert key not in str(caught.value)


@pytest.mark.parametrize("key", [" sk-a\n", "sk-a\r\n"])
def test_a_line_break_around_a_key_is_removed(key: str) -> None:
    with scripted(Answer(body=REPLY), api_key=key) as (endpoint, provider):
        provider.chat(BODY)
    assert endpoint.received[0].headers["authorization"] == "Bearer sk-a"


@pytest.mark.parametrize(
    "url", ["", "api.stepfun.ai/v1", "localhost:8000/v1", "ftp://x", "http://"]
)
def test_an_invalid_base_url_is_wrong_usage(url: str) -> None:
    with pytest.raises(WrongUsage, match="OVERSTORY_BASE_URL"), provider_at(url):
        pass


def test_a_base_url_may_end_in_a_slash() -> None:
    with (
        FakeEndpoint(Answer(body=REPLY)) as endpoint,
        provider_at(endpoint.url + "/") as provider,
    ):
        provider.chat(BODY)
        assert endpoint.received[0].path == "/v1/chat/completions"


def test_closing_leaves_no_connection_open() -> None:
    with scripted(Answer(body=REPLY)) as (_, provider):
        provider.chat(BODY)
        provider.close()
        gc.collect()  # an unclosed socket would warn here, and warnings are errors
