"""A run behind the proxy of a VPN client, and with one that cannot work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.command import Endpoint, Person
from tests.support.ports import free_port
from tests.support.socks import socks_proxy

ELSEWHERE = "http://vision.example.invalid/v1"
"""An endpoint that no name server knows: only the proxy can reach it."""


@pytest.fixture
def traveller(person: Person, monkeypatch: pytest.MonkeyPatch) -> Person:
    """A person whose endpoint is elsewhere."""
    for name in ("NO_PROXY", "no_proxy", "http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    person.settings["OVERSTORY_BASE_URL"] = ELSEWHERE
    return person


def test_a_run_works_through_a_socks_proxy(
    traveller: Person, endpoint: Endpoint, make_images: Callable[..., Path]
) -> None:
    with socks_proxy(urlsplit(endpoint.process.base_url).port or 0) as proxy:
        traveller.settings["ALL_PROXY"] = f"socks5://127.0.0.1:{proxy.port}"
        ran = traveller.run(make_images(3))
    assert ran.status == 0, ran.err
    assert set(proxy.asked) == {"vision.example.invalid"}


def test_a_proxy_that_is_down_or_wrong_ends_the_run_with_a_sentence(
    traveller: Person, make_images: Callable[..., Path]
) -> None:
    photos = make_images(3)
    with socks_proxy(silent=True) as silent:
        for value, status, words in (
            ("socks4://127.0.0.1:1080", 2, "kind socks4, which is not supported: use http://"),
            (f"socks5h://127.0.0.1:{free_port()}", 1, "does not answer: start it, unset ALL_PROXY"),
            (f"socks5://127.0.0.1:{silent.port}", 1, "through ALL_PROXY"),
        ):
            traveller.settings["ALL_PROXY"] = value
            ran = traveller.run(photos)
            assert ran.status == status, (value, ran.err)
            assert words in ran.err
