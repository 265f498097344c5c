"""``Client``: an Overstory service over HTTP."""
# Written by clients-http/generate.py from _async/client.py.

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, overload

import httpx2

from overstory_client import calls
from overstory_client._sync import io
from overstory_client._sync.transport import Transport
from overstory_client._sync.uploads import Uploaded, Uploads
from overstory_client.errors import OverstoryError, ServiceAway
from overstory_client.files import Input
from overstory_client.retries import RETRIES, Retries
from overstory_client.values import Changed, Event, Result, Share, Status, Submitted

T = TypeVar("T")
POLL_FIRST_SECONDS = 0.2
POLL_MAX_SECONDS = 3.0
Job = str | Submitted | Changed | Status
"""A job's id, or what a method has returned about it."""


class Client:
    """An Overstory service over HTTP. Threads may share it. Close it, or use ``with``.

    Every method may raise OverstoryError: NotAuthorized, Refused, NotFound, Conflict, WrongUsage,
    TooBusy, ServiceAway and others. Requests are sent again after a cut or a refusal that passes,
    as ``retries`` says, and never so that a job is made twice.

    Args:
        url (str): Default: OVERSTORY_URL, else http://127.0.0.1:8700.
        token (str): Default: OVERSTORY_TOKEN. It is sent to this service alone.
        http (httpx2.Client): Your own, with a proxy or certificates. Default: a new one.
        retries (Retries): How often, and for how long. Default: 6 attempts in 15 seconds.
        sleep (callable): Called with the seconds of each wait.

    Example:
        >>> with Client() as client:
        ...     job = client.submit(["receipts/"], ask="What was bought?")
        ...     client.wait(job)
        ...     print(client.result(job).answer)
        Two loaves of bread [1] and a newspaper [2].
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        http: httpx2.Client | None = None,
        retries: Retries = RETRIES,
        sleep: io.Sleep = io.sleep,
    ) -> None:
        self._transport = Transport(url, token, http, retries, sleep)
        self._uploads = Uploads(self._transport)

    def submit(
        self,
        images: Sequence[Input],
        ask: str | None = None,
        *,
        each: str | None = None,
        schema: Any = None,
        key: str | None = None,
        on_upload: Uploaded | None = None,
        **options: Any,
    ) -> Submitted:
        """Submit a job. Local files that the service does not have are uploaded first.

        Args:
            images (list): Local files and folders, URLs, and ``ServerPath("/inputs/receipts")``
                for what is on the service's machine.
            ask (str): The question about the whole set. Give ``ask``, ``each`` or both.
            each (str): The question about every single image, or with ``by`` about every unit.
            schema (pydantic model or dict): Shape of the answers. Default: free text.
            key (str): The same key is the same job, and is refused with another question or other
                images. Default: a random one, so that no cut makes the job twice.
            on_upload (callable): Called with the number of local files that are uploaded, and of
                all, now and then.
            **options: Further fields: label, detail (low, high or auto), model, second_model,
                second_look, pack, weight, budget, min_coverage, fail_fast, fresh, fetch,
                keep_files, bare, canary, prompts, webhook, by (folder, document, date or a column:
                one answer a unit), image_column, with_ (list of str), similar.

        Returns:
            A ``Submitted``, which every method takes as the job.

        Raises:
            WrongUsage: Names the wrong ``field``, or the file that is missing.

        Example:
            >>> client.submit(["receipts/"], ask="What was bought?", key="receipts-11")
            Submitted(job='3f2a9c0d51e7', status='running', created=True, ignored=[], ...)
        """
        inputs = self._uploads.inputs(images, on_upload)
        key = key or f"client-{secrets.token_hex(12)}"
        given = {"ask": ask, "each": each, "schema": schema, "key": key, **options}
        return self._transport.send(calls.submit(calls.spec_of(inputs, given)))

    def estimate(
        self,
        images: Sequence[Input],
        ask: str | None = None,
        *,
        each: str | None = None,
        schema: Any = None,
        on_upload: Uploaded | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """Estimate what ``submit`` with the same arguments takes. No image is sent to the model.

        Local files are uploaded, because their sizes decide; a ``submit`` finds them there.

        Returns:
            The object of ``overstory estimate --json``: ``cost``, ``cost_most``, ``currency``,
            ``requests``, ``seconds``, ``budget_enough`` and more.

        Example:
            >>> client.estimate(["receipts/"], ask="What was bought?")["cost"]
            0.0147
        """
        inputs = self._uploads.inputs(images, on_upload)
        given = {"ask": ask, "each": each, "schema": schema, **options}
        return self._transport.send(calls.estimate(calls.spec_of(inputs, given)))

    def jobs(
        self, status: Sequence[str] = (), *, label: str | None = None, limit: int = 50
    ) -> list[dict[str, Any]]:
        """List the jobs that the token may see, the newest first.

        Args:
            status (list of str): Only jobs in one of these states.
            label (str): Only jobs with this label.
            limit (int): 1 to 1000.

        Example:
            >>> [job["id"] for job in client.jobs(["running", "paused"])]
            ['3f2a9c0d51e7']
        """
        return self._transport.send(calls.jobs(status, label, limit))

    def status(self, job: Job) -> Status:
        """The state of a job now, without its images.

        Raises:
            NotFound: There is no such job.

        Example:
            >>> client.status(job).coverage["included"]
            12
        """
        return self._transport.send(calls.status(job))

    def show(self, job: Job) -> dict[str, Any]:
        """The object of ``overstory show --json``: ``result(job).raw`` and more about the job.

        Example:
            >>> client.show(job)["ask"]
            'What was bought?'
        """
        return self._transport.send(calls.show(job))

    def wait(self, job: Job, seconds: float | None = None) -> Status:
        """Wait until a job has ended, or is paused for its budget with nothing in flight.

        Args:
            seconds (float): The longest wait. Default: None, without a limit.

        Raises:
            TimeoutError: The job has not ended within ``seconds``. It goes on.

        Example:
            >>> client.wait(job, seconds=600).ended
            True
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        pause = POLL_FIRST_SECONDS
        while True:
            now = self.status(job)
            if now.over:
                return now
            if deadline is not None and time.monotonic() + pause > deadline:
                raise TimeoutError(f"job {now.job} has not ended within {seconds:g} s")
            self._transport.sleep(pause)
            pause = min(pause * 1.5, POLL_MAX_SECONDS)

    @overload
    def result(self, job: Job) -> Result[Any]: ...

    @overload
    def result(self, job: Job, model: type[T]) -> Result[T]: ...

    def result(self, job: Job, model: Any = None) -> Result[Any]:
        """The result of a job so far. A running job has no answer yet.

        Args:
            model (pydantic model): The one that was the ``schema``: ``data`` of the result, and
                each of its ``answers``, are read into it.

        Example:
            >>> client.result(job).answer
            'Two loaves of bread [1] and a newspaper [2].'
            >>> client.result(job, Receipt).answers[1].total
            Decimal('4.20')
        """
        return self._transport.send(calls.result(job, model))

    def images(
        self, job: Job, status: Sequence[str] = (), *, unseen: bool = False
    ) -> list[dict[str, Any]]:
        """List a job's images, with the reason for each failed one.

        Args:
            status (list of str): Only images in one of these states.
            unseen (bool): Only images without a proof that the model saw them.

        Example:
            >>> [(image["name"], image["error"]) for image in client.images(job, ["failed"])]
            [('scan 7.jpg', 'the file is cut short')]
        """
        return self._transport.send(calls.images(job, status, unseen))

    def events(self, job: Job, after: int = 0) -> Iterator[Event]:
        """The events of a job, each once, from the first to the last, as they happen.

        It goes on after cuts where it was, and ends with the job.

        Args:
            after (int): The id of an event: only later ones.

        Raises:
            ServiceAway: The service stays away for longer than ``retries`` allow.

        Example:
            >>> for event in client.events(job):
            ...     print(event.name, event.position)
            job.running None
            image.included 1
            job.completed None
        """
        failed = 0
        while True:
            try:
                with self._transport.stream(calls.events(job, after)) as response:
                    for sent in httpx2.EventSource(response):
                        if sent.event == "end":
                            return
                        event = Event.model_validate({"id": sent.id, **_object(sent)})
                        if event.id > after:
                            after, failed = event.id, 0
                            yield event
                trouble: OverstoryError = ServiceAway("the stream of events was cut")
            except OverstoryError as error:
                trouble = error
            failed += 1
            self._transport.rest(failed, trouble)

    def cancel(self, job: Job) -> Changed:
        """End a job. Images without an answer are skipped.

        Example:
            >>> client.cancel(job).changed
            True
        """
        return self._transport.send(calls.cancel(job))

    def pause(self, job: Job) -> Changed:
        """Pause a job. Calls in flight are still answered."""
        return self._transport.send(calls.pause(job))

    def resume(self, job: Job, budget: float | None = None) -> Changed:
        """Continue a paused job, perhaps with another budget.

        Raises:
            Conflict: The job has ended.

        Example:
            >>> client.resume(job, budget=2.50).status
            'running'
        """
        return self._transport.send(calls.resume(job, budget))

    def retry(self, job: Job) -> Changed:
        """Try a job's failed and skipped images again.

        Raises:
            Conflict: The job has not ended.

        Example:
            >>> client.retry(job).changed
            True
        """
        return self._transport.send(calls.retry(job))

    def ask(
        self,
        job: Job,
        question: str,
        images: Sequence[int] = (),
        *,
        pack: int | None = None,
        budget: float | None = None,
    ) -> Submitted:
        """Ask a further question about a job's images, as a job of its own.

        Args:
            question (str): The question.
            images (list of int): Positions of images that are shown again. Default: where the set
                fits one request all of them, else none, and the notes are read.
            pack (int): Images a request at most.
            budget (float): The most it may cost.

        Example:
            >>> more = client.ask(job, "Which of them has no date?")
        """
        return self._transport.send(calls.ask(job, question, images, pack, budget))

    @overload
    def report(self, job: Job) -> bytes: ...

    @overload
    def report(self, job: Job, to: str | Path) -> Path: ...

    def report(self, job: Job, to: str | Path | None = None) -> bytes | Path:
        """The report: one HTML page that shows the answer and every image behind it.

        Args:
            to (str or Path): A file to write, which is returned. Default: the bytes are returned.

        Example:
            >>> client.report(job, "report.html")
            PosixPath('report.html')
        """
        return self._download(calls.report(job), to)

    @overload
    def export(
        self,
        job: Job,
        kind: Literal["jsonl", "csv", "markdown"] = "jsonl",
        *,
        rows: Literal["units", "images"] | None = None,
    ) -> bytes: ...

    @overload
    def export(
        self,
        job: Job,
        kind: Literal["jsonl", "csv", "markdown"],
        to: str | Path,
        *,
        rows: Literal["units", "images"] | None = None,
    ) -> Path: ...

    def export(
        self,
        job: Job,
        kind: Literal["jsonl", "csv", "markdown"] = "jsonl",
        to: str | Path | None = None,
        *,
        rows: Literal["units", "images"] | None = None,
    ) -> bytes | Path:
        """A job's images, one row for each, as ``overstory export`` writes them; of a job by units,
        its units.

        Args:
            kind (str): jsonl, csv or markdown.
            to (str or Path): A file to write, which is returned. Default: the bytes are returned.
            rows (str): units or images. Default: the units of a job by units, else the images.

        Example:
            >>> client.export(job, "csv", "receipts.csv")
            PosixPath('receipts.csv')
        """
        return self._download(calls.export(job, kind, rows), to)

    def share(self, job: Job, days: int = 7) -> Share:
        """Make a link to a job's report that anybody may open, for so many days.

        Example:
            >>> client.share(job, days=1).url
            'https://overstory.example/shared/...'
        """
        return self._transport.send(calls.share(job, days))

    def close(self) -> None:
        """Close all connections. The client cannot be used afterwards."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _download(self, call: calls.Call[bytes], to: str | Path | None) -> bytes | Path:
        if to is None:
            return self._transport.send(call)
        return self._transport.save(call, Path(to))


def _object(sent: httpx2.ServerSentEvent) -> dict[str, Any]:
    value = sent.json()
    return value if isinstance(value, dict) else {}
