"""One HTTP request to a URL from outside (image downloads, webhooks), protected against SSRF.

The URL must not reach into our own network. We use http.client and open the socket ourselves, to an
address that we checked. So DNS rebinding, where a name later resolves to something else, has no
effect. One deadline covers resolving, connecting, the request and every read of the reply. httpx2
would need another connection pool and network backend for that. Proxies from the environment are
not used, because a proxy resolves names on its own.
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
"""Protocol assignments and 6to4 relays: not for hosts, and some Python 3.11 do not reject them."""
NAT64 = ipaddress.ip_network("64:ff9b::/96")
PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Target:
    """The parts of a checked http(s) URL. ``path`` includes the query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def host_header(self) -> str:
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if PORTS[self.scheme] == self.port else f"{name}:{self.port}"


class Deadline:
    """A time limit in seconds for all steps of a request together."""

    def __init__(self, seconds: float, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self.restart(seconds)

    def restart(self, seconds: float) -> None:
        """Set the deadline to ``seconds`` from now."""
        self._until = self._clock() + seconds

    def left(self) -> float:
        """Seconds until the deadline. Raises TimeoutError once it has passed."""
        left = self._until - self._clock()
        if left <= 0:
            raise TimeoutError
        return left


def system_resolver(host: str, port: int) -> list[str]:
    """All addresses of a host, by the machine's resolver."""
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in infos))


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
    """The response to one request. Redirects are left to the caller.

    ``may_be_private``: the host may be in our own network. Raises ImageRefused (URL_REFUSED) for
    an address that is not public, OSError (TimeoutError at the deadline) and
    http.client.HTTPException. Reading the response can raise the same errors.
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
    """The parts of a plain http(s) URL of an allowed host. Raises ImageRefused (URL_REFUSED).

    ``allow_hosts`` empty: any host is allowed. An entry covers its subdomains.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port or PORTS.get(parts.scheme, 0)
        host = (parts.hostname or "").rstrip(".").encode("idna").decode()
    except ValueError as error:  # includes UnicodeError
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
        raise _refused(f"{host} resolves to {address}, which is not a public address")


def _connect(
    target: Target, deadline: Deadline, resolve: Resolver, may_be_private: bool
) -> socket.socket:
    """A connection to a checked address. The name is not resolved a second time."""
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
    """The part of a socket that http.client uses, with the deadline as the timeout of each call."""

    def __init__(self, raw: socket.socket, deadline: Deadline) -> None:
        self._raw = raw
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        self._raw.settimeout(self._deadline.left())
        self._raw.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self._raw, self._deadline))

    def close(self) -> None:
        """Does nothing: http.client closes early and still reads. ``request`` closes the socket."""


def _path(parts: urllib.parse.SplitResult) -> str:
    path = urllib.parse.quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    query = urllib.parse.quote(parts.query, safe="/%:@!$&'()*+,;=~?[]|")
    return f"{path}?{query}" if query else path


def _allowed(host: str, allow_hosts: tuple[str, ...]) -> bool:
    names = (entry.lower().removeprefix("*.").strip(".") for entry in allow_hosts)
    return any(host == name or host.endswith(f".{name}") for name in names)


def _as_reached(ip: IPAddress) -> IPAddress:
    """The IPv4 address that an IPv6 address embeds (mapped, 6to4, Teredo, NAT64), else ``ip``."""
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
