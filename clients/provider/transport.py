"""HTTP connections with one deadline for a whole call, from connecting to the last byte, and a
limit on the length of the response.

httpx2's read timeout covers a single read, so a reply that drips bytes slowly would never end.
Therefore the network stream under httpx2 asks ``CallClock`` how long each wait may be. A thread
makes one call at a time, so the deadline is stored by thread.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import httpcore2
import httpx2

from clients.proxies import check_proxies, is_loopback
from core.settings import Settings

KEEPALIVE_SECONDS = 30.0  # below the 60 s after which common load balancers close connections
WRITE_PIECE_BYTES = 256 * 1024  # the deadline is checked between pieces
IDLE_SECONDS, PROBE_SECONDS, PROBES = 30, 10, 3
SILENT_SECONDS = IDLE_SECONDS + PROBES * PROBE_SECONDS
"""Nothing travels while the provider thinks, for up to ten minutes. Without probes a NAT gateway
forgets such a connection (common ones after 350 s), and a call whose link is broken waits for the
read timeout, with its slot and its lease. So each is probed, and given up after a minute."""
UNSENT_BYTES = 128 * 1024
"""The system takes no more than this ahead of the line, so that a slow line is noticed while a
request is sent (clients/provider/uplink.py), not when its megabytes lie in buffers."""
RESPONSE_BYTES_MAX = 32_000_000
"""Of one response, headers included. A reply with a million tokens has 5 MB."""
NEVER_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
    httpcore2.ConnectError,
    httpcore2.ConnectTimeout,
    httpcore2.PoolTimeout,
    httpcore2.ProxyError,
    httpcore2.UnsupportedProtocol,
)
TRANSPORT_FAILURES = (
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.ProxyError,
    httpcore2.TimeoutException,
    httpcore2.UnsupportedProtocol,
)
"""What a connection pool raises. These errors have no common base class."""


class CallClock(threading.local):
    """This thread's current call: its deadline, and whether any byte of it was sent."""

    def __init__(self) -> None:
        self.deadline = float("inf")
        self.wrote = False
        self.read_bytes = 0

    def start(self, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds
        self.wrote = False
        self.read_bytes = 0

    def count(self, data: bytes) -> bytes:
        """``data`` of the response. Raises ReadError once it is longer than any response is."""
        self.read_bytes += len(data)
        if self.read_bytes > RESPONSE_BYTES_MAX:
            raise httpcore2.ReadError(f"the response is longer than {RESPONSE_BYTES_MAX:,} bytes")
        return data

    def left(self, timeout: float | None, error: type[Exception]) -> float:
        """Seconds the next wait may take. Raises ``error`` if the deadline has passed."""
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise error("the call's time is up")
        return remaining if timeout is None else min(timeout, remaining)


class _TimedStream(httpcore2.NetworkStream):
    def __init__(self, inner: httpcore2.NetworkStream, call: CallClock) -> None:
        self._inner = inner
        self._call = call

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        left = self._call.left(timeout, httpcore2.ReadTimeout)
        with self._closed_on_failure():
            return self._call.count(self._inner.read(max_bytes, left))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), WRITE_PIECE_BYTES):
            left = self._call.left(timeout, httpcore2.WriteTimeout)
            self._call.wrote |= not _is_for_a_proxy(buffer)
            with self._closed_on_failure():
                self._inner.write(buffer[start : start + WRITE_PIECE_BYTES], left)

    @contextmanager
    def _closed_on_failure(self) -> Iterator[None]:
        """httpcore2 closes its connections when one fails, but not in the greeting of a proxy."""
        try:
            yield
        except BaseException:
            self._inner.close()
            raise

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        left = self._call.left(timeout, httpcore2.ConnectTimeout)
        return _TimedStream(self._inner.start_tls(ssl_context, server_hostname, left), self._call)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _is_for_a_proxy(data: bytes) -> bool:
    """Whether ``data`` asks a proxy for a connection. No request of ours begins like that: a SOCKS
    greeting is binary, and CONNECT is sent to proxies alone."""
    return data[:1] < b" " or data.startswith(b"CONNECT ")


class _TimedBackend(httpcore2.NetworkBackend):
    def __init__(self, inner: httpcore2.NetworkBackend, call: CallClock) -> None:
        self._inner = inner
        self._call = call

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        left = self._call.left(timeout, httpcore2.ConnectTimeout)
        options = [*(socket_options or ()), *tcp_options()]
        stream = self._inner.connect_tcp(host, port, left, local_address, options)
        return _TimedStream(stream, self._call)


@cache
def tcp_options() -> tuple[tuple[int, int, int], ...]:
    """Socket options by which the kernel finds out that the other end is not reached any more, and
    takes no more than it soon sends."""
    tcp = {
        "TCP_KEEPIDLE": IDLE_SECONDS,
        "TCP_KEEPALIVE": IDLE_SECONDS,  # the same on macOS
        "TCP_KEEPINTVL": PROBE_SECONDS,
        "TCP_KEEPCNT": PROBES,
        "TCP_USER_TIMEOUT": 1000 * SILENT_SECONDS,  # of what was sent and not acknowledged
        "TCP_NOTSENT_LOWAT": UNSENT_BYTES,
    }
    return (
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        *(
            (socket.IPPROTO_TCP, getattr(socket, name), value)
            for name, value in tcp.items()
            if hasattr(socket, name)
        ),
    )


@cache
def authorities() -> ssl.SSLContext:
    """The trusted certificates: the system's, or those of SSL_CERT_FILE and SSL_CERT_DIR. Reading
    them takes 25 ms, so they are shared by all clients and by processes forked later."""
    return httpx2.create_ssl_context()


def _refuse_compressed(response: httpx2.Response) -> None:
    """Half a megabyte may unpack to a gigabyte. None was asked for."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        response.close()
        raise httpx2.DecodingError(f"the response is compressed ({encoding[:20]})")


def http_client(
    settings: Settings, url: httpx2.URL, connections: int, call: CallClock
) -> httpx2.Client:
    """A client for the endpoint at ``url``. Raises WrongUsage for a proxy of the environment that
    cannot be used."""
    trust_env = not is_loopback(url.host)  # a company proxy cannot reach our own sandbox
    if trust_env:
        check_proxies()
    client = httpx2.Client(
        verify=authorities(),
        timeout=settings.read_timeout_seconds,
        limits=httpx2.Limits(
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=KEEPALIVE_SECONDS,
        ),
        headers={"Accept-Encoding": "identity"},
        event_hooks={"response": [_refuse_compressed]},
        follow_redirects=False,  # the key would be sent to the redirect's target
        trust_env=trust_env,
    )
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001
        if isinstance(transport, httpx2.HTTPTransport):
            # httpx2 has no argument for httpcore2's public network_backend. A transport of our
            # own would ignore the proxies of the environment.
            pool = transport._pool  # noqa: SLF001
            pool._network_backend = _TimedBackend(pool._network_backend, call)  # noqa: SLF001
    return client


def pool_for(
    client: httpx2.Client, url: httpx2.URL
) -> httpcore2.ConnectionPool | httpcore2.HTTPProxy | httpcore2.SOCKSProxy:
    """The connection pool (or the proxy's) that ``client`` uses for ``url``."""
    transport = client._transport_for_url(url)  # noqa: SLF001 - as above
    assert isinstance(transport, httpx2.HTTPTransport)
    return transport._pool  # noqa: SLF001
