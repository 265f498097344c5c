"""One HTTP request to an address that somebody else named: fetched images and webhooks.

The URL must not reach into our own network. Built on http.client: we open the socket ourselves, to
an address that was checked, so a name that resolves to something else a moment later (DNS
rebinding) changes nothing. One deadline covers resolving, connecting, the request and every read
of the reply. httpx2 would need its connection pool and network backend replaced for that. Proxies
of the environment are not used: a proxy would resolve names on its own.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import socket
import ssl
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from core.errors import ImageRefused, RefusalCode

Resolver = Callable[[str, int], Sequence[str]]
Clock = Callable[[], float]
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

UNSEEN_BY_PYTHON = (ipaddress.ip_network("192.0.0.0/24"), ipaddress.ip_network("192.88.99.0/24"))
"""Protocol assignments and 6to4 relays: not for hosts, and not refused by every 3.11."""
NAT64 = ipaddress.ip_network("64:ff9b::/96")
PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Target:
    """A checked http(s) URL, taken apart. ``path`` includes the query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def host_header(self) -> str:
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if PORTS[self.scheme] == self.port else f"{name}:{self.port}"


class Deadline:
    """A number of seconds that all steps of a request share."""

    def __init__(self, seconds: float, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._until = clock() + seconds

    def left(self) -> float:
        """Seconds until the deadline. Raises TimeoutError once it has passed."""
        left = self._until - self._clock()
        if left <= 0:
            raise TimeoutError
        return left


def system_resolver(host: str, port: int) -> list[str]:
    """Every address the machine's resolver gives for a host."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(item[4][0]) for item in found))


@contextmanager
def request(
    method: str,
    target: Target,
    headers: Mapping[str, str],
    deadline: Deadline,
    *,
    body: bytes = b"",
    resolve: Resolver = system_resolver,
    may_be_private: bool = False,
) -> Iterator[http.client.HTTPResponse]:
    """The response to one request; redirects are the caller's business.

    ``may_be_private``: the host may lead into our own network. Raises ImageRefused (URL_REFUSED)
    for an address that is not public, OSError (TimeoutError at the deadline) and
    http.client.HTTPException; the same while the response is read.
    """
    raw = _connect(target, deadline, resolve, may_be_private)
    try:
        connection = http.client.HTTPConnection(target.host, target.port)
        connection.sock = _TimedSocket(raw, deadline)
        connection.putrequest(method, target.path, skip_host=True, skip_accept_encoding=True)
        sent = {"Host": target.host_header, "User-Agent": "overstory", **headers}
        if body:
            sent["Content-Length"] = str(len(body))
        for name, value in sent.items():
            connection.putheader(name, value)
        connection.endheaders(body or None)
        yield connection.getresponse()
    finally:
        raw.close()


def parse(url: str, allow_hosts: tuple[str, ...] = ()) -> Target:
    """Raises ImageRefused (URL_REFUSED) for what is not a plain http(s) URL of an allowed host.

    ``allow_hosts`` empty: any host; an entry covers its subdomains.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port or PORTS.get(parts.scheme, 0)
        host = (parts.hostname or "").rstrip(".").encode("idna").decode()
    except ValueError as error:  # UnicodeError is one
        raise _refused(f"it is not a valid URL ({error})") from None
    if parts.scheme not in PORTS or not host:
        raise _refused("only http and https URLs are fetched")
    if parts.username is not None or parts.password is not None:
        raise _refused("URLs with a user name or password are not fetched")
    if allow_hosts and not _allowed(host, allow_hosts):
        raise _refused(f"the host {host} is not in OVERSTORY_FETCH_ALLOW_HOSTS")
    return Target(parts.scheme, host, port, _path(parts))


def check_address(address: str, host: str) -> None:
    """Raises ImageRefused (URL_REFUSED) unless the address is public unicast."""
    ip = _as_reached(ipaddress.ip_address(address.partition("%")[0]))
    ordinary = ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)
    unseen = any(ip in network for network in UNSEEN_BY_PYTHON)
    if not ordinary or unseen or getattr(ip, "is_site_local", False):
        raise _refused(f"{host} leads to {address}, which is not a public address")


def _connect(
    target: Target, deadline: Deadline, resolve: Resolver, may_be_private: bool
) -> socket.socket:
    """A connection to an address that was checked; the name is not resolved again."""
    addresses = resolve(target.host, target.port)
    if not may_be_private:
        for address in addresses:
            check_address(address, target.host)
    failure: OSError = OSError(f"{target.host} has no address")
    for address in addresses:
        try:
            raw = socket.create_connection((address, target.port), timeout=deadline.left())
        except OSError as error:
            failure = error
            continue
        return raw if target.scheme == "http" else _encrypted(raw, target.host, deadline)
    raise failure


def _encrypted(raw: socket.socket, host: str, deadline: Deadline) -> socket.socket:
    try:
        raw.settimeout(deadline.left())
        return _tls().wrap_socket(raw, server_hostname=host)
    except BaseException:
        raw.close()
        raise


class _TimedReader(io.RawIOBase):
    def __init__(self, raw: socket.socket, deadline: Deadline) -> None:
        self._raw = raw
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._raw.settimeout(self._deadline.left())
        return self._raw.recv_into(buffer)


class _TimedSocket:
    """What http.client asks of a socket, with what is left of the deadline before each call."""

    def __init__(self, raw: socket.socket, deadline: Deadline) -> None:
        self._raw = raw
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        self._raw.settimeout(self._deadline.left())
        self._raw.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self._raw, self._deadline))

    def close(self) -> None:
        """http.client lets go of the socket while it still reads from it; ``request`` closes it."""


def _path(parts: urllib.parse.SplitResult) -> str:
    path = urllib.parse.quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    query = urllib.parse.quote(parts.query, safe="/%:@!$&'()*+,;=~?[]|")
    return f"{path}?{query}" if query else path


def _allowed(host: str, allow_hosts: tuple[str, ...]) -> bool:
    names = (entry.lower().removeprefix("*.").strip(".") for entry in allow_hosts)
    return any(host == name or host.endswith(f".{name}") for name in names)


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
