"""Prints an ended job: the answer, and below it coverage, tree, usage and failed images."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import NoReturn

from rich.console import Console

from core.settings import SANDBOX, Settings
from core.states import ImageStatus, JobStatus
from models.engine import Database
from models.reads import parts as reads
from models.reads import pipeline, units
from models.reads.pipeline import ImageRow, JobRow
from models.state import coverage
from overstory.output import looks, proof
from overstory.output.answer_table import answer_text, print_table
from overstory.output.answers import shape_of_job, shaped
from overstory.output.cited import print_cited
from overstory.output.learned import settled_limits, untold
from overstory.output.plural import pluralize
from overstory.output.progress import is_priced
from overstory.output.result import EXIT_STATUS, INTERRUPTED, Ran, json_of
from overstory.output.terminal import for_stdout, print_plain, safe_line
from overstory.output.unit_table import print_units, unanswered
from workers.endpoints import database_url

FAILED_SHOWN = 10
REMARKS_SHOWN = 5


_NUMBER = re.compile(r"\d++(?:[.,]\d++)*+")
"""What differs between remarks of one kind: sizes and counts."""


class Showing:
    """Prints an ended job once: the answer or JSON on stdout, the summary on stderr."""

    def __init__(self, console: Console, settings: Settings, as_json: bool) -> None:
        self._console = console
        self._database = Database(database_url(settings))
        self._as_json = as_json
        self._shown = False
        self._waits = ""

    def __call__(self, job: JobRow) -> None:
        if self._shown:
            return
        self._shown = True
        if self._as_json:
            for piece in json_of(self._database, job, waits=self._waits or None):
                sys.stdout.write(piece)
            sys.stdout.write("\n")
        else:
            print_answer(self._database, job)
        sys.stdout.flush()
        if self._as_json:
            print_findings(self._console, self._database, job)
        else:
            print_summary(self._console, self._database, job)

    def settled(self, job: JobRow) -> NoReturn:
        """Print a job that had already ended, and exit with its status."""
        self.finish(Ran(job, interrupted=False))

    def finish(self, ran: Ran) -> NoReturn:
        """Print the job unless it is printed already, and exit with its status."""
        self._waits = ran.waits
        self(ran.job)
        if ran.interrupted:
            text = f"interrupted: run the same command again to continue job {ran.job.id}"
            print_plain(self._console, text)
            sys.exit(INTERRUPTED)
        sys.exit(EXIT_STATUS[ran.job.status])


def print_answer(database: Database, job: JobRow) -> None:
    """Print the answer on stdout. Answers about each image, or each unit, become a table on a
    terminal, and stay plain lines in a pipe."""
    shape = shape_of_job(job)
    by_units = shape is not None and shape.by is not None
    table = shape is not None and shape.each is not None and sys.stdout.isatty()
    lines_only = job.options.each_only
    if job.answer and not ((table or by_units) and lines_only):
        sys.stdout.write(for_stdout(answer_text(job, shape)) + "\n")
        if sys.stdout.isatty() and shape is None:
            print_cited(database, job, job.answer)
    if by_units and (table or lines_only):
        sys.stdout.write("" if lines_only else "\n")
        print_units(database, job)
    elif table and shape is not None:
        with database.read() as connection:
            images = pipeline.images(connection, job.id)
        print_table(Console(), job, shape, images)


def print_summary(console: Console, database: Database, job: JobRow) -> None:
    with database.read() as connection:
        counts = coverage(connection, job.id)
        shape = pipeline.tree_shape(connection, job.id)
        used = pipeline.used(connection, job.id)
        taken_over = pipeline.taken_over(connection, job.id)
        counted = reads.counted(connection, job.id)
        failed = pipeline.images(connection, job.id, reads.FAILED)
        seen = pipeline.seen(connection, job.id)
        groups = units.units(connection, job.id) if job.options.by else []
    parts = [f"{pluralize(job.submitted, 'image')} submitted"]
    similar = counted.similar
    told = {**counts, "skipped": counts["skipped"] - similar}
    parts += [_counted(name, number, seen) for name, number in told.items() if number]
    parts += [f"{pluralize(similar, 'similar image')} left out"] if similar else []
    tokens = used.prompt_tokens + used.completion_tokens
    tree = f"tree of {pluralize(shape.leaves, 'leaf', 'leaves')}, {pluralize(shape.nodes, 'node')}"
    charged = " (not charged: sandbox)" if job.endpoint == SANDBOX else ""
    left = 0 if job.status.ended else job.submitted - sum(counts.values())
    parts += [f"{left:,} not looked at yet"] if left else []
    parts[-1] += ";" if shape.nodes == 1 else f"; {tree};"
    print_plain(console, f"\njob {job.id} {job.status}: {', '.join(parts)}")
    sent = f"{pluralize(used.requests, 'request')} sent, {pluralize(tokens, 'token')}"
    money = f", {used.cost:.4f} {used.currency}" if is_priced(used.cost, tokens) else ""
    print_plain(console, f"{sent}{money}{charged}")
    if not job.options.bare and (warning := proof.warning(seen, job.id)):
        print_plain(console, warning)
    if twice := looks.sentence(job.options, asdict(counted), job.submitted):
        print_plain(console, safe_line(twice))
    print_findings(console, database, job)
    if wrong := shaped(job, ()).get("data_error"):
        print_plain(console, f"the object does not fit the schema: {wrong}")
    if taken_over:
        print_plain(console, f"continued: {taken_over}")
    errors = {image.position: image.error or "" for image in failed}
    remarked = reads.images_in_pages(database, job.id, reads.REMARKED)
    answered = unanswered(job, groups, errors) if groups else ()
    for sentence in (*answered, *remarks(job, remarked)):
        print_plain(console, sentence)
    for image in failed[:FAILED_SHOWN]:
        print_plain(console, f"  [{image.position}] {image.name}: {image.error}")
    if len(failed) > FAILED_SHOWN:
        print_plain(console, f"  and {len(failed) - FAILED_SHOWN:,} more")


def remarks(job: JobRow, images: Iterable[ImageRow]) -> Iterator[str]:
    """A line for each kind of remark about images that did not fail, with the first one's text."""
    first_of: dict[str, ImageRow] = {}
    alike: Counter[str] = Counter()
    for image in images:
        if image.remarks and image.status != ImageStatus.FAILED:
            kind = _NUMBER.sub("", image.remarks)
            first_of.setdefault(kind, image)
            alike[kind] += 1
    for kind, image in list(first_of.items())[:REMARKS_SHOWN]:
        others = pluralize(alike[kind] - 1, "other")
        more = f" and {others}" if alike[kind] > 1 else ""
        yield f"  [{image.position}] {image.name}{more}: {image.remarks}"
    if left := sum(alike[kind] for kind in list(first_of)[REMARKS_SHOWN:]):
        yield f"  and {pluralize(left, 'image')} with other remarks ('overstory images {job.id}')"


def print_findings(console: Console, database: Database, job: JobRow) -> None:
    """Print what was found out about the endpoint and was not told yet, and why a job stopped."""
    with database.read() as connection:
        limits = settled_limits(connection, job)
    for sentence in untold(console, limits):
        print_plain(console, safe_line(sentence))
    if job.status in (JobStatus.FAILED, JobStatus.PAUSED) and job.reason:
        print_plain(console, f"{job.status}: {safe_line(job.reason)}")


def _counted(status: str, number: int, seen: dict[str, int]) -> str:
    return proof.included(seen) if status == ImageStatus.INCLUDED else f"{number:,} {status}"
