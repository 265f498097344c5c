"""Fetching URLs from real local servers: safe targets only, limited size and time."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.guarded_http import check_address, parse
from clients.sources.download import FetchRules, fetch
from core.errors import ImageRefused, RefusalCode
from tests.support.web_server import Answer, Server, gives, leads_to

JPEG = b"\xff\xd8\xff\xe0" + bytes(5000)
OPEN = FetchRules(allow_private=True, timeout_seconds=20, max_bytes=100_000, max_redirects=3)


def endless(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    request.wfile.write(JPEG)
    while True:
        request.wfile.write(bytes(65_536))


def refused(url: str, into: Path, rules: FetchRules = OPEN, **options: object) -> ImageRefused:
    with pytest.raises(ImageRefused) as caught:
        fetch(url, into=into, rules=rules, **options)  # type: ignore[arg-type]
    assert list(into.iterdir()) == []
    return caught.value


def test_an_image_is_fetched_with_its_host_named(server: Server, tmp_path: Path) -> None:
    server.answers["/a%20b.jpg"] = gives(JPEG)
    path = fetch(
        server.url("/a b.jpg?x=ü", "photos.example"),
        into=tmp_path,
        rules=OPEN,
        resolve=lambda host, port: ["127.0.0.1"],
    )
    assert path.read_bytes() == JPEG
    assert list(tmp_path.iterdir()) == [path]
    assert server.seen == [("/a%20b.jpg?x=%C3%BC", f"photos.example:{server.port}")]


def test_redirects_are_followed_up_to_a_limit(server: Server, tmp_path: Path) -> None:
    server.answers |= {"/1": leads_to("/2"), "/2": leads_to(server.url("/3")), "/3": gives(JPEG)}
    assert fetch(server.url("/1"), into=tmp_path, rules=OPEN).read_bytes() == JPEG


def test_redirect_loops_end(server: Server, tmp_path: Path) -> None:
    server.answers["/1"] = leads_to("/1")
    assert refused(server.url("/1"), tmp_path).code is RefusalCode.URL_FAILED
    assert len(server.seen) == OPEN.max_redirects + 1


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (gives(b"<html>no image here</html>"), RefusalCode.NOT_AN_IMAGE),
        (gives(b""), RefusalCode.NOT_AN_IMAGE),
        (gives(JPEG, 404), RefusalCode.URL_FAILED),
        (gives(JPEG, Content_Length="90000"), RefusalCode.URL_FAILED),
        (gives(JPEG, Content_Length="100001"), RefusalCode.TOO_LARGE_FILE),
        (endless, RefusalCode.TOO_LARGE_FILE),
        (leads_to("file:///etc/passwd"), RefusalCode.URL_REFUSED),
        (leads_to("gopher://127.0.0.1/"), RefusalCode.URL_REFUSED),
        (gives(b"", 302), RefusalCode.URL_FAILED),
    ],
)
def test_a_response_that_is_not_an_image_is_refused(
    server: Server, tmp_path: Path, answer: Answer, code: RefusalCode
) -> None:
    server.answers["/x"] = answer
    assert refused(server.url("/x"), tmp_path).code is code


def test_an_unreachable_url_is_a_failure(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    failure = refused(f"http://127.0.0.1:{port}/x", tmp_path)
    assert failure.code is RefusalCode.URL_FAILED


@pytest.mark.parametrize(
    "start", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n" + JPEG]
)
def test_one_deadline_covers_slow_answers(tmp_path: Path, start: bytes) -> None:
    """A server that sends single bytes slowly does not block a worker; the test sets the clock."""
    now = 0.0
    bytes_due = threading.Semaphore(0)  # one for each second: a fast server fills the headers

    def clock() -> float:
        nonlocal now
        now += 1.0  # every read of the clock takes a second: 20 reads are too many
        bytes_due.release()
        return now

    def drip() -> None:
        connection, _ = listener.accept()
        with connection:
            try:
                connection.sendall(start)
                while connection.recv(1, socket.MSG_PEEK):
                    bytes_due.acquire()
                    connection.sendall(b"a")
            except OSError:
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        dripping = threading.Thread(target=drip)
        dripping.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        rules = replace(OPEN, max_bytes=10**12)
        failure = refused(url, tmp_path, rules, clock=clock)
        bytes_due.release(1000)  # the connection is closed: the next bytes fail
        dripping.join()
    assert failure.code is RefusalCode.URL_FAILED
    assert "longer than 20 s" in failure.reason


# --- allowed targets of URLs


PRIVATE = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "0.0.0.0", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.0.8", "198.18.0.1",
    "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "fec0::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1", "2002:7f00:1::", "2001::1", "2001:db8::1", "::127.0.0.1", "100::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_refused(address: str) -> None:
    with pytest.raises(ImageRefused) as caught:
        check_address(address, "host.example")
    assert caught.value.code is RefusalCode.URL_REFUSED


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "2606:2800:21f::1", "64:ff9b::5db8:d70e", "::ffff:93.184.215.14"]
)
def test_public_addresses_are_allowed(address: str) -> None:
    check_address(address, "host.example")


@given(st.ip_addresses(v=6))
def test_every_address_is_classified(address: object) -> None:
    with suppress(ImageRefused):
        check_address(str(address), "host.example")


CLOSED = replace(OPEN, allow_private=False)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "0"]
)
def test_this_machine_is_never_contacted(server: Server, tmp_path: Path, host: str) -> None:
    server.answers["/x"] = gives(JPEG)
    assert refused(server.url("/x", host), tmp_path, CLOSED).code in (
        RefusalCode.URL_REFUSED,
        RefusalCode.URL_FAILED,  # some resolvers do not know such a name
    )
    assert server.seen == []


def test_one_private_address_among_several_refuses_the_host(tmp_path: Path) -> None:
    answer = refused(
        "http://mixed.example/x", tmp_path, CLOSED, resolve=lambda *_: ["93.184.215.14", "10.0.0.1"]
    )
    assert answer.code is RefusalCode.URL_REFUSED


def test_a_redirect_to_a_private_address_is_refused(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers |= {"/1": leads_to(server.url("/2", "inside.example")), "/2": gives(JPEG)}
    plain = socket.create_connection

    def routed(address: tuple[str, int], timeout: float) -> socket.socket:
        assert address[0] == "93.184.215.14"
        return plain(("127.0.0.1", server.port), timeout)

    monkeypatch.setattr("clients.guarded_http.socket.create_connection", routed)
    addresses = {"outside.example": ["93.184.215.14"], "inside.example": ["192.168.0.7"]}
    answer = refused(
        server.url("/1", "outside.example"), tmp_path, CLOSED, resolve=lambda h, _: addresses[h]
    )
    assert answer.code is RefusalCode.URL_REFUSED
    assert "192.168.0.7" in answer.reason
    assert [path for path, _ in server.seen] == ["/1"]


def test_a_checked_name_is_not_resolved_again(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: public when it is checked, private when a careless client connects."""
    server.answers["/x"] = gives(JPEG)
    asked: list[str] = []
    connected: list[str] = []
    plain = socket.create_connection

    def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["93.184.215.14"] if len(asked) == 1 else ["127.0.0.1"]

    def routed(address: tuple[str, int], timeout: float) -> socket.socket:
        connected.append(address[0])
        return plain(("127.0.0.1", server.port), timeout)

    monkeypatch.setattr("clients.guarded_http.socket.create_connection", routed)
    url = server.url("/x", "rebind.example")
    assert fetch(url, into=tmp_path, rules=CLOSED, resolve=rebinding).read_bytes() == JPEG
    assert asked == ["rebind.example"]
    assert connected == ["93.184.215.14"]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example/x", "file:///etc/passwd", "http://", "http:///x", "a.jpg", "",
        "http://user:word@a.example/x", "http://a.example:99999/x", "http://[::1/x",
        "http://" + "a" * 300 + ".example/", "http://a..example/", "//a.example/x",
    ],
)  # fmt: skip
def test_only_plain_http_urls_are_fetched(tmp_path: Path, url: str) -> None:
    assert refused(url, tmp_path, CLOSED).code is RefusalCode.URL_REFUSED


@pytest.mark.parametrize("bad", ["\r\nX: y", " x", "\x00", "\t", "é\n"])
def test_a_url_cannot_smuggle_headers(bad: str) -> None:
    hop = parse(f"http://a.example/x{bad}?q={bad}")
    assert hop.path.isascii()
    assert hop.path.isprintable()
    assert " " not in hop.path


def test_an_allow_list_refuses_all_other_hosts() -> None:
    allowed = ("photos.example", "*.cdn.example")
    for host in ("photos.example", "eu.photos.example", "cdn.example", "a.cdn.example"):
        assert parse(f"https://{host}/x", allowed).host == host
    for host in ("example", "notphotos.example", "photos.example.evil.example"):
        with pytest.raises(ImageRefused):
            parse(f"https://{host}/x", allowed)
    assert parse("https://PHOTOS.example./x", allowed).port == 443


@pytest.mark.parametrize(
    "answer",
    [b"\0", b"HTTP/1.1 500 a\0\x9b\r\n\r\n", b"HTTP/1.1 500 " + b"x" * 60_000 + b"\r\n\r\n"],
)
def test_what_a_server_says_is_one_short_line_without_control_characters(
    tmp_path: Path, answer: bytes
) -> None:
    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/a.jpg"
        with pytest.raises(ImageRefused) as refused:
            fetch(url, into=tmp_path, rules=OPEN)
        thread.join()
    assert refused.value.reason.isprintable()
    assert len(refused.value.reason) < 1_100
