"""Responses of an endpoint that are too long, compressed, or count what nobody can count."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from clients.provider import transport
from clients.provider.client import Provider
from clients.provider.replies import TOKENS_MAX, read_reply, read_usage
from core.errors import ProviderDown
from core.reply import Usage
from core.settings import load
from tests.support.fake_endpoint import Answer, FakeEndpoint

CHOICE = {"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}


def chat(endpoint: FakeEndpoint) -> Any:
    provider = Provider(load(base_url=endpoint.url, api_key="k"), max_connections=1)
    try:
        return provider.chat({"model": "m", "messages": []})
    finally:
        provider.close()


def test_a_compressed_response_is_not_unpacked() -> None:
    body = gzip.compress(b" " * 50_000_000 + json.dumps({"choices": [CHOICE]}).encode())
    answer = Answer(body=body, headers={"Content-Encoding": "gzip"})
    with FakeEndpoint(answer) as endpoint, pytest.raises(ProviderDown, match="compressed"):
        chat(endpoint)
    assert endpoint.received[0].headers["accept-encoding"] == "identity"


def test_a_response_without_an_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "RESPONSE_BYTES_MAX", 1_000_000)
    answer = Answer(body=b" " * 3_000_000)
    with FakeEndpoint(answer) as endpoint, pytest.raises(ProviderDown, match="longer than"):
        chat(endpoint)


@pytest.mark.parametrize("count", [10**30, TOKENS_MAX + 1, 1e300, float("inf"), -5, "7", None])
def test_a_count_that_no_call_has_is_not_reported(count: object) -> None:
    assert read_usage({"prompt_tokens": count, "completion_tokens": 3}) == Usage(0, 0, 3)
    reply = read_reply({"choices": [CHOICE], "usage": {"prompt_tokens": count}}, None)
    assert reply.usage == Usage(0, 0, 0)
