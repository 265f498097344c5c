"""webhooks: send a signed POST when a job has ended.

Reads: deliveries whose jobs have ended. Does: one POST for each. Writes: the outcome; a failed
delivery is due again after a backoff, until it is given up. May raise ServiceAway. Every process
with a reconciler runs it: a lease gives a delivery to one of them at a time.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from clients.webhooks import Answer, Messenger
from core.errors import OverstoryError
from core.outcomes import backoff_seconds
from models import deliveries, state
from models.deliveries import DeliveryWork
from models.reads import pipeline
from tasks.runtime.services import Services

log = structlog.get_logger()

TICK_SECONDS = 1.0
AT_ONCE = 4
LEASE_SECONDS = 120.0
"""Longer than AT_ONCE receivers can take one after another."""
BACKOFF_SECONDS = 5.0
BACKOFF_MAX_SECONDS = 6 * 3600.0


@dataclass(slots=True)
class Notifier:
    """Calls ``tick`` about once a second in its own thread, because receivers may be slow."""

    services: Services
    messenger: Messenger
    clock: Callable[[], float] = time.time

    def start(self) -> threading.Thread:
        """Run in a daemon thread, which ends when the services are stopping."""
        thread = threading.Thread(target=self.run, name="notifier", daemon=True)
        thread.start()
        return thread

    def run(self) -> None:
        """Tick until the services are stopping."""
        while not self.services.stopping.wait(TICK_SECONDS):
            try:
                self.tick()
            except OverstoryError as error:
                log.warning("notifier.waits", error=str(error))
            except Exception:  # one delivery that fails must not block the others
                log.exception("notifier.failed")

    def tick(self) -> int:
        """Send the deliveries that are due; returns how many there were."""
        with self.services.database.write() as connection:
            due = deliveries.claim(connection, LEASE_SECONDS, AT_ONCE)
        for work in due:
            answer = self._post(work)
            if answer is None:
                continue
            self._record(work, answer)
            log.info(
                "webhook.sent",
                job=work.job_id,
                attempt=work.attempts,
                status=answer.status,
                error=answer.error,
            )
        return len(due)

    def _post(self, work: DeliveryWork) -> Answer | None:
        """None if the job was reopened meanwhile: its next end has a delivery of its own."""
        body = self._body(work)
        if body is None:
            with self.services.database.write() as connection:
                deliveries.let_go(connection, work)
            return None
        at = datetime.fromtimestamp(self.clock(), UTC)
        return self.messenger.post(work.url, work.message_id, body, at)

    def _body(self, work: DeliveryWork) -> str | None:
        with self.services.database.read() as connection:
            job = pipeline.job(connection, work.job_id)
            counts = state.coverage(connection, work.job_id)
        if job is None or not job.status.ended or job.finished_at != work.event_at:
            return None
        ended = datetime.fromtimestamp(work.event_at, UTC)
        data = {
            "job": job.id,
            "key": job.key,
            "status": str(job.status),
            "reason": job.reason,
            "answer": job.answer,
            "coverage": {"submitted": job.submitted, **counts},
        }
        event = {"type": f"job.{job.status}", "timestamp": ended.isoformat(), "data": data}
        return json.dumps(event, ensure_ascii=False)

    def _record(self, work: DeliveryWork, answer: Answer) -> None:
        error = answer.error or ""
        with self.services.database.write() as connection:
            if answer.taken:
                deliveries.delivered(connection, work, answer.status or 0)
            elif answer.hopeless or work.attempts >= self.services.settings.webhook_attempts_max:
                deliveries.given_up(connection, work, error, answer.status)
            else:
                after = backoff_seconds(
                    work.attempts, self.services.draw(), BACKOFF_SECONDS, BACKOFF_MAX_SECONDS
                )
                deliveries.postponed(connection, work, after, error, answer.status)


def messenger_of(services: Services) -> Messenger | None:
    """None without a secret: nothing is sent unsigned."""
    secret = services.settings.webhook_secret
    if secret is None:
        return None
    return Messenger(secret.get_secret_value(), services.settings.webhook_hosts)


def notifier_of(services: Services) -> Notifier | None:
    """None without a secret."""
    messenger = messenger_of(services)
    return None if messenger is None else Notifier(services, messenger)
