"""States of stored rows, and the tables of allowed transitions between them.

``owner`` names what moves a row on if its worker dies.
"""

from __future__ import annotations

from enum import StrEnum


class JobStatus(StrEnum):
    RUNNING = "running"  # work is ready or in progress; owner: the reconciler
    PAUSED = "paused"  # by a user, its budget or an empty account; owner: resume
    COMPLETED = "completed"  # every image is included or a duplicate
    PARTIAL = "partial"  # has an answer, but some images are missing from it
    FAILED = "failed"  # has no answer
    CANCELLED = "cancelled"  # a user ended it

    @property
    def ended(self) -> bool:
        return self in ENDED_JOBS


ENDED_JOBS = frozenset(
    {JobStatus.COMPLETED, JobStatus.PARTIAL, JobStatus.FAILED, JobStatus.CANCELLED}
)
ANSWERED_JOBS = frozenset({JobStatus.COMPLETED, JobStatus.PARTIAL})


class ImageStatus(StrEnum):
    PENDING = "pending"  # waits for preprocess or is leased by it; owner: the reconciler
    PREPARED = "prepared"  # the bytes to send are in the blob store; owner: the reconciler
    UPLOADED = "uploaded"  # the provider can see it; its leaf takes it from here
    INCLUDED = "included"  # a leaf has recorded its notes
    FAILED = "failed"  # refused, with a code and a reason
    DUPLICATE = "duplicate"  # same bytes as an earlier image of the job
    SKIPPED = "skipped"  # the job ended first, or a similar image stands for it


class Seen(StrEnum):
    """What shows that the model saw an included image."""

    ANSWER = "answer"  # an answer about this image alone
    LINE = "line"  # a line of its own in the notes
    SENT = "sent"  # nothing: it was in a request that was answered


class NodeKind(StrEnum):
    LEAF = "leaf"  # reads images
    BRANCH = "branch"  # reads notes


class NodeStatus(StrEnum):
    WAITING = "waiting"  # for ``pending`` children or images; owner: the last of them to settle
    READY = "ready"  # may be called from ``due_at`` on; owner: the reconciler
    RUNNING = "running"  # leased to a worker; owner: the lease, then the reconciler
    DONE = "done"  # its text is recorded
    FAILED = "failed"  # nothing below it was usable
    SPLIT = "split"  # replaced by smaller nodes under the same parent
    CANCELLED = "cancelled"  # the job ended first


class CallStatus(StrEnum):
    STARTED = "started"  # about to be sent, or in flight; owner: its lease, then the reconciler
    SETTLED = "settled"  # paid; its stored reply answers later requests with the same key
    REFUSED = "refused"  # refused by the provider (4xx, moderation)
    FAILED = "failed"  # it certainly did not reach the provider, or hit a limit
    UNKNOWN = "unknown"  # lost on the way; it may have been paid


class FileStatus(StrEnum):
    UPLOADING = "uploading"  # leased to a worker; owner: its lease
    STORED = "stored"  # the provider has it under ``file_id``
    GONE = "gone"  # deleted or lost by the provider; with a ``file_id``: still to delete


class DeliveryStatus(StrEnum):
    OPEN = "open"  # sent once its job has ended; owner: the notifier of the reconciler
    DELIVERED = "delivered"  # the receiver answered 2xx
    FAILED = "failed"  # gave up: too many attempts, or the receiver answered 410


IMAGE_MOVES: dict[ImageStatus, frozenset[ImageStatus]] = {
    ImageStatus.PENDING: frozenset(
        {ImageStatus.PREPARED, ImageStatus.FAILED, ImageStatus.DUPLICATE, ImageStatus.SKIPPED}
    ),
    ImageStatus.PREPARED: frozenset(
        {ImageStatus.UPLOADED, ImageStatus.FAILED, ImageStatus.SKIPPED, ImageStatus.PENDING}
    ),
    ImageStatus.UPLOADED: frozenset(
        {ImageStatus.INCLUDED, ImageStatus.FAILED, ImageStatus.SKIPPED, ImageStatus.PREPARED}
    ),
    ImageStatus.INCLUDED: frozenset(
        {ImageStatus.FAILED, ImageStatus.UPLOADED, ImageStatus.PENDING}  # called or looked at again
    ),
    ImageStatus.FAILED: frozenset({ImageStatus.PENDING}),  # overstory retry
    ImageStatus.DUPLICATE: frozenset(),
    ImageStatus.SKIPPED: frozenset({ImageStatus.PENDING}),  # overstory retry of a cancelled job
}
NODE_MOVES: dict[NodeStatus, frozenset[NodeStatus]] = {
    NodeStatus.WAITING: frozenset(  # done: a second look that failed keeps what the first one saw
        {NodeStatus.READY, NodeStatus.FAILED, NodeStatus.CANCELLED, NodeStatus.DONE}
    ),
    NodeStatus.READY: frozenset(
        {
            *(NodeStatus.RUNNING, NodeStatus.WAITING, NodeStatus.FAILED),
            *(NodeStatus.CANCELLED, NodeStatus.DONE),
        }
    ),
    NodeStatus.RUNNING: frozenset(NodeStatus) - {NodeStatus.RUNNING},
    NodeStatus.DONE: frozenset({NodeStatus.WAITING}),  # a child below is done again
    NodeStatus.FAILED: frozenset({NodeStatus.WAITING}),
    NodeStatus.SPLIT: frozenset(),
    NodeStatus.CANCELLED: frozenset({NodeStatus.WAITING}),
}
JOB_MOVES: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.RUNNING: ENDED_JOBS | {JobStatus.PAUSED},
    JobStatus.PAUSED: ENDED_JOBS | {JobStatus.RUNNING},  # its last call may return and end the job
    JobStatus.COMPLETED: frozenset(),
    JobStatus.PARTIAL: frozenset({JobStatus.RUNNING}),
    JobStatus.FAILED: frozenset({JobStatus.RUNNING}),
    JobStatus.CANCELLED: frozenset({JobStatus.RUNNING}),
}

UNSETTLED_IMAGES = (ImageStatus.PENDING, ImageStatus.PREPARED)
"""Images that a leaf still waits for."""
SETTLED_NODES = frozenset({NodeStatus.DONE, NodeStatus.FAILED, NodeStatus.CANCELLED})
"""Children that a branch no longer waits for (other nodes have replaced a split child)."""


def outcome_of_job(included: int, failed: int, skipped: int) -> JobStatus:
    """Final status of a job whose root is settled: FAILED if its answer includes no image."""
    if included == 0:
        return JobStatus.FAILED
    return JobStatus.COMPLETED if failed + skipped == 0 else JobStatus.PARTIAL
