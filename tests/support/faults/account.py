"""An account under load and kills: jobs that are ready to be asked, and the limits judged."""

from __future__ import annotations

import os
import time
from pathlib import Path

from sqlalchemy import select, update

from core.job_options import JobOptions
from core.states import ImageStatus, JobStatus, NodeKind, NodeStatus
from core.tree.plan import plan_tree
from models import new_job, provider_files
from models.claims import Lease
from models.new_job import NewImage, NewJob
from models.tables import Image, Job, Node
from tests.support.faults.photos import make_photos
from tests.support.faults.scene import Scene
from tests.support.faults.servers import until

POOL = 60
"""Files at the provider that all prefilled jobs share; the questions of the jobs differ."""
KILL_SECONDS = 4.0


def kills(stage: Scene, seconds: float) -> None:
    """SIGKILL an infer worker every few seconds, and the broker once, halfway."""
    start, restarted = time.monotonic(), False
    while (at := time.monotonic() - start) < seconds:
        stage.kill(stage.random.choice(stage.fleet.named("infer")))
        if at > seconds / 2 and not restarted:
            stage.broker.kill()
            time.sleep(1.0)
            stage.broker.start()
            restarted = True
        time.sleep(KILL_SECONDS)
    stage.figures.notes["broker restarts"] = int(restarted)


def check_limits(stage: Scene) -> None:
    """By the endpoint's own counts: no window exceeds a limit, and no call was answered 429."""
    seen, limits = stage.endpoint.stats(), stage.plan.limits
    most = {
        "max_in_flight": limits.concurrency,
        "max_requests_window": limits.rpm,
        "max_tokens_window": limits.tpm,
    }
    for name, limit in most.items():
        stage.figures.notes[name] = f"{seen[name]:,} of {limit:,}"
        stage.figures.expect(seen[name] <= limit, f"{name} was {seen[name]:,}, above {limit:,}")
    early = sum(seen["refused_429"].values())
    stage.figures.notes["429"] = early
    stage.figures.expect(early == 0, f"{early} calls were answered 429")
    stage.figures.calls = seen["paid"]
    if keep := os.environ.get("LIMITS_KEEP"):
        (Path(keep) / f"{stage.figures.row}.jsonl").write_text(
            (stage.folder / "ledger.jsonl").read_text()
        )


def prefill(stage: Scene, size: int, calls: int) -> None:
    """Jobs for that many calls of ``size`` images: every leaf may be asked at once, because the
    contents are at the provider."""
    shas = fill_store(stage)
    leaves = POOL if size == 1 else 10
    for number in range(-(-calls // leaves)):
        job = NewJob(
            id=f"load-{number:04}", key=f"load-{number:04}", ask=f"Question {number}?", label=None,
            model=stage.settings.model, provider="stepfun", endpoint=stage.settings.endpoint,
            account=stage.services.account, detail="low", weight=1.0, options=JobOptions(),
        )  # fmt: skip
        images = [
            NewImage(f"{leaf}-{n}", f"/nowhere/{leaf}-{n}", None, None, 1, None, leaf)
            for leaf in range(leaves)
            for n in range(size)
        ]
        insert_ready(stage, job, images, leaves, shas, size)
    until(lambda: all_ready(stage), 180.0, "every worker is ready")
    with stage.services.database.write() as connection:
        connection.execute(update(Job).values(status=JobStatus.RUNNING, reason=None))


def all_ready(stage: Scene) -> bool:
    workers = stage.fleet.named("infer")
    return all(" ready" in worker.log.read_text() for worker in workers)


def fill_store(stage: Scene) -> list[str]:
    """Upload the pool and record it as the upload stage does; returns the SHA-256 digests."""
    import hashlib

    photos = sorted(make_photos(stage.folder / "pool", POOL).iterdir())
    ids = {}
    for photo in photos:
        data = photo.read_bytes()
        sha = hashlib.sha256(data).hexdigest()
        ids[sha] = stage.services.provider.upload(f"pool-{sha}.jpg", data, "image/jpeg")
    account, lease = stage.services.account, Lease("prefill", 60.0)
    with stage.services.database.write() as connection:
        provider_files.claim_all(connection, account, dict.fromkeys(ids, 600), lease, 1000)
        provider_files.stored_all(connection, account, ids)
    return list(ids)


def insert_ready(
    stage: Scene, job: NewJob, images: list[NewImage], leaves: int, shas: list[str], size: int
) -> None:
    """Insert a job with all images uploaded. Leaf n starts at the n-th picture of the pool, so that
    no two requests of a job are the same."""
    with stage.services.database.write() as connection:
        new_job.insert_job(connection, job, images, plan_tree(leaves, 60))
        places = connection.execute(
            select(Image.id, Image.position).where(Image.job_id == job.id)
        ).all()
        for content in range(POOL):
            here = [
                place.id
                for place in places
                if sum(divmod(place.position - 1, size)) % POOL == content
            ]
            connection.execute(
                update(Image)
                .where(Image.id.in_(here))
                .values(
                    status=ImageStatus.UPLOADED, sha256=shas[content], mime="image/jpeg",
                    width=64, height=48, prepared_bytes=600, tokens=171,
                )
            )  # fmt: skip
        connection.execute(
            update(Node)
            .where(Node.job_id == job.id, Node.kind == NodeKind.LEAF)
            .values(status=NodeStatus.READY, pending=0)
        )
        values = {"status": JobStatus.PAUSED, "reason": "until all workers are ready"}
        connection.execute(update(Job).where(Job.id == job.id).values(values))
    stage.jobs.append(job.id)
