"""Webhooks: one signed POST to a receiver that another app named.

Signed as Standard Webhooks has it (webhook-id, webhook-timestamp, webhook-signature). A name may
not lead into our own network unless the operator has named its host, and the connection goes to
the address that was checked, as for images that are fetched. Redirects are not followed.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus

from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook

from clients.download import check_address, parse, system_resolver
from core.errors import ImageRefused, WrongUsage

ANSWER_BYTES_MAX = 1_000
"""So much of an unwelcoming answer is kept for the person who looks why."""

Resolver = Callable[[str, int], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one POST: an HTTP status, or none and why."""

    status: int | None
    error: str | None

    @property
    def taken(self) -> bool:
        return (
            self.status is not None and HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES
        )

    @property
    def hopeless(self) -> bool:
        """The receiver wants to hear no more of it."""
        return self.status == HTTPStatus.GONE


@dataclass(frozen=True, slots=True)
class Messenger:
    """Signs and sends. ``secrets`` are whsec_ words; two, by a space, while one is replaced."""

    secrets: str
    hosts: tuple[str, ...] = ()
    timeout_seconds: float = 15.0
    resolve: Resolver = system_resolver

    def post(self, url: str, message_id: str, body: str, at: datetime) -> Answer:
        """Never raises for what the receiver or the network does."""
        try:
            return self._send(url, self.headers(message_id, body, at), body.encode())
        except ImageRefused as error:
            return Answer(None, error.reason)
        except (OSError, http.client.HTTPException, ValueError) as error:
            return Answer(None, " ".join(str(error).split()) or type(error).__name__)

    def headers(self, message_id: str, body: str, at: datetime) -> dict[str, str]:
        """Raises WrongUsage for a secret that is none."""
        try:
            signed = [
                Webhook(word).sign(msg_id=message_id, timestamp=at, data=body)
                for word in self.secrets.split()
            ]
        except (ValueError, RuntimeError, EmptyWebhookSecretError) as error:
            raise WrongUsage(
                f"OVERSTORY_WEBHOOK_SECRET is no whsec_ secret in base64: {error}"
            ) from None
        return {
            "Content-Type": "application/json",
            "User-Agent": "overstory",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.astimezone(UTC).timestamp())),
            "webhook-signature": " ".join(signed),
        }

    def _send(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
        hop = parse(url)
        with closing(self._connect(hop.scheme, hop.host, hop.port)) as connected:
            connection = http.client.HTTPConnection(hop.host, hop.port)
            connection.sock = connected
            connection.request("POST", hop.target, body, headers)
            reply = connection.getresponse()
            said = reply.read(ANSWER_BYTES_MAX).decode("utf-8", "replace")
        taken = HTTPStatus.OK <= reply.status < HTTPStatus.MULTIPLE_CHOICES
        error = None if taken else f"{reply.status} {reply.reason}: {said}".strip(": ")
        return Answer(reply.status, error)

    def _connect(self, scheme: str, host: str, port: int) -> socket.socket:
        addresses = self.resolve(host, port)
        if host not in self.hosts:
            for address in addresses:
                check_address(address, host)
        failure: OSError = OSError(f"{host} has no address")
        for address in addresses:
            try:
                raw = socket.create_connection((address, port), timeout=self.timeout_seconds)
            except OSError as error:
                failure = error
                continue
            return raw if scheme == "http" else _secured(raw, host)
        raise failure


def _secured(raw: socket.socket, host: str) -> socket.socket:
    try:
        return ssl.create_default_context().wrap_socket(raw, server_hostname=host)
    except BaseException:
        raw.close()
        raise
