"""Jobs that go on from an ended one: the same question about a changed set, or a further question
about the same set.

Reads: the earlier job, its images, its texts. Writes: a new job that takes over what still holds;
the earlier one stays as it is. May raise WrongUsage (what to change is in its words), ServiceAway.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace

from clients.sources.expand import expand
from clients.sources.location import Source
from core.errors import WrongUsage
from core.job_options import Exchange, JobOptions
from core.states import ANSWERED_JOBS
from core.text.hashing import content_key
from models.new_job import NewJob
from models.reads import lineage, pipeline
from models.reads.lineage import Earlier
from models.reads.pipeline import JobRow
from tasks.job_layout import Keep, identity_of
from tasks.preprocess import limits_of
from tasks.runtime.services import Services
from tasks.submit import Submitted, continue_job


@dataclass(frozen=True, slots=True)
class Ground:
    """An answered job to go on from: its row, its images as given, what can be taken over."""

    job: JobRow
    sources: list[Source]
    before: Earlier


def add(services: Services, job_id: str, inputs: Sequence[str]) -> Submitted:
    """The question of ``job_id`` (or what has followed it) with more images. Those that are there
    already are looked at again only if they have changed."""
    ground = _newest(services, job_id)
    found = expand(inputs, limits_of(services.settings))
    fresh = {(each.location, each.page): each for each in found.sources}
    there = [fresh.pop((each.location, each.page), each) for each in ground.sources]
    submitted = _changed(services, ground, [*there, *fresh.values()])
    return replace(submitted, ignored=tuple(found.ignored))


def remove(services: Services, job_id: str, positions: Collection[int]) -> Submitted:
    """The question of ``job_id`` without the images at ``positions``."""
    ground = _newest(services, job_id)
    if ground.job.id != job_id:
        raise WrongUsage(
            f"job {job_id} has been continued by job {ground.job.id}, where positions may differ:"
            " remove images from that one"
        )
    unknown = sorted(set(positions) - set(range(1, len(ground.sources) + 1)))
    if unknown:
        raise WrongUsage(f"job {job_id} has no image at position {unknown[0]}")
    left = [each for n, each in enumerate(ground.sources, start=1) if n not in positions]
    if not left:
        raise WrongUsage(f"that is every image of job {job_id}: an empty set has no answer")
    return _changed(services, ground, left)


def ask(
    services: Services,
    job_id: str,
    question: str,
    look: frozenset[int] = frozenset(),
    instead_of: str | None = None,
) -> Submitted:
    """A further question about the images of ``job_id``.

    A set that fits one request is shown again, with the conversation so far. Of a larger one the
    notes are read, and the leaves over ``look`` (positions) are looked at again. The question
    that was asked last is not asked twice; an answer that came of looking is one to it from the
    notes, too. ``instead_of``: a turn that this one replaces.
    """
    question = question.strip()
    if not question:
        raise WrongUsage("the question must have at least 1 character")
    ground = _ground(services, base_of(services, job_id))
    with services.database.read() as connection:
        turns = [
            pipeline.job(connection, turn) for turn in lineage.turns(connection, ground.job.id)
        ]
    earlier = [turn for turn in turns if turn is not None and turn.id != instead_of]
    shown = sorted(look)
    if earlier and earlier[-1].ask == question and shown in ([], looked_at(earlier[-1])):
        return Submitted(earlier[-1].id, created=False)
    waiting = [turn.id for turn in earlier if not turn.status.ended]
    if waiting:
        raise WrongUsage(
            f"an earlier question is not answered yet: 'overstory resume {waiting[0]}'"
        )
    history = tuple(_exchange(services, turn) for turn in [ground.job, *earlier] if turn.answer)
    options = replace(
        ground.job.options,
        history=history,
        look=tuple(shown),
        fresh=False,
        each=None,  # the answer is plain text
        each_only=False,
        schema=None,
    )
    job = _like(ground.job, options)
    exchanges = [asdict(exchange) for exchange in history]
    key = content_key(["turn", ground.job.id, question, shown, exchanges])
    job = replace(job, ask=question, key=key, family=None, follows=ground.job.id)
    keep = Keep(branches=False, look=look)
    return continue_job(services, job, ground.sources, ground.before, keep)


def base_of(services: Services, job_id: str) -> str:
    """The job whose images a further question is about: of a turn, the one it began with."""
    with services.database.read() as connection:
        job = pipeline.job(connection, job_id)
    assert job is not None, "callers have looked it up"
    return job.follows if is_turn(job) and job.follows else job_id


def is_turn(job: JobRow) -> bool:
    """Whether a job is a further question about another one's images."""
    return job.options.is_follow_up


def looked_at(turn: JobRow) -> list[int]:
    """The positions whose leaves a turn looks at again; none where it reads the notes alone."""
    return list(turn.options.look)


def fits_one_request(ground: Earlier) -> bool:
    return not ground.root.children


def _newest(services: Services, job_id: str) -> Ground:
    with services.database.read() as connection:
        newest = lineage.newest_version(connection, job_id)
    ground = _ground(services, newest)
    if is_turn(ground.job):
        raise WrongUsage(
            f"job {job_id} is a further question about job {ground.job.follows}: change that set"
        )
    return ground


def _ground(services: Services, job_id: str) -> Ground:
    with services.database.read() as connection:
        job = pipeline.job(connection, job_id)
        rows = lineage.sources_of(connection, job_id)
        before = lineage.earlier(connection, job_id)
    assert job is not None, "callers have looked it up"
    if job.status not in ANSWERED_JOBS or before is None:
        hint = "retry" if job.status.ended else "resume"
        raise WrongUsage(
            f"job {job_id} is {job.status} and has no answer to go on from:"
            f" 'overstory {hint} {job_id}' first"
        )
    found = []
    for row in rows:
        values = asdict(row)
        del values["position"]
        found.append(Source(**values))
    return Ground(job, found, before)


def _changed(services: Services, ground: Ground, found: Sequence[Source]) -> Submitted:
    identities = [identity_of(each) for each in found]
    if identities == [identity_of(each) for each in ground.sources]:
        return Submitted(ground.job.id, created=False)
    job = _like(ground.job, ground.job.options)
    key = content_key(["set", ground.job.family or ground.job.key, identities])
    return continue_job(services, replace(job, key=key), found, ground.before, Keep())


def _like(job: JobRow, options: JobOptions) -> NewJob:
    return NewJob(
        id=secrets.token_hex(6),
        key="",
        ask=job.ask,
        label=job.label,
        model=job.model,
        provider=job.provider,
        endpoint=job.endpoint,
        account=job.account,
        detail=job.detail,
        weight=job.weight,
        options=options,
        family=job.family or content_key([job.key]),
        follows=job.id,
    )


def _exchange(services: Services, job: JobRow) -> Exchange:
    """A question and its answer, without the sentence that we add about failed images."""
    with services.database.read() as connection:
        return Exchange(job.ask, pipeline.root_text(connection, job.id) or "")
