"""States, a sentence each, and the transitions between them as literal tables.

A row that could get stuck names its owner: who moves it on when its worker is gone.
"""

from __future__ import annotations

from enum import StrEnum


class JobStatus(StrEnum):
    RUNNING = "running"  # work is ready or under way; owner: the reconciler
    PAUSED = "paused"  # a person, its budget or an empty account holds it; owner: resume
    COMPLETED = "completed"  # every image is included or a duplicate
    PARTIAL = "partial"  # there is an answer, without some images
    FAILED = "failed"  # there is no answer
    CANCELLED = "cancelled"  # a person ended it

    @property
    def ended(self) -> bool:
        return self in ENDED_JOBS


ENDED_JOBS = frozenset(
    {JobStatus.COMPLETED, JobStatus.PARTIAL, JobStatus.FAILED, JobStatus.CANCELLED}
)
ANSWERED_JOBS = frozenset({JobStatus.COMPLETED, JobStatus.PARTIAL})


class ImageStatus(StrEnum):
    PENDING = "pending"  # waits for preprocess, or is in it (leased); owner: the reconciler
    PREPARED = "prepared"  # normalised bytes are in the blob store; owner: the reconciler
    UPLOADED = "uploaded"  # the provider can see it; its leaf takes it from here
    INCLUDED = "included"  # a leaf looked at it and its notes are recorded
    FAILED = "failed"  # refused, with a code and a sentence
    DUPLICATE = "duplicate"  # same bytes as an earlier image of the job
    SKIPPED = "skipped"  # the job ended before its turn


class NodeKind(StrEnum):
    LEAF = "leaf"  # looks at images
    BRANCH = "branch"  # reads notes


class NodeStatus(StrEnum):
    WAITING = "waiting"  # ``pending`` children or images are not settled; owner: the last of them
    READY = "ready"  # may be asked from ``due_at`` on; owner: the reconciler
    RUNNING = "running"  # leased to a worker; owner: the lease, then the reconciler
    DONE = "done"  # its text is recorded
    FAILED = "failed"  # nothing below it could be used
    SPLIT = "split"  # replaced by smaller nodes under the same parent
    CANCELLED = "cancelled"  # the job ended first


class CallStatus(StrEnum):
    STARTED = "started"  # about to be sent or in flight; owner: its lease, then the reconciler
    SETTLED = "settled"  # paid, its reply is stored and answers every later request of its key
    REFUSED = "refused"  # the provider said no (4xx, moderation)
    FAILED = "failed"  # it surely never reached the provider, or was turned away by a limit
    UNKNOWN = "unknown"  # lost on the way: may have been paid


class FileStatus(StrEnum):
    UPLOADING = "uploading"  # leased to a worker; owner: its lease
    STORED = "stored"  # the provider has it under ``file_id``
    GONE = "gone"  # deleted, or lost by the provider; with a ``file_id``: to be deleted


class DeliveryStatus(StrEnum):
    OPEN = "open"  # to be told once its job has ended; owner: the notifier of the reconciler
    DELIVERED = "delivered"  # the receiver said 2xx
    FAILED = "failed"  # given up: too many attempts, or the receiver said 410


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
    ImageStatus.INCLUDED: frozenset({ImageStatus.FAILED, ImageStatus.UPLOADED}),  # asked again
    ImageStatus.FAILED: frozenset({ImageStatus.PENDING}),  # overstory retry
    ImageStatus.DUPLICATE: frozenset(),
    ImageStatus.SKIPPED: frozenset({ImageStatus.PENDING}),  # a cancelled job taken up again
}
NODE_MOVES: dict[NodeStatus, frozenset[NodeStatus]] = {
    NodeStatus.WAITING: frozenset({NodeStatus.READY, NodeStatus.FAILED, NodeStatus.CANCELLED}),
    NodeStatus.READY: frozenset(
        {NodeStatus.RUNNING, NodeStatus.WAITING, NodeStatus.FAILED, NodeStatus.CANCELLED}
    ),
    NodeStatus.RUNNING: frozenset(
        {
            NodeStatus.DONE,
            NodeStatus.READY,
            NodeStatus.WAITING,
            NodeStatus.FAILED,
            NodeStatus.SPLIT,
            NodeStatus.CANCELLED,
        }
    ),
    NodeStatus.DONE: frozenset({NodeStatus.WAITING}),  # a child below was healed
    NodeStatus.FAILED: frozenset({NodeStatus.WAITING}),
    NodeStatus.SPLIT: frozenset(),
    NodeStatus.CANCELLED: frozenset({NodeStatus.WAITING}),
}
JOB_MOVES: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.RUNNING: frozenset(
        {
            JobStatus.PAUSED,
            JobStatus.COMPLETED,
            JobStatus.PARTIAL,
            JobStatus.FAILED,
            JobStatus.CANCELLED,
        }
    ),
    JobStatus.PAUSED: frozenset(  # its last call may come back meanwhile: then it has ended
        {
            JobStatus.RUNNING,
            JobStatus.COMPLETED,
            JobStatus.PARTIAL,
            JobStatus.CANCELLED,
            JobStatus.FAILED,
        }
    ),
    JobStatus.COMPLETED: frozenset(),
    JobStatus.PARTIAL: frozenset({JobStatus.RUNNING}),
    JobStatus.FAILED: frozenset({JobStatus.RUNNING}),
    JobStatus.CANCELLED: frozenset({JobStatus.RUNNING}),
}

SETTLED_IMAGES = frozenset(
    {
        ImageStatus.UPLOADED,
        ImageStatus.INCLUDED,
        ImageStatus.FAILED,
        ImageStatus.DUPLICATE,
        ImageStatus.SKIPPED,
    }
)
"""Images a leaf no longer waits for."""
SETTLED_NODES = frozenset({NodeStatus.DONE, NodeStatus.FAILED, NodeStatus.CANCELLED})
"""Children a branch no longer waits for (a split child has been replaced by others)."""


def outcome_of_job(included: int, failed: int, skipped: int) -> JobStatus:
    """How a job whose root is settled ended: no image in the answer is a failure."""
    if included == 0:
        return JobStatus.FAILED
    return JobStatus.COMPLETED if failed + skipped == 0 else JobStatus.PARTIAL
