"""Requests as a table: what the headers tell, and what a page of another site cannot do."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from overstory.api.verdict import PROXIED, Rules, is_local, is_loopback, refusal_of

HERE = "127.0.0.1:8700"
PLAIN = Rules.of((), needs_token=False, elsewhere=False)
NAMED = Rules.of(("Vision.internal", "api:8700"), needs_token=False, elsewhere=False)
FETCH = {"sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}
LINK = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
IMAGE = {"sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}
FRAME = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}
EVIL = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}


def status_of(method: str, rules: Rules = PLAIN, **headers: str) -> int | None:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    refusal = refusal_of(method, Headers({"host": HERE, **told}), rules)
    return None if refusal is None else int(refusal.status)


@pytest.mark.parametrize(
    ("host", "rules", "status"),
    [
        ("127.0.0.1:8700", PLAIN, None),
        ("localhost:8700", PLAIN, None),
        ("LOCALHOST", PLAIN, None),
        ("[::1]:8700", PLAIN, None),
        ("192.168.1.5:8700", PLAIN, None),  # no page of a stranger is called so
        ("evil.example:8700", PLAIN, 421),  # its name was turned to 127.0.0.1
        ("localhost.evil.example", PLAIN, 421),
        ("127.0.0.1.evil.example", PLAIN, 421),
        ("127.0.0.1:8700@evil.example", PLAIN, 421),
        ("vision.internal", PLAIN, 421),
        ("vision.internal", NAMED, None),
        ("VISION.internal:443", NAMED, None),
        ("api:8700", NAMED, None),
        ("api:9000", NAMED, 421),
        ("", PLAIN, 421),
        ("[::1", PLAIN, 421),
    ],
)
def test_the_service_answers_only_to_its_names(host: str, rules: Rules, status: int | None) -> None:
    assert status_of("GET", rules, host=host) == status


def test_two_hosts_are_refused() -> None:
    raw = [(b"host", HERE.encode()), (b"host", b"evil.example")]
    assert refusal_of("GET", Headers(raw=raw), PLAIN) is not None
    assert refusal_of("GET", Headers(raw=[]), PLAIN) is not None


@pytest.mark.parametrize(
    ("what", "method", "headers", "status"),
    [
        ("a program", "POST", {}, None),
        ("our page", "POST", {"origin": f"http://{HERE}", "sec-fetch-site": "same-origin"}, None),
        ("our page behind TLS", "POST", {"origin": f"https://{HERE}"}, None),
        ("a typed address", "GET", {"sec-fetch-site": "none", **LINK}, None),
        ("a link elsewhere", "GET", {"sec-fetch-site": "cross-site", **LINK}, None),
        ("a form elsewhere", "POST", {**EVIL, **LINK}, 403),
        ("a form of an old browser", "POST", {"origin": "http://evil.example"}, 403),
        ("a form in a sandboxed frame", "POST", {"origin": "null", **LINK}, 403),
        ("fetch with text/plain", "POST", {**EVIL, **FETCH, "content-type": "text/plain"}, 403),
        ("fetch from another port", "POST", {"origin": "http://127.0.0.1:3000", **FETCH}, 403),
        ("fetch from another port", "GET", {"sec-fetch-site": "same-site", **FETCH}, 403),
        ("an image elsewhere", "GET", {"sec-fetch-site": "cross-site", **IMAGE}, 403),
        ("a frame elsewhere", "GET", {"sec-fetch-site": "cross-site", **FRAME}, 403),
        ("a link that deletes", "DELETE", {"sec-fetch-site": "cross-site", **LINK}, 403),
        ("a preflight", "OPTIONS", {**EVIL, **FETCH}, 403),
        ("a page with our name in its", "POST", {"origin": f"http://{HERE}.evil.example"}, 403),
    ],
)
def test_a_page_of_another_site_cannot_send(
    what: str, method: str, headers: dict[str, str], status: int | None
) -> None:
    assert status_of(method, **headers) == status, what


@pytest.mark.parametrize(
    ("peer", "host", "rules", "local"),
    [
        ("127.0.0.1", HERE, PLAIN, True),
        ("127.8.9.1", "localhost:8700", PLAIN, True),
        ("::1", "[::1]:8700", PLAIN, True),
        ("::ffff:127.0.0.1", HERE, PLAIN, True),
        ("192.168.1.9", HERE, PLAIN, False),
        ("172.17.0.1", HERE, PLAIN, False),  # the host of a container
        ("::ffff:192.168.1.9", HERE, PLAIN, False),
        ("", HERE, PLAIN, False),
        (None, HERE, PLAIN, False),
        ("127.0.0.1", "192.168.1.5:8700", PLAIN, False),
        ("127.0.0.1", HERE, NAMED, False),  # a proxy of this machine need not tell of itself
        ("127.0.0.1", HERE, Rules.of((), needs_token=True, elsewhere=False), False),
        ("127.0.0.1", HERE, Rules.of((), needs_token=False, elsewhere=True), False),
    ],
)
def test_only_this_machine_needs_no_token(
    peer: str | None, host: str, rules: Rules, local: bool
) -> None:
    assert is_local(peer, Headers({"host": host}), rules) is local


@pytest.mark.parametrize("header", PROXIED)
def test_what_comes_through_a_proxy_of_this_machine_is_not_local(header: str) -> None:
    assert not is_local("127.0.0.1", Headers({"host": HERE, header: "127.0.0.1"}), PLAIN)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("localhost", True), ("127.0.0.1", True), ("::1", True), ("0.0.0.0", False), ("::", False)],
)
def test_addresses_to_listen_at(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
