"""The vision endpoint: can it be reached, does it take the key, the model, files; is it paid?

Everything here is a GET that costs nothing.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Collection
from difflib import get_close_matches
from urllib.parse import urlsplit

from core.catalog.models import MODELS, PROVIDERS, UNKNOWN_MODEL, currency_of
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
from overstory.doctor.context import Context
from overstory.doctor.finding import Finding, failed, ok, warning
from overstory.local.urls import masked

BASE_URL = "correct OVERSTORY_BASE_URL: the address before /chat/completions, most end in /v1"
NO_KEY = "set OVERSTORY_API_KEY for real answers"
LOOPBACK = re.compile(r"localhost|127\.[\d.]+|::1")
NAMES_SHOWN = 8


def endpoint(context: Context) -> Finding:
    """Somebody answers at the base URL, and speaks the API."""
    if not context.has_endpoint and context.settings.broker_url:
        return failed(
            "no key is set, and with a broker of your own no sandbox is started",
            "set OVERSTORY_API_KEY; or start `overstory sandbox`, OVERSTORY_BASE_URL as it prints",
        )
    if not context.has_endpoint:
        return warning("no key is set: the sandbox answers, and sees pixels but no meaning", NO_KEY)
    url = masked(context.reached.base_url)
    if isinstance(context.models, OverstoryError):
        return unreachable(context.models, url) or ok(f"{url} answers")
    if context.reached.endpoint == SANDBOX:
        return warning(f"no key is set: the sandbox at {url} answers", NO_KEY)
    if in_the_clear(context.settings):
        return warning(f"{url} answers, and the key goes there unencrypted", "use https://")
    return ok(f"{url} answers")


def unreachable(error: OverstoryError, url: str) -> Finding | None:
    """Why the endpoint is of no use; None when it answered and the key is the matter."""
    if isinstance(error, KeyRefused | AccountPaused | SlowDown):
        return None
    if isinstance(error, ProviderDown):
        return _down(error, url)
    if isinstance(error, ReplyUnusable):
        return failed(f"{url} is some web server, not the API: {error}", BASE_URL)
    if isinstance(error, RequestRefused) and error.status in (404, 405):
        return failed(f"{url} answers, but has no API at this path ({error.status})", BASE_URL)
    if isinstance(error, RequestRefused) and 300 <= error.status < 400:
        return failed(f"{url} redirects elsewhere, which is not followed with a key", BASE_URL)
    do = BASE_URL if isinstance(error, WrongUsage) else "ask the provider, or whoever runs it"
    return failed(f"{url}: {error}", do)


def _down(error: ProviderDown, url: str) -> Finding:
    """Nobody there, by what stands in the way."""
    if error.status is not None:
        return failed(f"{url} answers {error.status}: {error}", "wait: the service is down")
    if "CERTIFICATE_VERIFY_FAILED" in error.message:
        return failed(
            f"{url} shows a certificate that is not trusted here",
            "where a proxy re-signs traffic, set SSL_CERT_FILE to its CA; check the clock",
        )
    parts = urlsplit(url)
    if not resolves(parts.hostname or ""):
        return failed(
            f"the name {parts.hostname} is not known here (DNS)",
            "check OVERSTORY_BASE_URL for a typing error, the network, and HTTPS_PROXY",
        )
    return failed(
        f"nobody answers at {url}: {error}",
        "check that the server runs, the port, the firewall, and HTTPS_PROXY",
    )


def resolves(host: str) -> bool:
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return False
    return True


def in_the_clear(settings: Settings) -> bool:
    """Whether a key would go over a network without TLS."""
    parts = urlsplit(settings.base_url)
    remote = parts.scheme == "http" and not LOOPBACK.fullmatch(parts.hostname or "")
    return remote and settings.api_key is not None


def key(context: Context) -> Finding | None:
    """The endpoint takes the key."""
    if not context.has_endpoint or context.reached.endpoint == SANDBOX:
        return None
    has_key = context.settings.api_key is not None
    return key_finding(context.models, has_key, currency_of(context.settings.base_url))


def key_finding(answer: list[str] | OverstoryError, has_key: bool, currency: str) -> Finding | None:
    """What the answer to a GET of the models says about the key; None when it says nothing."""
    if isinstance(answer, KeyRefused) and not has_key:
        return failed("none is set, and the endpoint wants one (401)", "set OVERSTORY_API_KEY")
    if isinstance(answer, KeyRefused):
        region = {"USD": "a .com key is refused at .ai", "CNY": "a .ai key is refused at .com"}
        return failed(
            str(answer),
            f"paste it anew, and check OVERSTORY_BASE_URL: {region[currency]}",
        )
    if isinstance(answer, AccountPaused):
        return failed(f"the key is known, and its account is empty (402): {answer}", "top it up")
    if isinstance(answer, SlowDown):
        return ok(f"accepted; the account is at its limit now: {answer}")
    if isinstance(answer, OverstoryError):
        return None
    return ok("accepted" if has_key else "none is set, and the endpoint wants none")


def model(context: Context) -> Finding | None:
    """The endpoint has the model, and it takes images."""
    if not context.has_endpoint or isinstance(context.models, OverstoryError):
        return None
    return model_finding(context.settings, context.models)


def model_finding(settings: Settings, listed: Collection[str]) -> Finding:
    """What is known of the configured model, at an endpoint that lists ``listed``."""
    name = settings.model
    if listed and name not in listed:
        near = get_close_matches(name, listed, n=NAMES_SHOWN, cutoff=0.5)
        some = near or sorted(listed)[:NAMES_SHOWN]
        return failed(
            f"{name} is not among the {len(listed)} models of the endpoint",
            f"set OVERSTORY_MODEL to one that takes images: {', '.join(some)}",
        )
    if name in MODELS:
        facts = MODELS[name]
        return ok(
            f"{name}: {facts.images_per_request} images a request, {facts.context_tokens:,} tokens"
        )
    if settings.provider == "stepfun":
        known = ", ".join(MODELS)
        return warning(f"{name} is not known to take images", f"set OVERSTORY_MODEL: {known}")
    if settings.context_tokens and settings.images_per_request:
        return ok(f"{name}, with the limits that are set; that it takes images is not checked")
    return warning(
        f"no facts about {name}: {UNKNOWN_MODEL.images_per_request} images a request and"
        f" {UNKNOWN_MODEL.context_tokens:,} tokens of context are assumed",
        "set OVERSTORY_IMAGES_PER_REQUEST and OVERSTORY_CONTEXT_TOKENS; it must take images",
    )


def files(context: Context) -> Finding | None:
    """The provider's file store is there and has room."""
    if not _usable(context) or not PROVIDERS[context.settings.provider].file_store:
        return None
    most = context.settings.files_max
    try:
        stored = len(context.provider.files())
    except RequestRefused as error:
        return failed(
            f"no file store at this endpoint ({error.status})",
            "set OVERSTORY_PROVIDER=openai: images then go inside the requests",
        )
    except OverstoryError as error:
        return warning(f"the file store does not answer: {error}", "try again in a minute")
    if stored >= most:
        return warning(
            f"{stored:,} of {most:,} files are stored: there is room only for what jobs give back",
            "delete files that Overstory did not upload, at the provider",
        )
    return ok(f"{stored:,} of {most:,} are stored")


def balance(context: Context) -> Finding | None:
    """The account has something left."""
    if not _usable(context) or context.reached.endpoint == SANDBOX:
        return None
    try:
        left = context.provider.balance()
    except AccountPaused as error:
        return failed(f"the account is empty: {error}", "top it up: paused work goes on by itself")
    except OverstoryError as error:
        return warning(f"not known: {error}", "try again in a minute")
    return balance_finding(left, currency_of(context.settings.base_url))


def balance_finding(left: float | None, currency: str) -> Finding:
    if left is None:
        return ok("the endpoint does not tell")
    if left <= 0:
        return warning(
            f"{left:,.2f} {currency} left: calls are refused unless it is billed afterwards",
            "top it up: paused work goes on by itself",
        )
    return ok(f"{left:,.2f} {currency} left")


def _usable(context: Context) -> bool:
    return context.has_endpoint and not isinstance(context.models, OverstoryError)
