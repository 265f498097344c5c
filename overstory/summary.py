"""The few lines under an answer: coverage, tree, use, and what failed."""

from __future__ import annotations

from rich.console import Console

from core.settings import SANDBOX
from core.states import ImageStatus, JobStatus
from models import queries
from models.engine import Database
from models.queries import JobRow
from models.state import coverage

FAILED_SHOWN = 10


def print_summary(console: Console, database: Database, job: JobRow) -> None:
    with database.read() as connection:
        counts = coverage(connection, job.id)
        shape = queries.tree_shape(connection, job.id)
        used = queries.used(connection, job.id)
        failed = [i for i in queries.images(connection, job.id) if i.status == ImageStatus.FAILED]
    parts = [f"{job.submitted} submitted"]
    parts += [f"{number} {name}" for name, number in counts.items() if number]
    tokens = used.prompt_tokens + used.completion_tokens
    nodes = (
        "1 request" if shape.nodes == 1 else f"tree of {shape.leaves} leaves, {shape.nodes} nodes"
    )
    charged = " (not charged: sandbox)" if job.endpoint == SANDBOX else ""
    _line(console, f"\njob {job.id} {job.status}: {', '.join(parts)} images; {nodes};")
    _line(
        console,
        f"{used.requests} requests, {tokens:,} tokens, {used.cost:.4f} {used.currency}{charged}",
    )
    if job.status == JobStatus.FAILED and job.reason:
        _line(console, f"failed: {job.reason}")
    for image in failed[:FAILED_SHOWN]:
        _line(console, f"  [{image.position}] {image.name}: {image.error}")
    if len(failed) > FAILED_SHOWN:
        _line(console, f"  and {len(failed) - FAILED_SHOWN} more")


def _line(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
