"""``overstory.Client``: submit jobs and read their results from another Python program.

It submits by message and does everything else by SQL. So it needs the broker and the database:
OVERSTORY_BROKER_URL and OVERSTORY_DATABASE_URL, or the OVERSTORY_HOME of an ``overstory up``. Apps
without this package use only celery and SQL (examples/plain_celery_app).
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

from clients.redis import REDIS_ERRORS, unavailable
from core.errors import ServiceAway, WrongUsage
from core.jobs import JobSpec, parse_spec
from core.settings import Settings
from core.settings import load as load_settings
from core.stages import SUBMIT
from core.states import JobStatus
from models import new_job, state
from models.engine import Database
from models.reads import pipeline
from models.reads.pipeline import EventRow as Event
from models.reads.pipeline import JobRow
from models.reads.standings import job_is_over
from models.state import Moved
from overstory.output.result import result as result_of
from overstory.schema_option import schema_of
from workers.endpoints import celery_connection, database_url

SUBMIT_SECONDS = 60.0
POLL_FIRST_SECONDS = 0.05
POLL_MAX_SECONDS = 1.0
SEEN_BACK = 1_000
"""An event is visible when its transaction ends, so a lower id may appear after a higher one. Each
read covers this many ids before the highest one seen."""

__all__ = ["Client", "Event", "Status", "load_settings"]
Sleep = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a job.

    ``job``: its id. ``status``: running, paused, completed, partial, failed or cancelled.
    ``reason``: why it is paused or failed, else None. ``coverage``: number of images by status,
    and ``submitted`` for all of them.
    """

    job: str
    status: JobStatus
    reason: str | None
    coverage: dict[str, int]

    @property
    def ended(self) -> bool:
        """Whether the job is completed, partial, failed or cancelled."""
        return self.status.ended


class Client:
    """A connection to a running service. Threads may share it. ``close`` it, or use ``with``.

    Every method may raise ServiceAway: the database does not answer.

    Args:
        settings (Settings): Default: from the environment, as ``load_settings()`` reads it.
        sleep (callable): Called with the seconds between two checks. Default: ``time.sleep``.

    Raises:
        WrongUsage: A setting is wrong.
        ServiceAway: The state folder cannot be read.

    Example:
        >>> with overstory.Client() as client:
        ...     job = client.submit(["/inputs/receipts"], ask="What was bought?")
        ...     client.wait(job).status
        <JobStatus.COMPLETED: 'completed'>
    """

    def __init__(self, settings: Settings | None = None, sleep: Sleep = time.sleep) -> None:
        self._settings = settings or load_settings()
        self._sleep = sleep
        self._database = Database(database_url(self._settings))
        connection = celery_connection(self._settings)
        # not current: the caller's own Celery app stays the current one. Two apps, because one with
        # a backend subscribes to the result of each message it sends, and hangs without a broker
        self._app = Celery("overstory-client", set_as_current=False)
        self._app.conf.update(connection, result_backend=None, task_publish_retry=False)
        self._results = Celery("overstory-results", set_as_current=False)
        self._results.conf.update(connection)

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
        """Enqueue a job and return its id as soon as it is planned.

        Args:
            images (list of str or Path): Files, folders, globs and URLs, as the workers see them.
                At least one. Paths must be inside the service's ``OVERSTORY_INPUT_ROOTS``. A
                relative path is made absolute here.
            ask (str): The question about the whole set. Give ``ask``, ``each`` or both. Default:
                None.
            each (str): The question about every single image. Default: None.
            schema (dict or pydantic model): JSON Schema of the answers (docs/shape.md). Default:
                None, free text.
            key (str): Name of the job, 1 to 255 characters: the same key returns the same job, and
                is refused with another question or other images. Default: a random one.
            seconds (float): How long to wait for a worker to plan the job. Default: 60.
            **options: Further fields of a submission:
                label (str), detail ("low", "high" or "auto"), model (str), second_model (str: asked
                again about unclear images), second_look (float, above 0 to 1: share of the images
                looked at twice, at most), pack (int: images a request at most), weight (float,
                default 1: share of the account against other jobs), budget (float: most it may
                cost, in the currency of the prices), min_coverage (float, 0 to 1), fail_fast,
                fresh, fetch, keep_files, bare, canary (bool, default False), prompts (dict),
                webhook (URL), by ("folder", "document", "date" or a column: each is asked of every
                unit), image_column (str), with_ (list of str), similar (bool).

        Returns:
            The job's id.

        Raises:
            WrongUsage: Names each wrong field, or says why the service refused the job.
            ServiceAway: The broker does not answer, or no worker took the job within ``seconds``.
                In the second case it stays queued: submit the same ``key`` to get its id.

        Example:
            >>> client.submit(["/inputs/receipts"], ask="What was bought?", key="receipts-2026-11")
            '3f2a9c0d51e7'
        """
        given_key = key is not None
        key = key or f"client-{secrets.token_hex(12)}"
        fields = {"ask": ask, "each": each, "schema": schema and schema_of(schema)}
        fields = {name: value for name, value in fields.items() if value is not None}
        fields |= {"images": [_absolute(image) for image in images], "key": key, **options}
        spec = parse_spec(fields)
        try:
            sent = self._app.send_task(
                SUBMIT.task,
                kwargs=spec.model_dump(mode="json", exclude_unset=True),
                kwargsrepr=_summary(spec),
                queue=SUBMIT.name,
            )
        except (OperationalError, OSError, *REDIS_ERRORS) as error:
            raise ServiceAway(str(unavailable(error, "the broker"))) from error
        for _ in self._polls(seconds):
            job = self._result_of(sent.id)
            if job is None and not given_key:  # a job with a given key may be an earlier one
                job = self._job_of(key)
            if job is not None:
                return job
        raise ServiceAway(f"no worker took the job (key {key}) within {seconds:g} s")

    def status(self, job: str) -> Status:
        """The state of a job now.

        Args:
            job (str): The job's id.

        Returns:
            A ``Status``.

        Raises:
            WrongUsage: There is no such job.

        Example:
            >>> client.status(job).coverage["included"]
            12
        """
        row = self._row(job)
        with self._database.read() as connection:
            counts = state.coverage(connection, job)
        return Status(job, row.status, row.reason, {"submitted": row.submitted, **counts})

    def wait(self, job: str, seconds: float | None = None) -> Status:
        """Wait until a job has ended, or is paused for its budget with nothing in flight.

        Args:
            job (str): The job's id.
            seconds (float): The longest wait. Default: None, without a limit.

        Returns:
            A ``Status``.

        Raises:
            TimeoutError: The job has not ended within ``seconds``.
            WrongUsage: There is no such job.

        Example:
            >>> client.wait(job, seconds=600).ended
            True
        """
        for _ in self._polls(seconds):
            with self._database.read() as connection:
                over = job_is_over(connection, job)
            if over:
                return self.status(job)
        raise TimeoutError(f"job {job} has not ended within {seconds:g} s")

    def result(self, job: str) -> dict[str, Any]:
        """The result of a job so far. A running job has no answer yet.

        Args:
            job (str): The job's id.

        Returns:
            The object that ``overstory run --json`` prints, without ``waits``: ``answer``,
            ``coverage``, ``images``, ``usage`` and more; ``units`` of a job by units.

        Raises:
            WrongUsage: There is no such job.

        Example:
            >>> client.result(job)["answer"]
            'Two loaves of bread [1] and a newspaper [2].'
        """
        return result_of(self._database, self._row(job))

    def cancel(self, job: str) -> bool:
        """Cancel a job. Images without an answer are skipped.

        Args:
            job (str): The job's id.

        Returns:
            True, or False if the job had ended before.

        Raises:
            WrongUsage: There is no such job.

        Example:
            >>> client.cancel(job)
            True
        """
        self._row(job)
        with self._database.write() as connection:
            return state.job_cancelled(connection, job, Moved())

    def events(self, job: str) -> Iterator[Event]:
        """The events of a job, from its first to its last, as they happen.

        The stream also ends when the job is paused for its budget with nothing in flight.

        Args:
            job (str): The job's id.

        Returns:
            An iterator of ``Event``: ``id``, ``at`` (Unix time in seconds), ``name``, ``position``
            (of the image, from 1), ``node_id`` and ``detail``.

        Raises:
            WrongUsage: There is no such job.

        Example:
            >>> for event in client.events(job):
            ...     print(event.name, event.position)
            job.running None
            image.included 1
            job.completed None
        """
        self._row(job)
        seen: set[int] = set()
        highest = 0
        for _ in self._polls(None):
            with self._database.read() as connection:
                over = job_is_over(connection, job)
                fresh = pipeline.events(connection, job, highest - SEEN_BACK)
            for event in fresh:
                if event.id not in seen:
                    yield event
            seen = {event.id for event in fresh}
            highest = max(seen, default=highest)
            if over:
                return

    def close(self) -> None:
        """Close all connections. The client cannot be used afterwards.

        Example:
            >>> client.close()
        """
        self._database.dispose()
        self._app.close()
        self._results.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _result_of(self, task: str) -> str | None:
        """The job's id; None until a worker has planned it. Raises WrongUsage if it was refused."""
        result = self._results.AsyncResult(task)
        try:
            state, value = result.state, result.result
        except (*REDIS_ERRORS, *result.backend.connection_errors) as error:
            raise ServiceAway(str(unavailable(error, "the broker"))) from error
        if state == "FAILURE":
            raise WrongUsage(str(value))
        return str(value) if state == "SUCCESS" else None

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
        """One item per check: at once, then at growing intervals, until ``seconds`` have passed."""
        deadline = None if seconds is None else time.monotonic() + seconds
        pause = POLL_FIRST_SECONDS
        while True:
            yield
            if deadline is not None and time.monotonic() >= deadline:
                return
            self._sleep(pause)
            pause = min(pause * 1.5, POLL_MAX_SECONDS)


def _absolute(image: str | Path) -> str:
    """An absolute path, as workers may run in another folder. URLs stay as they are."""
    text = str(image)
    return text if "://" in text else str(Path(text).absolute())


def _summary(spec: JobSpec) -> str:
    """What monitors show of the message: no question and no paths."""
    return str({"inputs": len(spec.images), "key": spec.key})
