"""webhooks: send a signed POST when a job has ended.

Reads: deliveries whose jobs have ended. Does: one POST for each. Writes: the outcome; a failed
delivery is due again after a backoff, until it is given up. May raise ServiceAway. Every process
with a reconciler runs it: a lease gives a delivery to one of them at a time.

Each delivery has a thread of its own and each receiving host a few, so a receiver that answers
slowly, or never, delays nobody else.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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
AT_ONCE = 32
"""Deliveries under way in one process. Their threads mostly wait."""
AT_ONCE_A_HOST = 2
DUE_MAX = 50_000
"""Deliveries that are looked at to find AT_ONCE of them for different hosts."""
LEASE_SECONDS = 60.0
"""Longer than a receiver can take."""
BACKOFF_SECONDS = 5.0
BACKOFF_MAX_SECONDS = 6 * 3600.0


@dataclass(slots=True)
class Notifier:
    """Calls ``tick`` about once a second in its own thread."""

    services: Services
    messenger: Messenger
    clock: Callable[[], float] = time.time
    _hosts: Counter[str] = field(default_factory=Counter)
    """How many deliveries are under way, by the host that receives them."""
    _changed: threading.Condition = field(default_factory=threading.Condition)

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
            except Exception:  # a fault now must not end all later deliveries
                log.exception("notifier.failed")
        self.finish()

    def tick(self) -> int:
        """Begin the deliveries that are due; returns how many there were."""
        with self.services.database.read() as connection:
            due = deliveries.due(connection, DUE_MAX)
        chosen = self._chosen(due)
        if not chosen:
            return 0
        with self.services.database.write() as connection:
            claimed = deliveries.claim(connection, chosen, LEASE_SECONDS)
        for work in claimed:
            with self._changed:
                self._hosts[host_of(work.url)] += 1
            name = f"webhook {work.id}"
            threading.Thread(target=self._deliver, args=[work], name=name, daemon=True).start()
        return len(claimed)

    def finish(self) -> None:
        """Wait for the deliveries under way, which end within the messenger's time limit."""
        with self._changed:
            self._changed.wait_for(lambda: not self._hosts.total(), self.messenger.timeout_seconds)

    def _chosen(self, due: Sequence[tuple[int, str]]) -> list[int]:
        """Ids of the deliveries to begin now: no host gets more than its share."""
        with self._changed:
            hosts = self._hosts.copy()
        chosen = []
        for id_, url in due:
            if hosts.total() >= AT_ONCE:
                break
            host = host_of(url)
            if hosts[host] < AT_ONCE_A_HOST:
                hosts[host] += 1
                chosen.append(id_)
        return chosen

    def _deliver(self, work: DeliveryWork) -> None:
        try:
            answer = self._post(work)
            if answer is None:
                return
            self._record(work, answer)
            log.info(
                "webhook.sent",
                job=work.job_id,
                attempt=work.attempts,
                status=answer.status,
                error=answer.error,
            )
        except OverstoryError as error:  # its lease expires, and it is due again
            log.warning("notifier.waits", error=str(error))
        except Exception:
            log.exception("notifier.failed")
        finally:
            with self._changed:
                self._hosts[host_of(work.url)] -= 1
                self._changed.notify_all()

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


def host_of(url: str) -> str:
    """The host of a URL, as far as it can be read; the same for both ways to write its letters."""
    try:
        return urllib.parse.urlsplit(url).hostname or ""
    except ValueError:
        return ""


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
