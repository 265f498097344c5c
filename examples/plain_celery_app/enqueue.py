"""Submits a job with plain Celery, without Overstory's package, and waits until it is planned.

    BROKER_URL=redis://:password@127.0.0.1:6379/0 \\
        python enqueue.py /inputs/receipts --ask "What was bought?" --key receipts-2026-11

The result of ``overstory.submit`` is the job's id. The same key is the same job: sending it again
creates and pays for one job only. Images are sent by reference: a path that the workers see (on a
shared volume) or a URL.
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
    """Send the job. Monitors show ``kwargsrepr``, so it leaves out the question."""
    return app.send_task(
        "overstory.submit",
        kwargs={"images": images, "ask": ask, "key": key},
        queue="submit",
        kwargsrepr=f"{{'inputs': {len(images)}, 'key': {key!r}}}",
    )


def job_id(sent: AsyncResult, seconds: float) -> str:
    """The job's id, once it is planned. Raises the worker's error if it refused the arguments.

    Polls the state, because a blocking ``get()`` can miss the arrival of the result.
    """
    deadline = time.monotonic() + seconds
    while not sent.ready():
        if time.monotonic() > deadline:
            raise TimeoutError("no worker accepted the job: check that the service is running")
        time.sleep(POLL_SECONDS)
    return str(sent.get(disable_sync_subtasks=False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="+")
    parser.add_argument("--ask", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    sent = enqueue(options.images, options.ask, options.key)
    try:
        print(job_id(sent, options.seconds))
    except Exception as error:
        sys.exit(f"refused: {error}")


if __name__ == "__main__":
    main()
