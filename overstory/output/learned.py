"""Limits of one request that were learned about the endpoint while a job ran."""

from __future__ import annotations

from collections.abc import Iterable
from weakref import WeakKeyDictionary

from rich.console import Console

from core.errors import RequestPart
from models import endpoint_limits
from models.endpoint_limits import Limit
from models.engine import Connection
from models.reads.pipeline import JobRow

NO_CANARY = (
    "no canary fits beside the one image of a request, so nothing proves that the model sees:"
    " the images count as only sent"
)


def learned_limits(connection: Connection, job: JobRow) -> list[Limit]:
    """The limits in force for the job's model that were learned since it was submitted."""
    return [
        limit
        for limit in endpoint_limits.listed(connection, job.endpoint)
        if limit.model == job.model and limit.learned_at >= job.created_at
    ]


def settled_limits(connection: Connection, job: JobRow) -> list[str]:
    """A sentence for each of these limits, without one that is still being halved."""
    limits = [limit for limit in learned_limits(connection, job) if not _is_probed(limit)]
    sentences = [limit.sentence for limit in limits]
    if job.options.canary and any(limit.leaves_no_room for limit in limits):
        sentences.append(NO_CANARY)
    return sentences


_told: WeakKeyDictionary[Console, set[str]] = WeakKeyDictionary()


def untold(console: Console, sentences: Iterable[str]) -> list[str]:
    """Those that ``console`` has not shown yet: the progress or the summary tells each once."""
    told = _told.setdefault(console, set())
    new = [sentence for sentence in dict.fromkeys(sentences) if sentence not in told]
    told.update(new)
    return new


def _is_probed(limit: Limit) -> bool:
    halved = limit.part in (RequestPart.IMAGES, RequestPart.PROVEN)
    return halved and not (limit.named or limit.proven or limit.measured)
