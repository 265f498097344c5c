"""Webhooks: one signed POST to a URL that another application gave us.

It is signed by the Standard Webhooks specification (webhook-id, webhook-timestamp,
webhook-signature). A host may be in our own network only if the operator lists it in
OVERSTORY_WEBHOOK_HOSTS. Redirects are not followed.
"""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus

from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook

from clients import guarded_http
from clients.guarded_http import Deadline, Resolver, system_resolver
from clients.proxies import direct
from core.errors import ImageRefused, WrongUsage
from core.text.printable import one_line

ANSWER_BYTES_MAX = 1_000
"""How much of an error answer is kept, for the person who looks into the failure."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of one POST: an HTTP status, or None and the error."""

    status: int | None
    error: str | None

    @property
    def taken(self) -> bool:
        return (
            self.status is not None and HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES
        )

    @property
    def hopeless(self) -> bool:
        """The receiver answered 410: it wants no further deliveries."""
        return self.status == HTTPStatus.GONE


@dataclass(frozen=True, slots=True)
class Messenger:
    """Signs and sends. ``secrets``: a whsec_ secret; two, separated by a space, during rotation."""

    secrets: str
    hosts: tuple[str, ...] = ()
    timeout_seconds: float = 15.0
    resolve: Resolver = system_resolver

    def post(self, url: str, message_id: str, body: str, at: datetime) -> Answer:
        """Never raises for a failure of the receiver or the network."""
        try:
            return self._send(url, self.headers(message_id, body, at), body.encode())
        except ImageRefused as error:
            return Answer(None, error.reason)
        except TimeoutError:
            return Answer(None, f"it took longer than {self.timeout_seconds:g} s{direct()}")
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = one_line(str(error)) or type(error).__name__
            return Answer(None, f"{reason}{direct()}")

    def headers(self, message_id: str, body: str, at: datetime) -> dict[str, str]:
        """The headers with the signatures. Raises WrongUsage for an invalid secret."""
        try:
            signatures = [
                Webhook(secret).sign(msg_id=message_id, timestamp=at, data=body)
                for secret in self.secrets.split()
            ]
        except (ValueError, RuntimeError, EmptyWebhookSecretError) as error:
            raise WrongUsage(
                f"OVERSTORY_WEBHOOK_SECRET is not a whsec_ secret in base64: {error}"
            ) from None
        return {
            "Content-Type": "application/json",
            "User-Agent": "overstory",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.astimezone(UTC).timestamp())),
            "webhook-signature": " ".join(signatures),
        }

    def _send(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
        target = guarded_http.parse(url)
        with guarded_http.request(
            "POST",
            target,
            headers,
            Deadline(self.timeout_seconds),
            body=body,
            resolve=self.resolve,
            may_be_private=target.host in self.hosts,
        ) as reply:
            text = reply.read(ANSWER_BYTES_MAX).decode("utf-8", "replace")
        taken = HTTPStatus.OK <= reply.status < HTTPStatus.MULTIPLE_CHOICES
        error = None if taken else one_line(f"{reply.status} {reply.reason}: {text}".strip(": "))
        return Answer(reply.status, error)
