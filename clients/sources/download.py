"""Downloads an image or a document by URL, through ``clients.guarded_http``."""

from __future__ import annotations

import hashlib
import http.client
import os
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from clients import guarded_http
from clients.guarded_http import Clock, Deadline, Resolver, system_resolver
from clients.proxies import direct
from core.errors import ImageRefused, RefusalCode
from core.images.formats import PAGED, SNIFF_BYTES, known_as, sniff
from core.text.printable import one_line

CHUNK = 1 << 16
FIRST_SECONDS = 10.0
"""How long the first bytes of what may be a document may take."""
REDIRECTS = (301, 302, 303, 307, 308)
HEADERS = {"Accept": "image/*, application/pdf;q=0.9, */*;q=0.1", "Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True)
class FetchRules:
    """What may be fetched. ``allow_hosts`` empty: any public host; an entry covers subdomains.

    ``timeout_seconds`` covers all redirects together; ``allow_private`` is for tests.
    """

    allow_hosts: tuple[str, ...] = ()
    timeout_seconds: float = 60.0
    max_bytes: int = 512_000_000
    max_redirects: int = 5
    allow_private: bool = False


def fetch(
    url: str,
    *,
    into: Path,
    rules: FetchRules,
    resolve: Resolver = system_resolver,
    clock: Clock = time.monotonic,
) -> Path:
    """Download one image into a new file in the folder ``into``, and return its path.

    Raises ImageRefused: URL_REFUSED (scheme, host, address), URL_FAILED, TOO_LARGE_FILE,
    NOT_AN_IMAGE.
    """
    deadline = Deadline(rules.timeout_seconds, clock)
    return _fetched(url, into, rules, resolve, deadline, _check_image)


def fetch_document(
    url: str,
    *,
    into: Path,
    rules: FetchRules,
    resolve: Resolver = system_resolver,
    clock: Clock = time.monotonic,
) -> Path | None:
    """Like ``fetch``, if the first bytes are those of a document. If not, None: nothing more is
    read. A server that sends nothing is left after FIRST_SECONDS. Raises ImageRefused."""
    deadline = Deadline(min(FIRST_SECONDS, rules.timeout_seconds), clock)

    def accept(head: bytes) -> None:
        if sniff(head) not in PAGED:
            raise _NoDocument
        deadline.restart(rules.timeout_seconds)

    try:
        return _fetched(url, into, rules, resolve, deadline, accept)
    except _NoDocument:
        return None


def fetch_file(
    url: str,
    *,
    into: Path,
    rules: FetchRules,
    resolve: Resolver = system_resolver,
    clock: Clock = time.monotonic,
) -> Path:
    """Like ``fetch``, whatever the content is. Raises ImageRefused, but not NOT_AN_IMAGE."""
    deadline = Deadline(rules.timeout_seconds, clock)
    return _fetched(url, into, rules, resolve, deadline, lambda head: None)


def file_name(url: str) -> str:
    """The name of the file that a URL is downloaded to."""
    return hashlib.sha256(url.encode(errors="replace")).hexdigest()


class _NoDocument(Exception):
    """The first bytes are not those of a document."""


Accept = Callable[[bytes], None]
"""Raises something if the first bytes are not those of what is wanted."""


def _fetched(
    url: str, into: Path, rules: FetchRules, resolve: Resolver, deadline: Deadline, accept: Accept
) -> Path:
    file = into / file_name(url)
    try:
        return _follow(url, file, rules, resolve, deadline, accept)
    except (ImageRefused, _NoDocument):
        raise
    except TimeoutError:
        raise _failed(f"it took longer than {rules.timeout_seconds:g} s{direct()}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise _failed(f"{reason}{direct()}") from None


def _follow(
    url: str, file: Path, rules: FetchRules, resolve: Resolver, deadline: Deadline, accept: Accept
) -> Path:
    """Follow redirects and check each address."""
    for _ in range(rules.max_redirects + 1):
        target = guarded_http.parse(url, rules.allow_hosts)
        with guarded_http.request(
            "GET", target, HEADERS, deadline, resolve=resolve, may_be_private=rules.allow_private
        ) as response:
            if response.status not in REDIRECTS:
                return _save(response, file, rules, accept)
            url = urllib.parse.urljoin(url, response.getheader("Location") or "")
    raise _failed(f"it redirects more than {rules.max_redirects} times")


def _save(
    response: http.client.HTTPResponse, file: Path, rules: FetchRules, accept: Accept
) -> Path:
    if response.status != HTTPStatus.OK:
        raise _failed(f"the server answered {response.status} {response.reason}")
    if response.length is not None and response.length > rules.max_bytes:
        raise _too_large(rules)
    head = response.read(SNIFF_BYTES)
    accept(head)
    partial = file.with_name(f"{file.name}.{os.urandom(4).hex()}")
    try:
        _stream(response, head, partial, rules)
        return partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def _check_image(head: bytes) -> None:
    if sniff(head) is None:
        what = known_as(head)
        reason = f"the URL leads to {what}" if what else "the content of the URL"
        reason += ", not to an image" if what else " is not an image format we read"
        raise ImageRefused(RefusalCode.NOT_AN_IMAGE, reason)


def _stream(
    response: http.client.HTTPResponse, head: bytes, partial: Path, rules: FetchRules
) -> None:
    size = 0
    with partial.open("xb") as file:
        chunk = head
        while chunk:
            size += file.write(chunk)
            if size > rules.max_bytes:
                raise _too_large(rules)
            chunk = response.read(CHUNK)
    if response.length:
        raise _failed(f"the download ended {response.length} bytes early")


def _too_large(rules: FetchRules) -> ImageRefused:
    return ImageRefused(
        RefusalCode.TOO_LARGE_FILE,
        f"the download has more than {rules.max_bytes} bytes (OVERSTORY_MAX_FILE_BYTES)",
    )


def _failed(reason: str) -> ImageRefused:
    return ImageRefused(RefusalCode.URL_FAILED, f"the download failed: {one_line(reason)}")
