"""Checks of the vision endpoint: URL, key, model, file store and balance.

All requests are GETs and cost nothing.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Collection
from difflib import get_close_matches
from urllib.parse import urlsplit

from clients.provider.reach import takes_connections
from clients.proxies import proxy_for
from core.catalog.facts import USUAL_IMAGES, shipped
from core.catalog.image_tokens import image_tokens_of
from core.catalog.models import currency_of
from core.errors import (
    AccountPaused,
    KeyRefused,
    OverstoryError,
    ProviderDown,
    ReplyUnusable,
    RequestRefused,
    SlowDown,
    WrongUsage,
)
from core.settings import SANDBOX, Settings
from models import endpoint_limits, ledger
from overstory.doctor.context import Context
from overstory.doctor.finding import Finding, failed, ok, warning
from overstory.local.urls import masked
from overstory.output.plural import pluralize

BASE_URL = "correct OVERSTORY_BASE_URL: the part before /chat/completions, which often ends in /v1"
NO_KEY = "set OVERSTORY_API_KEY for real answers"
LOOPBACK = re.compile(r"localhost|127\.[\d.]+|::1")
OWN_NAMES = (".localhost", ".local", ".internal", ".lan", ".home.arpa")
"""Endings of names that only a private network has (RFC 6761, 6762 and 8375, and common use)."""
TOP_UP = "top it up: paused work then continues by itself"
OLD_PRICES = "compare them with the provider's page, and set OVERSTORY_PRICES or update Overstory"
NAMES_SHOWN = 8


def endpoint(context: Context) -> Finding:
    """The base URL answers and offers the API."""
    if not context.has_endpoint and context.settings.broker_url:
        return failed(
            "no key is set; with OVERSTORY_BROKER_URL set, no sandbox is started",
            "set OVERSTORY_API_KEY, or start `overstory sandbox` and set OVERSTORY_BASE_URL to the"
            " URL it prints",
        )
    if not context.has_endpoint:
        return warning("no key is set: the sandbox answers, from pixel statistics alone", NO_KEY)
    url = masked(context.reached.base_url)
    try:
        proxy = proxy_for(context.reached.base_url)
    except WrongUsage as error:
        says, _, do = str(error).partition(": ")
        return failed(says, do)
    if proxy is not None and not takes_connections(proxy.host, proxy.port):
        return failed(
            f"the proxy {proxy.shown} in {proxy.variable} does not answer",
            f"start it, unset {proxy.variable}, or name the host of OVERSTORY_BASE_URL in NO_PROXY",
        )
    if isinstance(context.models, OverstoryError):
        return unreachable(context.models, url) or ok(f"{url} answers")
    if context.reached.endpoint == SANDBOX:
        return warning(f"no key is set: the sandbox at {url} answers", NO_KEY)
    if in_the_clear(context.settings):
        return warning(f"{url} answers, but the key is sent unencrypted", "use https://")
    return ok(f"{url} answers")


def unreachable(error: OverstoryError, url: str) -> Finding | None:
    """Why the endpoint cannot be used; None if it answered, even if it refused the key."""
    if isinstance(error, KeyRefused | AccountPaused | SlowDown):
        return None
    if isinstance(error, ProviderDown):
        return _down(error, url)
    if isinstance(error, ReplyUnusable):
        return failed(f"{url} is a web server without the API: {error}", BASE_URL)
    if isinstance(error, RequestRefused) and error.status in (404, 405):
        return failed(f"{url} answers, but there is no API at this path ({error.status})", BASE_URL)
    if isinstance(error, RequestRefused) and 300 <= error.status < 400:
        return failed(f"{url} redirects, and redirects are not followed with a key", BASE_URL)
    do = BASE_URL if isinstance(error, WrongUsage) else "ask the provider or the operator"
    return failed(f"{url}: {error}", do)


def _down(error: ProviderDown, url: str) -> Finding:
    """Why the endpoint does not answer: an outage, TLS, DNS or the network."""
    if error.status is not None:
        return failed(f"{url} answers {error.status}: {error}", "wait: the service has an outage")
    if "CERTIFICATE_VERIFY_FAILED" in error.message:
        return failed(
            f"{url} has a certificate that is not trusted on this machine",
            "behind a proxy that re-signs traffic, set SSL_CERT_FILE to its CA; check the clock",
        )
    parts = urlsplit(url)
    if not resolves(parts.hostname or ""):
        return failed(
            f"the host name {parts.hostname} is unknown (DNS)",
            "check OVERSTORY_BASE_URL for typing errors, the network and HTTPS_PROXY",
        )
    return failed(
        f"{url} does not answer: {error}",
        "check the server, the port, the firewall and HTTPS_PROXY",
    )


def resolves(host: str) -> bool:
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return False
    return True


def in_the_clear(settings: Settings) -> bool:
    """Whether a key would be sent over a network without TLS."""
    parts = urlsplit(settings.base_url)
    remote = parts.scheme == "http" and not LOOPBACK.fullmatch(parts.hostname or "")
    return remote and settings.api_key is not None


def key(context: Context) -> Finding | None:
    """The endpoint accepts the key."""
    if not context.has_endpoint or context.reached.endpoint == SANDBOX:
        return None
    has_key = context.settings.api_key is not None
    return key_finding(context.models, has_key, currency_of(context.settings.base_url))


def key_finding(answer: list[str] | OverstoryError, has_key: bool, currency: str) -> Finding | None:
    """What the response to a GET of the models says about the key; None if nothing."""
    if isinstance(answer, KeyRefused) and not has_key:
        return failed("no key is set, but the endpoint requires one (401)", "set OVERSTORY_API_KEY")
    if isinstance(answer, KeyRefused):
        region = {"USD": "a .com key fails at .ai", "CNY": "a .ai key fails at .com"}
        return failed(
            str(answer),
            f"copy the key again, and check OVERSTORY_BASE_URL: {region[currency]}",
        )
    if isinstance(answer, AccountPaused):
        return failed(f"the key is valid, but its account is empty (402): {answer}", "top it up")
    if isinstance(answer, SlowDown):
        return ok(f"accepted; the account is at its limit now: {answer}")
    if isinstance(answer, OverstoryError):
        return None
    return ok("accepted" if has_key else "no key is set, and the endpoint requires none")


def model(context: Context) -> Finding | None:
    """The endpoint offers the model, and the model accepts images."""
    if not context.has_endpoint or isinstance(context.models, OverstoryError):
        return None
    return model_finding(context.settings, context.models)


def model_finding(settings: Settings, listed: Collection[str]) -> Finding:
    """The configured model, at an endpoint that lists the models ``listed``."""
    name = settings.model
    if len(listed) == 1 and name not in listed and "model" not in settings.model_fields_set:
        return ok(f"none is named, so {next(iter(listed))} answers, the only one of the endpoint")
    if listed and name not in listed:
        near = get_close_matches(name, listed, n=NAMES_SHOWN, cutoff=0.5)
        some = near or sorted(listed)[:NAMES_SHOWN]
        return failed(
            f"{name} is not among the {len(listed)} models of the endpoint",
            f"set OVERSTORY_MODEL to one that accepts images: {', '.join(some)}",
        )
    facts = settings.facts_of(name)
    if facts.entry is not None:
        images = f"{min(facts.images, USUAL_IMAGES):,} images a request"
        if facts.images > USUAL_IMAGES:
            images += f" ({facts.images:,} by --pack)"
        limits = f"{name}: {images}, {facts.context_tokens:,} tokens"
        note = [facts.entry.note] if facts.entry.note else []
        return ok(f"{limits}, images counted {image_tokens_of(facts).source}", *note)
    if settings.provider == "stepfun":
        known = ", ".join(entry.names[0] for entry in shipped() if entry.owner == "StepFun")
        return warning(f"{name} is not known to accept images", f"set OVERSTORY_MODEL: {known}")
    if settings.context_tokens and settings.images_per_request:
        return ok(f"{name}, with the limits from the settings; accepting images is not checked")
    return warning(
        f"{name} is not a known model: {facts.images} images a request and"
        f" {facts.context_tokens:,} tokens of context are assumed",
        "set OVERSTORY_IMAGES_PER_REQUEST and OVERSTORY_CONTEXT_TOKENS; it must accept images",
    )


def prices(context: Context) -> Finding | None:
    """What the model costs, where that is known from, and whether it is old."""
    if not context.has_endpoint:
        return None
    settings = context.reached
    known = settings.find_price(settings.model)
    if known is None:
        says = f"no price of {settings.model} is known: sums say 0.00 and a budget is refused"
        if is_own_server(settings.base_url):
            return ok(
                says, "right for a server of your own; for a paid gateway set OVERSTORY_PRICES"
            )
        return warning(says, "set OVERSTORY_PRICES, or ignore this if nobody bills you")
    price = known.price
    says = (
        f"{price.prompt:g} {price.currency} a million tokens read, {price.cached:g} from the cache,"
        f" {price.completion:g} written ({known.source})"
    )
    if settings.price_is_old(known):
        return warning(f"{says}: older than {settings.prices_days} days", OLD_PRICES)
    return ok(says)


def is_own_server(url: str) -> bool:
    """Whether the host of a URL is this machine or in a private network, by its address or name."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith(OWN_NAMES)


def learned_limits(context: Context) -> Finding | None:
    """What refusals and usage have shown that one request may hold; None if nothing has."""
    try:
        with context.database.read() as connection:
            limits = endpoint_limits.listed(connection, context.settings.endpoint)
    except OverstoryError:
        return None  # the check of the database says it
    if not limits:
        return None
    count = pluralize(len(limits), "limit")
    details = [limit.sentence for limit in limits]
    return ok(f"{count} of one request learned; 'overstory doctor --forget' forgets them", *details)


def usage(context: Context) -> Finding | None:
    """Replies say how many tokens they took; None if there was no reply yet."""
    settings = context.settings
    try:
        with context.database.read() as connection:
            reports = ledger.reports_usage(connection, settings.endpoint, settings.model)
    except OverstoryError:
        return None  # the check of the database says it
    if reports is None:
        return None
    if reports:
        return ok("replies report their tokens, so a model that is shown too little is found out")
    return warning(
        "replies report no tokens: whether the model sees an image is judged by its lines alone",
        "--canary proves it; tokens and costs are estimates",
    )


def files(context: Context) -> Finding | None:
    """The provider's file store exists and has room."""
    settings = context.settings
    if not _usable(context) or not settings.uses_file_store:
        return None
    most = settings.files_max
    try:
        stored = len(context.provider.files())
    except RequestRefused as error:
        return failed(
            f"this endpoint has no file store ({error.status})",
            "set OVERSTORY_STORE=never: images are then sent inside the requests",
        )
    except OverstoryError as error:
        return warning(f"the file store does not answer: {error}", "try again in a minute")
    if stored >= most:
        waits = "uploads wait for deletions"
        then = waits if settings.waits_for_room else "images travel inside their requests"
        return warning(
            f"the file store is full ({stored:,} of {most:,} files): {then}",
            "at the provider, delete files that Overstory did not upload",
        )
    return ok(f"{stored:,} of {most:,} files are stored")


def balance(context: Context) -> Finding | None:
    """The account has money left."""
    if not _usable(context) or context.reached.endpoint == SANDBOX:
        return None
    try:
        left = context.provider.balance()
    except AccountPaused as error:
        return failed(f"the account is empty: {error}", TOP_UP)
    except OverstoryError as error:
        return warning(f"unknown: {error}", "try again in a minute")
    return balance_finding(left, currency_of(context.settings.base_url))


def balance_finding(left: float | None, currency: str) -> Finding:
    if left is None:
        return ok("the endpoint does not report it")
    if left <= 0:
        return warning(
            f"{left:,.2f} {currency} left: requests are refused unless the account is billed later",
            TOP_UP,
        )
    return ok(f"{left:,.2f} {currency} left")


def _usable(context: Context) -> bool:
    return context.has_endpoint and not isinstance(context.models, OverstoryError)
