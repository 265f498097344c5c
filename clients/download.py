"""Fetching an image somebody named by URL, from inside a network the URL must not reach into.

Built on http.client: the connection is a socket we open ourselves to an address we have checked,
so a name that resolves to something else a moment later (DNS rebinding) changes nothing, and one
clock runs over every read of every hop. httpx2 would need its own connection pool and network
backend replaced for that; the SDK's client is not shared either. Proxies from the environment are
not used: a proxy would resolve names on its own.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import ipaddress
import os
import socket
import ssl
import time
import urllib.parse
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

from core.errors import ImageRefused, RefusalCode
from core.images.formats import SNIFF_BYTES, sniff

Resolver = Callable[[str, int], Sequence[str]]
Clock = Callable[[], float]
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

CHUNK = 1 << 16
REDIRECTS = (301, 302, 303, 307, 308)
UNSEEN_BY_PYTHON = (ipaddress.ip_network("192.0.0.0/24"), ipaddress.ip_network("192.88.99.0/24"))
"""Protocol assignments and 6to4 relays: not for hosts, and not refused by every 3.11."""
NAT64 = ipaddress.ip_network("64:ff9b::/96")
PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class FetchRules:
    """What may be fetched. ``allow_hosts`` empty: any public host; an entry covers subdomains.

    ``timeout_seconds`` runs over all hops together; ``allow_private`` is for tests.
    """

    allow_hosts: tuple[str, ...] = ()
    timeout_seconds: float = 60.0
    max_bytes: int = 512_000_000
    max_redirects: int = 5
    allow_private: bool = False


@dataclass(frozen=True, slots=True)
class _Hop:
    scheme: str
    host: str
    port: int
    target: str


def system_resolver(host: str, port: int) -> list[str]:
    """Every address the machine's resolver gives for a host."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(item[4][0]) for item in found))


def fetch(
    url: str,
    *,
    into: Path,
    rules: FetchRules,
    resolve: Resolver = system_resolver,
    clock: Clock = time.monotonic,
) -> Path:
    """Download one image into a new file in the folder ``into`` and return its path.

    Raises ImageRefused: URL_REFUSED (scheme, host, address), URL_FAILED, TOO_LARGE_FILE,
    NOT_AN_IMAGE.
    """
    call = _Fetch(rules, resolve, clock, clock() + rules.timeout_seconds)
    try:
        return call.follow(url, into / hashlib.sha256(url.encode(errors="replace")).hexdigest())
    except ImageRefused:
        raise
    except TimeoutError:
        raise _failed(f"it took longer than {rules.timeout_seconds:g} s") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _failed(" ".join(str(error).split()) or type(error).__name__) from None


class _Fetch:
    """One download: every hop checked anew, one deadline over all."""

    def __init__(self, rules: FetchRules, resolve: Resolver, clock: Clock, deadline: float) -> None:
        self._rules = rules
        self._resolve = resolve
        self._clock = clock
        self._deadline = deadline

    def follow(self, url: str, target: Path) -> Path:
        for _ in range(self._rules.max_redirects + 1):
            hop = parse(url, self._rules.allow_hosts)
            with closing(self._connect(hop)) as raw:
                response = self._ask(_TimedSocket(raw, self.left), hop)
                if response.status not in REDIRECTS:
                    return self._save(response, target)
                url = urllib.parse.urljoin(url, response.getheader("Location") or "")
        raise _failed(f"it redirects more than {self._rules.max_redirects} times")

    def left(self) -> float:
        """Seconds until the deadline. Raises TimeoutError."""
        left = self._deadline - self._clock()
        if left <= 0:
            raise TimeoutError
        return left

    def _connect(self, hop: _Hop) -> socket.socket:
        raw = self._open_socket(hop)
        if hop.scheme == "http":
            return raw
        try:
            raw.settimeout(self.left())
            return _tls().wrap_socket(raw, server_hostname=hop.host)
        except BaseException:
            raw.close()
            raise

    def _open_socket(self, hop: _Hop) -> socket.socket:
        """A connection to an address that has passed; the name is not looked up again."""
        addresses = self._resolve(hop.host, hop.port)
        if not self._rules.allow_private:
            for address in addresses:
                check_address(address, hop.host)
        failure: OSError = OSError(f"{hop.host} has no address")
        for address in addresses:
            try:
                return socket.create_connection((address, hop.port), timeout=self.left())
            except OSError as error:
                failure = error
        raise failure

    def _ask(self, connected: _TimedSocket, hop: _Hop) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(hop.host, hop.port)
        connection.sock = connected
        default = PORTS[hop.scheme] == hop.port
        name = f"[{hop.host}]" if ":" in hop.host else hop.host
        connection.putrequest("GET", hop.target, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", name if default else f"{name}:{hop.port}")
        connection.putheader("User-Agent", "overstory")
        connection.putheader("Accept", "image/*, application/pdf;q=0.9, */*;q=0.1")
        connection.putheader("Accept-Encoding", "identity")
        connection.endheaders()
        return connection.getresponse()

    def _save(self, response: http.client.HTTPResponse, target: Path) -> Path:
        if response.status != HTTPStatus.OK:
            raise _failed(f"the server answered {response.status} {response.reason}")
        if response.length is not None and response.length > self._rules.max_bytes:
            raise self._too_large()
        head = response.read(SNIFF_BYTES)
        if sniff(head) is None:
            raise ImageRefused(
                RefusalCode.NOT_AN_IMAGE, "what the URL gives is of no image format we read"
            )
        partial = target.with_name(f"{target.name}.{os.urandom(4).hex()}")
        try:
            self._stream(response, head, partial)
            return partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)

    def _stream(self, response: http.client.HTTPResponse, head: bytes, partial: Path) -> None:
        got = 0
        with partial.open("xb") as file:
            chunk = head
            while chunk:
                got += file.write(chunk)
                if got > self._rules.max_bytes:
                    raise self._too_large()
                chunk = response.read(CHUNK)
        if response.length:
            raise _failed(f"the download ended {response.length} bytes early")

    def _too_large(self) -> ImageRefused:
        return ImageRefused(
            RefusalCode.TOO_LARGE_FILE,
            f"the download has more than {self._rules.max_bytes} bytes (OVERSTORY_MAX_FILE_BYTES)",
        )


class _TimedReader(io.RawIOBase):
    def __init__(self, raw: socket.socket, left: Callable[[], float]) -> None:
        self._raw = raw
        self._left = left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._raw.settimeout(self._left())
        return self._raw.recv_into(buffer)


class _TimedSocket:
    """What http.client asks of a socket, with what is left of the deadline before each call."""

    def __init__(self, raw: socket.socket, left: Callable[[], float]) -> None:
        self._raw = raw
        self._left = left

    def sendall(self, data: bytes) -> None:
        self._raw.settimeout(self._left())
        self._raw.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self._raw, self._left))

    def close(self) -> None:
        """http.client lets go of the socket while it still reads from it; the owner closes it."""


# --- what a URL may be


def parse(url: str, allow_hosts: tuple[str, ...] = ()) -> _Hop:
    """Raises ImageRefused (URL_REFUSED) for what is not a plain http(s) URL of an allowed host."""
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port or PORTS.get(parts.scheme, 0)
        host = (parts.hostname or "").rstrip(".").encode("idna").decode()
    except ValueError as error:  # UnicodeError is one
        raise _refused(f"it is no URL ({error})") from None
    if parts.scheme not in PORTS or not host:
        raise _refused("only http and https URLs are fetched")
    if parts.username is not None or parts.password is not None:
        raise _refused("URLs with a user name or password are not fetched")
    if allow_hosts and not _allowed(host, allow_hosts):
        raise _refused(f"the host {host} is not in OVERSTORY_FETCH_ALLOW_HOSTS")
    return _Hop(parts.scheme, host, port, _target(parts))


def _target(parts: urllib.parse.SplitResult) -> str:
    path = urllib.parse.quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    query = urllib.parse.quote(parts.query, safe="/%:@!$&'()*+,;=~?[]|")
    return f"{path}?{query}" if query else path


def _allowed(host: str, allow_hosts: tuple[str, ...]) -> bool:
    names = (entry.lower().removeprefix("*.").strip(".") for entry in allow_hosts)
    return any(host == name or host.endswith(f".{name}") for name in names)


def check_address(address: str, host: str) -> None:
    """Raises ImageRefused (URL_REFUSED) unless the address is public unicast."""
    ip = _as_reached(ipaddress.ip_address(address.partition("%")[0]))
    ordinary = ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)
    unseen = any(ip in network for network in UNSEEN_BY_PYTHON)
    if not ordinary or unseen or getattr(ip, "is_site_local", False):
        raise _refused(f"{host} leads to {address}, which is not a public address")


def _as_reached(ip: IPAddress) -> IPAddress:
    """The IPv4 address behind an IPv6 one that carries it: mapped, 6to4, Teredo, NAT64."""
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip in NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else ip)


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _refused(reason: str) -> ImageRefused:
    return ImageRefused(RefusalCode.URL_REFUSED, reason)


def _failed(reason: str) -> ImageRefused:
    return ImageRefused(RefusalCode.URL_FAILED, f"the download failed: {reason}")
