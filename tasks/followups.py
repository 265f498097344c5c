"""Jobs that continue an ended one: the same question about a changed set, or a further question
about the same set.

Reads: the earlier job, its images, its texts. Writes: a new job that takes over what is unchanged;
the earlier one stays as it is. May raise WrongUsage (its message says what to change), ServiceAway.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace

from clients.sources.documents import Documents, fetch_rules
from clients.sources.expand import expand
from clients.sources.facts import facts_key
from clients.sources.location import Source, is_url
from clients.sources.original import is_kept_apart
from clients.sources.tables import TableRules
from core.account.estimate import Ahead, ahead
from core.account.habit import habit_of
from core.catalog.tokens import detail_at
from core.errors import WrongUsage
from core.job_options import Exchange, JobOptions
from core.states import ANSWERED_JOBS
from core.text.hashing import content_key
from core.text.sanitize import UNSTORABLE, is_storable
from core.tree.capacity import check_pack
from models.new_job import NewJob, job_of_key
from models.reads import inspect, lineage, own_images, pipeline
from models.reads.lineage import Earlier
from models.reads.pipeline import JobRow
from tasks.calls.budget import check_budget
from tasks.job_layout import Keep, context_of, lay_out
from tasks.runtime.services import Services
from tasks.submit import Submitted, continue_job, rebudget
from tasks.taken_over import identity_of


@dataclass(frozen=True, slots=True)
class BaseJob:
    """An answered job to continue: its row, its images as given, what can be taken over."""

    job: JobRow
    sources: list[Source]
    earlier: Earlier


def add(
    services: Services,
    job_id: str,
    inputs: Sequence[str],
    budget: float | None = None,
    image_column: str | None = None,
) -> Submitted:
    """The question of ``job_id`` (or of the job that continued it) with more images. Images that
    the job has already are shown again only if they have changed. ``budget``: of the new job.
    ``image_column``: of tables among ``inputs``."""
    base = _newest(services, job_id)
    settings = services.settings
    expansion = expand(
        inputs,
        settings.image_limits,
        services.decoder,
        settings.own_inputs,
        uploads=services.uploads,
        tables=TableRules(image_column, (), fetch_rules(settings)),
    )
    known = {
        (source.location, source.version)
        for source in base.sources
        if is_url(source.location) or is_kept_apart(source.location)
    }
    new = [each for each in expansion.sources if (each.location, each.version) not in known]
    new = Documents.of(settings, services.decoder).with_pages(new)
    added = {(source.location, source.page): source for source in new}
    kept = [added.pop((source.location, source.page), source) for source in base.sources]
    submitted = _changed(services, base, [*kept, *added.values()], budget)
    return replace(
        submitted, ignored=tuple(expansion.ignored), passed_over=tuple(expansion.passed_over)
    )


def remove(
    services: Services, job_id: str, positions: Collection[int], budget: float | None = None
) -> Submitted:
    """The question of ``job_id`` without the images at ``positions``. ``budget``: see ``add``."""
    base = _newest(services, job_id)
    if base.job.id != job_id:
        raise WrongUsage(
            f"job {job_id} has been continued by job {base.job.id}, where positions may differ:"
            " remove images from that one"
        )
    unknown = sorted(set(positions) - set(range(1, len(base.sources) + 1)))
    if unknown:
        raise WrongUsage(f"job {job_id} has no image at position {unknown[0]}")
    left = [source for n, source in enumerate(base.sources, start=1) if n not in positions]
    if not left:
        raise WrongUsage(f"these are all images of job {job_id}: an empty set has no answer")
    return _changed(services, base, left, budget)


def ask(
    services: Services,
    job_id: str,
    question: str,
    look: frozenset[int] = frozenset(),
    instead_of: str | None = None,
    budget: float | None = None,
    pack: int | None = None,
    owner: str | None = None,
) -> Submitted:
    """A further question about the images of ``job_id``.

    A set that fits one request is shown again, with the conversation so far. For a larger one the
    notes are read, and the leaves over ``look`` (positions) show their images again. The last
    question is not asked twice; an answer for which images were shown again also counts as its
    answer from the notes. ``instead_of``: a turn that this one replaces. ``budget``: of the turn.
    ``pack``: images a request at most, where the turn shows images; None: as its job has it.
    ``owner``: the token whose job the turn is; None: the job's own.
    """
    base, turn = _turn(services, job_id, question, look, instead_of, budget, pack)
    if isinstance(turn, str):
        return _as_it_is(services, turn, budget)
    turn = replace(turn, owner=owner or base.job.owner)
    keep = Keep(branches=False, look=look)
    return _continued(services, turn, base.sources, base.earlier, keep, budget)


def foresee(
    services: Services,
    job_id: str,
    question: str,
    look: frozenset[int] = frozenset(),
    pack: int | None = None,
) -> Ahead | None:
    """What ``ask`` would take, planned in the same way and not written. None: the question is asked
    already, so asking it again costs nothing. Raises what ``ask`` does."""
    base, turn = _turn(services, job_id, question, look, None, None, pack)
    if isinstance(turn, str):
        return None
    with services.database.read() as connection:
        if job_of_key(connection, turn.key) is not None:
            return None
        past = inspect.past_calls(connection, turn.model, turn.endpoint)
    keep = Keep(branches=False, look=look)
    layout = lay_out(services, turn, base.sources, base.earlier, keep, {})
    context = context_of(services, turn)
    nodes = layout.open_nodes(context.tokens_most)
    return ahead(nodes, context, habit_of(past), services.settings.price_of(turn.model))


def _turn(
    services: Services,
    job_id: str,
    question: str,
    look: frozenset[int],
    instead_of: str | None,
    budget: float | None,
    pack: int | None,
) -> tuple[BaseJob, NewJob | str]:
    """The job that a question is about, and the turn: to be written, or the id of the one that has
    asked the same."""
    question = question.strip()
    if not question:
        raise WrongUsage("the question must have at least 1 character")
    if not is_storable(question):
        raise WrongUsage(f"the question: {UNSTORABLE}")
    base = _base(services, base_of(services, job_id))
    with services.database.read() as connection:
        turns = [pipeline.job(connection, turn) for turn in lineage.turns(connection, base.job.id)]
    earlier = [turn for turn in turns if turn is not None and turn.id != instead_of]
    shown = sorted(look)
    facts = services.settings.facts_of(base.job.model)
    check_pack(facts, services.settings.images_per_request, pack)
    pack = pack or base.job.options.pack
    if earlier and _is_same(earlier[-1], question, shown, pack):
        return base, earlier[-1].id
    waiting = [turn.id for turn in earlier if not turn.status.ended]
    if waiting:
        raise WrongUsage(
            f"an earlier question is not answered yet: 'overstory resume {waiting[0]}'"
        )
    history = tuple(_exchange(services, turn) for turn in [base.job, *earlier] if turn.answer)
    options = replace(
        base.job.options,
        history=history,
        look=tuple(shown),
        fresh=False,
        each=None,  # the answer is plain text
        each_only=False,
        schema=None,
        canary=False,
        second_look=None,
        second_model=None,
        by=None,
        pack=pack,
        inputs=None,
        budget=_budget(services, base.job, budget),
    )
    job = replace(_like(base.job, options), detail=detail_at(base.job.detail))
    exchanges = [asdict(exchange) for exchange in history]
    other_pack = [pack] if pack != base.job.options.pack else []
    key = content_key(["turn", base.job.id, question, shown, exchanges, *other_pack])
    return base, replace(job, ask=question, key=key, family=None, follows=base.job.id)


def _is_same(turn: JobRow, question: str, shown: list[int], pack: int | None) -> bool:
    """Whether ``turn`` has asked this, and has shown these images again in such requests."""
    return turn.ask == question and turn.options.pack == pack and shown in ([], looked_at(turn))


def _continued(
    services: Services,
    job: NewJob,
    sources: Sequence[Source],
    earlier: Earlier,
    keep: Keep,
    budget: float | None,
) -> Submitted:
    submitted = continue_job(services, job, sources, earlier, keep)
    return submitted if submitted.created else _as_it_is(services, submitted.job_id, budget)


def _as_it_is(services: Services, job_id: str, budget: float | None) -> Submitted:
    """A job that was submitted before; a budget that was given replaces its old one."""
    if budget is not None:
        rebudget(services, job_id, budget)
    return Submitted(job_id, created=False)


def _budget(services: Services, base: JobRow, given: float | None) -> float | None:
    """The budget of a job that continues ``base``: as given, else as its base has it."""
    budget = given or base.options.budget or services.settings.budget
    check_budget(services.settings, budget, base.model, base.options.second_model)
    return budget


def base_of(services: Services, job_id: str) -> str:
    """The job whose images a further question is about; for a turn, the job that it began with."""
    with services.database.read() as connection:
        job = pipeline.job(connection, job_id)
    assert job is not None, "the caller has read it"
    return job.follows if is_turn(job) and job.follows else job_id


def is_turn(job: JobRow) -> bool:
    """Whether a job is a further question about another one's images."""
    return job.options.is_follow_up


def looked_at(turn: JobRow) -> list[int]:
    """The positions whose leaves a turn shows again; none if it only reads the notes."""
    return list(turn.options.look)


def fits_one_request(base: Earlier) -> bool:
    return not base.root.children


def _newest(services: Services, job_id: str) -> BaseJob:
    with services.database.read() as connection:
        newest = lineage.newest_version(connection, job_id)
    base = _base(services, newest)
    if is_turn(base.job):
        raise WrongUsage(
            f"job {job_id} is a further question about job {base.job.follows}: change that set"
        )
    return base


def _base(services: Services, job_id: str) -> BaseJob:
    with services.database.read() as connection:
        job = pipeline.job(connection, job_id)
        rows = own_images.sources_of(connection, job_id)
        earlier = lineage.earlier(connection, job_id)
    assert job is not None, "the caller has read it"
    if job.status not in ANSWERED_JOBS or earlier is None:
        command = "retry" if job.status.ended else "resume"
        raise WrongUsage(
            f"job {job_id} is {job.status} and has no answer to continue from: run"
            f" 'overstory {command} {job_id}' first"
        )
    sources = []
    for row in rows:
        values = asdict(row)
        del values["position"]
        sources.append(Source(**values))
    return BaseJob(job, sources, earlier)


def _changed(
    services: Services, base: BaseJob, sources: Sequence[Source], budget: float | None
) -> Submitted:
    identities = [identity_of(source) for source in sources]
    told = facts_key(sources)
    is_same = identities == [identity_of(source) for source in base.sources]
    if is_same and told == facts_key(base.sources):
        return Submitted(base.job.id, created=False)
    budgeted = replace(base.job.options, budget=_budget(services, base.job, budget), inputs=None)
    job = _like(base.job, budgeted)
    owned = [base.job.owner] if base.job.owner else []
    similar = ["similar"] if base.job.options.similar else []
    facts = [told] if told else []
    known_by = [one if one[-1] else one[:-1] for one in identities]  # as before there were versions
    names = ["set", base.job.family or base.job.key, known_by]
    key = content_key([*names, *owned, *similar, *facts])
    job = replace(job, key=key)
    return _continued(services, job, sources, base.earlier, Keep(), budget)


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
        options=replace(options, watch=None, watch_budget=None),  # a person asks, not the watch
        family=job.family or content_key([job.key]),
        follows=job.id,
        owner=job.owner,
    )


def _exchange(services: Services, job: JobRow) -> Exchange:
    """A question and its answer, without the sentence that we add about failed images."""
    with services.database.read() as connection:
        return Exchange(job.ask, pipeline.root_text(connection, job.id) or "")
