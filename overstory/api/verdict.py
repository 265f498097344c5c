"""What a request's headers tell: whether it is refused, and whether it comes from this machine.

A page of any site can send requests to 127.0.0.1 from its reader's browser: forms, images, and
``fetch`` without reading the reply. The browser names the page in ``Origin`` (of every request that
is not a GET) and its relation to us in ``Sec-Fetch-Site``. A page whose own name was turned to
127.0.0.1 (DNS rebinding) is told by ``Host``. Programs send none of these.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
PROXIED = (
    *("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"),
    *("x-forwarded-server", "x-real-ip", "cf-connecting-ip", "true-client-ip"),
)
"""Headers that proxies add. Behind one on this machine every request comes from 127.0.0.1."""
LOOKS = ("GET", "HEAD")
"""Methods without effects."""


@dataclass(frozen=True, slots=True)
class Rules:
    """``hosts``: names of the service beside localhost. ``needs_token``: also on this machine."""

    hosts: frozenset[str] = frozenset()
    needs_token: bool = False

    @classmethod
    def of(cls, hosts: Collection[str], needs_token: bool, elsewhere: bool) -> Rules:
        """``elsewhere``: the service listens beyond this machine. Where it has a name, somebody
        comes through a proxy or from another machine, and a proxy need not tell of itself."""
        named = frozenset(host.lower() for host in hosts)
        return cls(named, needs_token or elsewhere or bool(named))


@dataclass(frozen=True, slots=True)
class Refusal:
    status: HTTPStatus
    detail: str


def refusal_of(method: str, headers: Headers, rules: Rules) -> Refusal | None:
    """Why a request is refused, with any token; None if it is not."""
    host = headers.get("host", "")
    if len(headers.getlist("host")) != 1 or not _is_ours(host, rules):
        return Refusal(
            HTTPStatus.MISDIRECTED_REQUEST,
            f"this service is not called {host!r}: use localhost or its IP address, or name the"
            " host in OVERSTORY_API_HOSTS",
        )
    origin = headers.get("origin")
    if origin is not None and not _is_same(origin, host):
        return Refusal(
            HTTPStatus.FORBIDDEN,
            f"a page of {origin!r} may not use this service, which is called {host!r}: a proxy in"
            " front of it must hand on the header Host as it is",
        )
    if not _is_own_page(method, headers):
        return Refusal(HTTPStatus.FORBIDDEN, "a page of another site may not use this service")
    return None


def is_local(peer: str | None, headers: Headers, rules: Rules) -> bool:
    """Whether a request without a token may do all: it comes from a program or a browser of this
    machine, and not through a proxy. ``peer``: the address of the sender."""
    return (
        not rules.needs_token
        and peer is not None
        and is_loopback(peer)
        and _name_of(headers.get("host", "")) in LOOPBACK
        and not any(name in headers for name in PROXIED)
    )


def is_loopback(address: str) -> bool:
    """Whether an IP address, or ``localhost``, is of this machine alone."""
    if address == "localhost":
        return True
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)  # ::ffff:127.0.0.1, where IPv6 serves both
    return bool((mapped or parsed).is_loopback)


def _name_of(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:  # [::1 without its end
        return None


def _is_ours(host: str, rules: Rules) -> bool:
    """A stranger's page is never called by an IP address of ours, so any address will do."""
    name = _name_of(host)
    if name is None:
        return False
    return name in LOOPBACK or name in rules.hosts or host.lower() in rules.hosts or _is_ip(name)


def _is_ip(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _is_same(origin: str, host: str) -> bool:
    """Whether ``origin`` is a page of this host. Its scheme is https where a proxy adds TLS."""
    return origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}")


def _is_own_page(method: str, headers: Headers) -> bool:
    """Not a page of another site, unless it is only a link that a person has followed."""
    if headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
        return True
    mode, target = headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")
    return method in LOOKS and (mode, target) == ("navigate", "document")
