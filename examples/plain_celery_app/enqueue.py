"""Another app enqueues a job and waits for it, with celery alone: nothing of Overstory's is here.

    BROKER_URL=redis://:password@127.0.0.1:6379/0 \\
        python enqueue.py /inputs/receipts --ask "What was bought?" --key receipts-2026-11

The result of ``overstory.submit`` is the job's id. The same key is the same job, so this may be
run again, or sent twice by a nervous producer, and one job is made and paid for. Images travel by
reference: a path the workers see (a shared volume) or a URL.
"""

import argparse
import os
import sys
import time

from celery import Celery
from celery.result import AsyncResult

POLL_SECONDS = 0.2

url = os.environ["BROKER_URL"]
app = Celery("shop", broker=url, backend=url)


def enqueue(images: list[str], ask: str, key: str) -> AsyncResult:
    """Send the job. ``kwargsrepr`` is what monitors show: leave the question out of it."""
    return app.send_task(
        "overstory.submit",
        kwargs={"images": images, "ask": ask, "key": key},
        kwargsrepr=f"{{'inputs': {len(images)}, 'key': {key!r}}}",
    )


def job_id(sent: AsyncResult, seconds: float) -> str:
    """The job's id once it is planned. Raises what the worker refused the arguments with.

    The state is polled: waiting in ``get()`` races the arrival of the result.
    """
    deadline = time.monotonic() + seconds
    while not sent.ready():
        if time.monotonic() > deadline:
            raise TimeoutError("no worker took the job: is the service up?")
        time.sleep(POLL_SECONDS)
    return str(sent.get(disable_sync_subtasks=False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="+")
    parser.add_argument("--ask", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--seconds", type=float, default=30.0)
    given = parser.parse_args()
    sent = enqueue(given.images, given.ask, given.key)
    try:
        print(job_id(sent, given.seconds))
    except Exception as error:
        sys.exit(f"refused: {error}")


if __name__ == "__main__":
    main()
