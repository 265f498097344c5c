"""prune: delete ended jobs, and the prepared images and uploads that no other job uses.

Reads: ended jobs and their rows. Does: deletes blobs and uploads. Writes: deletes rows, in short
transactions. May raise ServiceAway; the next prune deletes the rest. Never touches a running job.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from models import retention
from models.retention import OldJob
from tasks.runtime.services import Services
from tasks.upkeep.uploads import sweep

FRESH_SECONDS = 3_600.0
"""A blob that was written or read this recently is kept: a new job may be about to use it."""
AT_ONCE = 100


@dataclass(slots=True)
class Pruned:
    """What was deleted, or would be (dry run). ``calls``: rows of the ledger. ``kept_calls``: rows
    that stay in it and still answer the same requests."""

    jobs: int = 0
    images: int = 0
    nodes: int = 0
    events: int = 0
    deliveries: int = 0
    blobs: int = 0
    blob_bytes: int = 0
    calls: int = 0
    kept_calls: int = 0
    uploads: int = 0
    upload_bytes: int = 0

    def count(self, job: OldJob, ledger: bool) -> None:
        self.jobs += 1
        self.images += job.images
        self.nodes += job.nodes
        self.events += job.events
        self.deliveries += job.deliveries
        self.calls += job.calls if ledger else 0
        self.kept_calls += 0 if ledger else job.calls


def _silent(job: OldJob) -> None:
    return None


def prune(
    services: Services,
    before: float,
    label: str | None = None,
    ledger: bool = False,
    dry_run: bool = False,
    tell: Callable[[OldJob], None] = _silent,
) -> Pruned:
    """Delete jobs that ended before ``before`` (Unix seconds by the database's clock).

    ``ledger``: also delete their paid replies and, without a label, the replies of jobs that were
    pruned before. Without a label, uploads that no job uses are deleted too. ``tell`` is called
    with each job.
    """
    pruned = Pruned()
    uploads: set[str] = set()  # of jobs with the label
    gone: set[str] = set()
    after = ""
    while jobs := _next(services, before, label, after):
        for job in jobs:
            if label is not None:
                uploads |= _uploads(services, job.id)
            if dry_run:
                _count_blobs(services, job.id, pruned)
            elif not _forget(services, job, before, ledger, pruned):
                continue
            gone.add(job.id)
            pruned.count(job, ledger)
            tell(job)
        after = jobs[-1].id
    among = None if label is None else uploads
    swept = sweep(services, before, among, gone if dry_run else (), dry_run)
    pruned.uploads, pruned.upload_bytes = swept.uploads, swept.bytes
    if ledger and label is None:
        pruned.calls += _forget_orphans(services, before, dry_run)
    return pruned


def _next(services: Services, before: float, label: str | None, after: str) -> list[OldJob]:
    with services.database.read() as connection:
        return retention.old_jobs(connection, before, label, AT_ONCE, after)


def _uploads(services: Services, job_id: str) -> set[str]:
    with services.database.read() as connection:
        return retention.uploads_of(connection, job_id)


def _forget(services: Services, job: OldJob, before: float, ledger: bool, pruned: Pruned) -> bool:
    while True:
        with services.database.write() as connection:
            if retention.forget_history(connection, job.id, before) < retention.PIECE:
                break
    with services.database.read() as connection:
        shas = retention.only_here(connection, job.id)
    sizes = [services.blobs.drop(sha, FRESH_SECONDS) for sha in shas]
    pruned.blobs += sum(size is not None for size in sizes)
    pruned.blob_bytes += sum(size or 0 for size in sizes)
    while ledger:
        with services.database.write() as connection:
            if retention.forget_calls(connection, before, [job.id]) < retention.PIECE:
                break
    with services.database.write() as connection:
        return retention.forget_job(connection, job.id, before)


def _count_blobs(services: Services, job_id: str, pruned: Pruned) -> None:
    with services.database.read() as connection:
        shas = retention.only_here(connection, job_id)
    sizes = [services.blobs.size(sha) for sha in shas]
    pruned.blobs += sum(size is not None for size in sizes)
    pruned.blob_bytes += sum(size or 0 for size in sizes)


def _forget_orphans(services: Services, before: float, dry_run: bool) -> int:
    if dry_run:
        with services.database.read() as connection:
            return retention.orphaned_calls(connection, before)
    total = 0
    while True:
        with services.database.write() as connection:
            gone = retention.forget_calls(connection, before)
        total += gone
        if gone < retention.PIECE:
            return total
