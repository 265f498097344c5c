"""What is said about proxies where a link does not use them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from clients.proxies import direct, without_socks
from clients.sources.download import FetchRules, fetch
from clients.webhooks import Messenger
from core.errors import ImageRefused


def no_network(host: str, port: int) -> list[str]:
    raise OSError("Network is unreachable")


@pytest.fixture(autouse=True)
def _socks(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{scheme}_proxy", raising=False)
        monkeypatch.delenv(f"{scheme.upper()}_PROXY", raising=False)
    monkeypatch.setenv("ALL_PROXY", "socks5://me:secret@127.0.0.1:9")


def test_a_failed_download_says_that_it_used_no_proxy(tmp_path: Path) -> None:
    with pytest.raises(ImageRefused, match="does not use the proxy in ALL_PROXY"):
        fetch("https://example.com/a.jpg", into=tmp_path, rules=FetchRules(), resolve=no_network)


def test_a_failed_webhook_says_that_it_used_no_proxy() -> None:
    messenger = Messenger("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", resolve=no_network)
    answer = messenger.post("https://example.com/hook", "m1", "{}", datetime.now(UTC))
    assert answer.error == "Network is unreachable (this link does not use the proxy in ALL_PROXY)"


def test_nothing_is_said_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "ALL_PROXY" in without_socks()
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert without_socks() == ""
    monkeypatch.setenv("NO_PROXY", "*")
    assert direct() == ""
