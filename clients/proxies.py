"""The proxies that the environment names: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY.

The SDK's HTTP client uses them, the S3 store those of HTTP. Downloads and webhooks connect directly
(``clients.guarded_http``), and so does whatever is on this machine.
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from core.errors import WrongUsage

SCHEMES: Final = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
"""Proxies that can be used, with their usual ports."""
USABLE = "use http://host:port, socks5://host:port or socks5h://host:port"


@dataclass(frozen=True, slots=True)
class Proxy:
    """``variable``: the one that names it. ``shown``: its URL without user and password."""

    variable: str
    shown: str
    host: str
    port: int


def proxy_for(url: str) -> Proxy | None:
    """The proxy between us and ``url``, if any. Raises WrongUsage like ``check_proxies``."""
    parts = urlsplit(url)
    if parts.hostname is None or is_loopback(parts.hostname):
        return None
    named = {scheme: _proxy(*found) for scheme, found in _variables().items()}
    return None if _is_excepted(parts.hostname) else named.get(parts.scheme) or named.get("all")


def check_proxies() -> None:
    """Raises WrongUsage for a proxy that cannot be used. The SDK reads all of them, also those that
    it will not need."""
    for found in _variables().values():
        _proxy(*found)


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine, which no proxy can reach for us."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def direct() -> str:
    """A remark for a failed direct connection, if the environment names a proxy."""
    names = [variable for variable, _ in _variables().values()]
    return f" (this link does not use the proxy in {', '.join(names)})" if names else ""


def without_socks() -> str:
    """A remark for a failed connection of the S3 store, which uses HTTP proxies alone."""
    socks = [name for name, value in _variables().values() if value.startswith("socks")]
    names = ", ".join(socks)
    return f" (this link does not use the SOCKS proxy in {names})" if socks else ""


def _variables() -> dict[str, tuple[str, str]]:
    """For each kind of URL ("all": any), the variable that is set and its value. The spelling in
    small letters counts before the other, as in curl and Python."""
    found: dict[str, tuple[str, str]] = {}
    for scheme in ("http", "https", "all"):
        for variable in (f"{scheme}_proxy", f"{scheme.upper()}_PROXY"):
            value = os.environ.get(variable, "").strip()
            # a web server passes the header Proxy: of a stranger as HTTP_PROXY to a CGI program
            if value and not (variable == "HTTP_PROXY" and "REQUEST_METHOD" in os.environ):
                found.setdefault(scheme, (variable, value))
    return {} if "*" in _exceptions() else found


def _exceptions() -> list[str]:
    names = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    return [name.strip().lower() for name in names.split(",") if name.strip()]


def _is_excepted(host: str) -> bool:
    """Whether NO_PROXY names ``host`` or a domain above it; ``.example.com`` names only what is
    below it. As the SDK's HTTP client reads it."""
    names = _exceptions()
    below = any(host.endswith(f".{name.removeprefix('*').removeprefix('.')}") for name in names)
    return host in names or below


def _proxy(variable: str, value: str) -> Proxy:
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None:
        raise WrongUsage(f"{variable} is not the URL of a proxy: {USABLE}, or unset {variable}")
    if parts.scheme not in SCHEMES:
        raise WrongUsage(
            f"{variable} names a proxy of the kind {parts.scheme}, which is not supported:"
            f" {USABLE}, or unset {variable}"
        )
    usual = port or SCHEMES[parts.scheme]
    return Proxy(variable, f"{parts.scheme}://{host}:{usual}", host, usual)
