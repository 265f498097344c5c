"""Where each image of a job by units goes: leaves show whole units, in a new tree or in that of an
earlier job, so that requests whose units have not changed are not asked again.

Reads: the blob store (which prepared images are still there). Does: units, duplicates, packing, the
tree. Writes nothing. May raise WrongUsage (no such column), ServiceAway.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from clients.sources import duplicates
from clients.sources.dates import with_dates
from clients.sources.location import Source
from clients.sources.units import Unit, grouped
from core.requests.facts import chosen, quoted
from core.requests.request import RequestContext
from core.requests.unit_leaf import of_part
from core.text import citations
from core.tree.packing import Weight, fits, pack, runs
from core.tree.plan import plan_tree
from core.tree.replan import Replanned, replan
from core.tree.units import UnitTree, together, with_parts
from models.new_job import NewImage, NewJob, NewUnit
from models.reads.lineage import Earlier, EarlierUnits, Identity, KnownImage, UnitKey
from tasks.job_layout import Compared, Distinct, JobLayout, context_of
from tasks.runtime.services import Services
from tasks.shown_facts import are_others, unsettled
from tasks.taken_over import (
    already_prepared,
    identity_of,
    kept_text,
    known_weight,
    taken_over,
)


@dataclass(frozen=True, slots=True)
class Units:
    """The sources of a job, in the order of its units. ``units``: indices of their images;
    ``copies``: number of a unit -> number of an earlier one with the same images; ``asked``: the
    numbers of all others, each with the indices of its distinct images."""

    units: Sequence[Unit]
    distinct: Distinct
    copies: Mapping[int, int]
    asked: Mapping[int, Sequence[int]]

    @classmethod
    def of(
        cls,
        found: Sequence[Source],
        by: str,
        facts: Sequence[str] = (),
        compared: Compared | None = None,
    ) -> Units:
        """``facts``: names of those that are shown: units with the same images differ by them.
        Raises WrongUsage for a column that no table has."""
        units = list(compared.units) if compared else grouped(found, by)
        sources = [found[index] for unit in units for index in unit.images]
        members = runs(range(len(sources)), [len(unit.images) for unit in units])
        units = [replace(u, images=tuple(m)) for u, m in zip(units, members, strict=True)]
        contents = compared.first_of if compared else duplicates.content_twins(sources)
        first_of: dict[int, int] = {}
        asked: dict[int, list[int]] = {}
        copies: dict[int, int] = {}
        same: dict[tuple[Any, ...], int] = {}
        for number, unit in enumerate(units, start=1):
            own: dict[int, int] = {}  # content -> index of its first image here
            for index in unit.images:
                own.setdefault(contents.get(index, index), index)
            told = [quoted(chosen(sources[i].facts, sources[i].name, facts)) for i in own.values()]
            # when they were compared, those with other facts were told apart before
            earlier = same.setdefault((*own, *([] if compared else told)), number)
            if earlier != number:
                copies[number] = earlier
                whose = {contents.get(index, index): index for index in asked[earlier]}
                first_of |= {i: whose[contents.get(i, i)] for i in unit.images}
                continue
            asked[number] = list(own.values())
            first_of |= {
                index: own[contents.get(index, index)]
                for index in unit.images
                if own[contents.get(index, index)] != index
            }
        if compared:
            left_out = compared.left_out
            asked = {n: [i for i in own_ if i not in left_out] for n, own_ in asked.items()}
        indices = [index for own_ in asked.values() for index in own_]
        return cls(units, Distinct(sources, first_of, indices), copies, asked)

    def name_of(self, number: int) -> str:
        return self.units[number - 1].name

    def leaf_sizes(self, context: RequestContext) -> list[int]:
        """How many images each leaf of a fresh plan shows."""
        weights = _Weights.of(self, context, None)
        return _expanded(self, weights, context, _fresh(weights, context)).sizes


@dataclass(frozen=True, slots=True)
class _Weights:
    """``images``: of each distinct image by its index; ``units``: of those that are asked about."""

    images: Mapping[int, Weight]
    units: Sequence[Weight]

    @classmethod
    def of(cls, units: Units, context: RequestContext, earlier: EarlierUnits | None) -> _Weights:
        sources = units.distinct.sources
        images = {}
        for number, indices in units.asked.items():
            for index in indices:
                known = _known(earlier, units.name_of(number), sources[index])
                images[index] = known_weight(known, sources[index], context)
        each = [together([images[i] for i in indices]) for indices in units.asked.values()]
        return cls(images, each)


def lay_out_units(
    services: Services,
    job: NewJob,
    sources: Sequence[Source],
    earlier: Earlier | None,
    prepared: Mapping[Identity, KnownImage],
    compared: Compared | None = None,
) -> JobLayout:
    """Every source at its place, like ``job_layout.lay_out``, in a job that is asked by units."""
    assert job.options.by is not None, "the caller has looked"
    context = context_of(services, job)
    limits = services.settings.image_limits
    if not compared:
        sources = with_dates(sources, job.options.by, services.decoder, services.uploads, limits)
    units = Units.of(sources, job.options.by, job.options.facts, compared)
    old = None if earlier is None else earlier.units
    weights = _Weights.of(units, context, old)
    packed = None if old is None else _continued(units, weights, context, old)
    packed = packed or _fresh(weights, context)
    plan = _expanded(units, weights, context, packed)
    number_of = {i: n for n, unit in enumerate(units.units, start=1) for i in unit.images}
    images = [
        replace(image, unit=number_of[index])
        for index, image in enumerate(units.distinct.placed(plan.sizes))
    ]
    if earlier is None or old is None:
        images = already_prepared(services, context, units.distinct.sources, images, prepared)
        rows = [NewUnit(unit.name, units.copies.get(n)) for n, unit in enumerate(units.units, 1)]
        return JobLayout(images, plan.tree, [None] * len(plan.tree), rows)
    return _with_answers(services, context, units, packed, plan, earlier, old, images)


def _with_answers(
    services: Services,
    context: RequestContext,
    units: Units,
    packed: Replanned,
    plan: UnitTree,
    earlier: Earlier,
    old: EarlierUnits,
    images: list[NewImage],
) -> JobLayout:
    """The layout with what the earlier job has answered."""
    kept: list[int | None] = [None] * len(plan.tree)
    for place, node_id in zip(plan.nodes, packed.kept, strict=True):
        kept[place] = node_id
    sources = units.distinct.sources
    known = {
        index: image
        for number, indices in units.asked.items()
        for index in indices
        if (image := _known(old, units.name_of(number), sources[index])) is not None
    }
    leaves = {index: images[index].leaf for index in known}
    stay = {index for index, leaf in leaves.items() if leaf is not None and kept[leaf] is not None}
    for index, state in taken_over(services, context, known, stay, with_notes=False).items():
        images[index] = replace(images[index], known=state)
    positions = {image.position: index + 1 for index, image in known.items()}
    answers = {
        number: _moved(context, old.answers[_key(units, number)], positions, indices[0] + 1)
        for number, indices in units.asked.items()
        if indices[0] in stay
    }
    rows = []
    for number, unit in enumerate(units.units, start=1):
        same = units.copies.get(number)
        rows.append(NewUnit(unit.name, same, answers.get(same or number)))
    texts = [kept_text(earlier, node, positions) for node in kept]
    return JobLayout(images, plan.tree, texts, rows)


def _fresh(weights: _Weights, context: RequestContext) -> Replanned:
    sizes = pack(weights.units, context.capacity.leaf)
    tree = plan_tree(len(sizes), context.fan_in(len(sizes)))
    return Replanned(tree, sizes, [None] * len(tree))


def _continued(
    units: Units, weights: _Weights, context: RequestContext, old: EarlierUnits
) -> Replanned | None:
    keys = {number: _key(units, number) for number in units.asked}
    sources = units.distinct.sources
    changed = {
        keys[number]
        for number, indices in units.asked.items()
        if any(
            (known := _known(old, units.name_of(number), sources[index])) is not None
            and are_others(sources[index], known, context.facts)
            for index in indices
        )
    }
    root = unsettled(old.root, changed.__contains__) if changed else old.root
    fan_in = context.fan_in(len(keys))
    return replan(list(keys.values()), weights.units, root, context.capacity.leaf, fan_in)


def _expanded(
    units: Units, weights: _Weights, context: RequestContext, packed: Replanned
) -> UnitTree:
    """The plan with a tree of its own for each unit that no request can hold."""
    counts: list[int] = []
    parts: dict[int, list[int]] = {}
    alone: dict[int, int] = {}
    for number, members in enumerate(runs(list(units.asked), packed.sizes)):
        heavy = [weights.images[index] for unit in members for index in units.asked[unit]]
        counts.append(len(heavy))
        is_asked = packed.kept[number] is None
        if is_asked and len(heavy) > 1 and not fits(heavy, context.capacity.leaf):
            parts[number] = pack(heavy, context.capacity.leaf)
            alone[number] = members[0]
    most = max(map(len, parts.values()), default=2)
    return with_parts(packed.tree, counts, parts, alone, of_part(context).fan_in(most))


def _key(units: Units, number: int) -> UnitKey:
    sources = units.distinct.sources
    return units.name_of(number), tuple(identity_of(sources[i]) for i in units.asked[number])


def _known(earlier: EarlierUnits | None, unit: str, source: Source) -> KnownImage | None:
    return None if earlier is None else earlier.images.get((unit, identity_of(source)))


def _moved(context: RequestContext, value: Any, positions: Mapping[int, int], own: int) -> Any:
    """An answer that is taken over, with the new positions in its citations."""
    if isinstance(value, str) or context.answer_spec is None:
        return citations.translate(value, positions)
    return context.answer_spec.parts.moved(value, positions, own)
