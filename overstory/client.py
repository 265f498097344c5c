"""``overstory.Client``: jobs from another program, where this package is installed.

    with overstory.Client() as client:
        job = client.submit(["/inputs/receipts"], ask="What was bought?", key="receipts-2026-11")
        for event in client.events(job):
            print(event.name, event.position)
        print(client.result(job)["answer"])

It speaks to the service by message (to submit) and by SQL (for everything else), so it needs the
broker and the database: OVERSTORY_BROKER_URL and OVERSTORY_DATABASE_URL, or the OVERSTORY_HOME of
an ``overstory up``. Apps without this package use celery and SQL alone (examples/plain_celery_app).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from celery import Celery
from kombu.exceptions import OperationalError

from core.account.budget import is_spent
from core.errors import ServiceAway, WrongUsage
from core.jobs import JobSpec, parse_spec
from core.settings import Settings, load
from core.states import JobStatus
from models import new_job, state
from models.engine import Connection, Database
from models.reads import pipeline
from models.reads.pipeline import EventRow, JobRow
from models.state import Moved
from overstory.output.result import result as result_of
from overstory.schema_option import schema_of
from workers.endpoints import broker_url, database_url

SUBMIT = "overstory.submit"
SUBMIT_SECONDS = 60.0
POLL_FIRST_SECONDS = 0.05
POLL_MAX_SECONDS = 1.0
SEEN_BACK = 1_000
"""Events become visible when their transactions end, so a lower number may appear after a higher
one: so many numbers back are looked at again."""

Sleep = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Status:
    """Where a job stands: ``coverage`` counts its images, by what became of them."""

    job: str
    status: JobStatus
    reason: str | None
    coverage: dict[str, int]

    @property
    def ended(self) -> bool:
        return self.status.ended


class Client:
    """A service as another program sees it; threads may share it. ``close`` it, or use ``with``.

    Raises ServiceAway where the broker or the database does not answer, WrongUsage where what is
    asked for is wrong; both are in ``core.errors``.
    """

    def __init__(self, settings: Settings | None = None, sleep: Sleep = time.sleep) -> None:
        self._settings = settings or load()
        self._sleep = sleep
        self._database = Database(database_url(self._settings))
        url = broker_url(self._settings)
        # apps of its own: the caller's own Celery app stays the current one. Two, because an app
        # with a backend subscribes to each result it sends for, and hangs where there is no broker
        self._app = Celery("overstory-client", broker=url, set_as_current=False)
        self._app.conf.task_publish_retry = False
        self._results = Celery("overstory-results", backend=url, set_as_current=False)

    def submit(
        self,
        images: Sequence[str | Path],
        ask: str | None = None,
        *,
        each: str | None = None,
        schema: Any = None,
        key: str | None = None,
        seconds: float = SUBMIT_SECONDS,
        **options: Any,
    ) -> str:
        """Enqueue a job and return its id once it is planned. The same ``key`` is the same job.

        ``images`` are files, folders, globs and URLs as the workers see them; ``ask`` is asked of
        the set, ``each`` of every image (one of them at least), ``schema`` (a JSON Schema or a
        pydantic model) shapes the answers (docs/shape.md); ``options`` are the other fields of a
        submission (label, detail, model, webhook ...). Raises WrongUsage naming
        each wrong field, ServiceAway when no worker takes the job within ``seconds``; it stays
        queued then, and submitting with the same key finds it.
        """
        key = key or f"client-{secrets.token_hex(12)}"
        asked = {"ask": ask, "each": each, "schema": schema and schema_of(schema)}
        given = {name: value for name, value in asked.items() if value is not None}
        given |= {"images": [_placed(image) for image in images], "key": key, **options}
        spec = parse_spec(given)
        try:
            sent = self._app.send_task(
                SUBMIT,
                kwargs=spec.model_dump(mode="json", exclude_unset=True),
                kwargsrepr=_shown(spec),
                queue="submit",
            )
        except (OperationalError, OSError) as error:
            raise ServiceAway(f"the broker does not answer: {error}") from error
        for _ in self._polls(seconds):
            found = self._job_of(key)
            if found is not None:
                return found
            self._raise_if_refused(sent.id)
        raise ServiceAway(f"no worker took the job (key {key}) within {seconds:g} s")

    def status(self, job: str) -> Status:
        row = self._row(job)
        with self._database.read() as connection:
            counts = state.coverage(connection, job)
        return Status(job, row.status, row.reason, {"submitted": row.submitted, **counts})

    def wait(self, job: str, seconds: float | None = None) -> Status:
        """Where the job stands when it has ended, or is paused for its budget with nothing in
        flight. Raises TimeoutError after ``seconds``."""
        for _ in self._polls(seconds):
            with self._database.read() as connection:
                over = _over(connection, job)
            if over:
                return self.status(job)
        raise TimeoutError(f"job {job} has not ended within {seconds:g} s")

    def result(self, job: str) -> dict[str, Any]:
        """The object that ``overstory run --json`` prints, as far as the job has come."""
        return result_of(self._database, self._row(job))

    def cancel(self, job: str) -> bool:
        """End a job; what is not answered is skipped. False where it had ended before."""
        self._row(job)
        with self._database.write() as connection:
            return state.job_cancelled(connection, job, Moved())

    def events(self, job: str) -> Iterator[EventRow]:
        """What happens to the job, from its beginning to its end, as it happens; a job that is
        paused for its budget ends the stream, too."""
        self._row(job)
        seen: set[int] = set()
        highest = 0
        for _ in self._polls(None):
            with self._database.read() as connection:
                over = _over(connection, job)
                fresh = pipeline.events(connection, job, highest - SEEN_BACK)
            for event in fresh:
                if event.id not in seen:
                    yield event
            seen = {event.id for event in fresh}
            highest = max(seen, default=highest)
            if over:
                return

    def close(self) -> None:
        self._database.dispose()
        self._app.close()
        self._results.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _raise_if_refused(self, task: str) -> None:
        result = self._results.AsyncResult(task)
        try:
            refused = result.state == "FAILURE"
        except result.backend.connection_errors as error:
            raise ServiceAway(f"the broker does not answer: {error}") from error
        if refused:
            raise WrongUsage(str(result.result))

    def _row(self, job: str) -> JobRow:
        with self._database.read() as connection:
            row = pipeline.job(connection, job)
        if row is None:
            raise WrongUsage(f"there is no job {job!r}")
        return row

    def _job_of(self, key: str) -> str | None:
        with self._database.read() as connection:
            return new_job.job_of_key(connection, key)

    def _polls(self, seconds: float | None) -> Iterator[None]:
        """Turns to look, at once and then ever more rarely, until ``seconds`` have passed."""
        deadline = None if seconds is None else time.monotonic() + seconds
        pause = POLL_FIRST_SECONDS
        while True:
            yield
            if deadline is not None and time.monotonic() >= deadline:
                return
            self._sleep(pause)
            pause = min(pause * 1.5, POLL_MAX_SECONDS)


def _over(connection: Connection, job_id: str) -> bool:
    """Whether a job has ended, or stands still for its budget with nothing in flight."""
    status = pipeline.job_status(connection, job_id)
    if status != JobStatus.PAUSED:
        return status is None or status.ended
    row = pipeline.job(connection, job_id)
    spent = row is not None and is_spent(row.status, row.reason)
    return spent and not pipeline.at_work(connection, job_id)


def _placed(image: str | Path) -> str:
    """A path that does not depend on where the worker was started; URLs stay as they are."""
    text = str(image)
    return text if "://" in text else str(Path(text).absolute())


def _shown(spec: JobSpec) -> str:
    """What monitors show of the message: no question, no paths."""
    return str({"inputs": len(spec.images), "key": spec.key})
