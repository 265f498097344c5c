"""Where each image goes: a leaf of a fresh plan, or of an earlier job's tree, so that what has not
changed is neither prepared, uploaded nor asked again.

Reads: the blob store (which prepared images are still there). Does: duplicates, packing, the tree.
Writes nothing. May raise ServiceAway.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from clients.sources import duplicates
from clients.sources.location import Source
from clients.sources.units import Unit
from core.account.estimate import OpenNode
from core.catalog.tokens import detail_at
from core.errors import RefusalCode
from core.requests.request import RequestContext, request_context
from core.states import ImageStatus, NodeKind
from core.tree.capacity import (
    LearnedLimits,
)
from core.tree.packing import pack
from core.tree.plan import PlannedNode, plan_tree
from core.tree.replan import Replanned, replan
from models import endpoint_limits
from models.engine import Database
from models.new_job import NewImage, NewJob, NewUnit
from models.reads.inspect import WAITING_IMAGES
from models.reads.lineage import Earlier, Identity, KeptNode, KnownImage
from tasks.runtime.services import Services
from tasks.taken_over import (
    already_prepared,
    as_new,
    expected_weight,
    identity_of,
    kept_text,
    known_weight,
    taken_over,
)

SIMILAR = RefusalCode.SIMILAR


@dataclass(frozen=True, slots=True)
class Keep:
    """What is taken over from an earlier job. ``branches``: all unchanged nodes; without it the
    leaves' notes alone (for another question about the same images). Leaves over ``look``
    (positions of the earlier job) are never taken over."""

    branches: bool = True
    look: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class JobLayout:
    """Images at their places, the tree over them, and the texts that its nodes begin with."""

    images: list[NewImage]
    tree: list[PlannedNode]
    kept: list[KeptNode | None]
    units: Sequence[NewUnit] = ()

    @property
    def asks(self) -> bool:
        """Whether an image is shown that no kept text is about."""
        return any(
            image.leaf is not None and self.kept[image.leaf] is None for image in self.images
        )

    def unplanned(self) -> JobLayout:
        """The layout of a job that compares its images first: no tree, no answers, and every image
        pending that has no likeness from an earlier job."""
        images = [
            replace(image, leaf=None, known=_to_compare(image.known)) for image in self.images
        ]
        return JobLayout(images, [], [], [replace(unit, answer=None) for unit in self.units])

    def open_nodes(self, typical: float) -> list[OpenNode]:
        """The nodes that will be asked, as models.reads.inspect.open_nodes gives them for a job
        that is written. ``typical``: tokens of an image that is not prepared yet."""
        shown: dict[int, list[float]] = defaultdict(list)
        for image in self.images:
            if image.leaf is not None and image.status in WAITING_IMAGES:
                known = image.known.tokens if image.known else None
                shown[image.leaf].append(typical if known is None else known)
        counts, notes, pending = Counter[int](), Counter[int](), Counter[int]()
        unanswered = []
        for index in sorted(range(len(self.tree)), key=lambda index: self.tree[index].level):
            node, kept = self.tree[index], self.kept[index]
            counts[index] += kept.images if kept else len(shown[index])
            above = -1 if node.parent is None else node.parent
            counts[above] += counts[index]
            if kept:
                notes[above] += len(kept.text.encode())
            else:
                pending[above] += counts[index]
                unanswered.append(index)
        return [
            OpenNode(
                NodeKind.BRANCH if self.tree[index].children else NodeKind.LEAF,
                counts[index],
                round(sum(shown[index])),
                notes[index],
                pending[index],
            )
            for index in unanswered
        ]


def _to_compare(known: KnownImage | None) -> KnownImage | None:
    if known is None or known.status == ImageStatus.FAILED:
        return known
    is_fetched_there = not known.prepared_bytes
    if known.look > 1 or not (known.likeness or is_fetched_there):
        return None
    return as_new(known)


@dataclass(frozen=True, slots=True)
class Compared:
    """What is known of a job's images when they were compared. ``first_of``: index of a duplicate
    -> index of the first source with the same content; ``left_out``: indices of images for which
    similar ones stand; ``units``: of a job by units, the name of each and its indices."""

    first_of: Mapping[int, int]
    left_out: Collection[int]
    units: Sequence[Unit] = ()


@dataclass(frozen=True, slots=True)
class Distinct:
    """The sources of a job with duplicates marked. ``first_of``: index of a duplicate -> index of
    the first source with the same content; ``indices``: of all others, in order, but for those
    that similar ones stand for."""

    sources: Sequence[Source]
    first_of: Mapping[int, int]
    indices: Sequence[int]

    @classmethod
    def of(cls, sources: Sequence[Source], compared: Compared | None = None) -> Distinct:
        first_of = compared.first_of if compared else duplicates.content_twins(sources)
        without = {*first_of, *(compared.left_out if compared else ())}
        indices = [index for index in range(len(sources)) if index not in without]
        return cls(sources, first_of, indices)

    def placed(self, sizes: Sequence[int], order: Sequence[int] = ()) -> list[NewImage]:
        """Every source at its place; ``sizes``: distinct images in each leaf; ``order``: their
        numbers leaf by leaf, if they do not follow each other."""
        leaf_of: dict[int, int] = {}
        ordered = [self.indices[number] for number in order] if order else self.indices
        start = 0
        for leaf, size in enumerate(sizes):
            leaf_of.update(dict.fromkeys(ordered[start : start + size], leaf))
            start += size
        return [
            NewImage(
                name=source.name,
                location=source.location,
                page=source.page,
                root=source.root,
                bytes=source.bytes,
                duplicate_of=self.first_of[index] + 1 if index in self.first_of else None,
                leaf=leaf_of.get(index),
                changed_ns=source.changed_ns,
                version=source.version,
                facts=source.facts,
            )
            for index, source in enumerate(self.sources)
        ]


def lay_out(
    services: Services,
    job: NewJob,
    sources: Sequence[Source],
    earlier: Earlier | None,
    keep: Keep,
    prepared: Mapping[Identity, KnownImage],
    compared: Compared | None = None,
) -> JobLayout:
    """Every source at its place, in the tree of ``earlier`` as far as it fits. Without an earlier
    job, images in ``prepared`` begin as prepared. ``compared``: of a job that was planned before
    and has compared its images."""
    context = context_of(services, job)
    if earlier is not None:
        return _continued(services, context, Distinct.of(sources, compared), earlier, keep)
    images, leaves = place(sources, context, compared)
    images = already_prepared(services, context, sources, images, prepared)
    tree = plan_tree(leaves, context.fan_in(leaves))
    return JobLayout(images, tree, [None] * len(tree))


def context_of(services: Services, job: NewJob) -> RequestContext:
    """The context of the requests of a job that is planned."""
    return request_context(
        services.settings,
        question=job.ask,
        model=job.model,
        provider=job.provider,
        endpoint=job.endpoint,
        detail=detail_at(job.detail),
        options=job.options,
        learned=learned_limits(services.database, job.endpoint, job.model, job.options.canary),
    )


def learned_limits(database: Database, endpoint: str, model: str, canary: bool) -> LearnedLimits:
    """What ``endpoint`` has shown that it takes in one request for ``model``."""
    with database.read() as connection:
        return endpoint_limits.learned(connection, endpoint, model, canary)


def place(
    sources: Sequence[Source], context: RequestContext, compared: Compared | None = None
) -> tuple[list[NewImage], int]:
    """Every source in its leaf, or as a duplicate of another; and the number of leaves. Leaves are
    planned over distinct images, by their expected bytes and tokens."""
    distinct = Distinct.of(sources, compared)
    sizes = leaf_sizes(distinct, context)
    return distinct.placed(sizes), len(sizes)


def leaf_sizes(distinct: Distinct, context: RequestContext) -> list[int]:
    """How many images each leaf of a fresh plan shows."""
    expected = [expected_weight(distinct.sources[index], context) for index in distinct.indices]
    return pack(expected, context.capacity.leaf)


def _continued(
    services: Services, context: RequestContext, distinct: Distinct, earlier: Earlier, keep: Keep
) -> JobLayout:
    similar = {} if keep.branches else _similar_before(earlier, distinct)
    indices = [index for index in distinct.indices if index not in similar]
    distinct = replace(distinct, indices=indices)
    identities = [identity_of(distinct.sources[index]) for index in distinct.indices]
    weights = [
        known_weight(earlier.images.get(identity), distinct.sources[index], context)
        for index, identity in zip(distinct.indices, identities, strict=True)
    ]
    fan_in = context.fan_in(len(distinct.sources))
    before = (earlier.images.get(identity) for identity in identities)
    apart = {n for n, known in enumerate(before) if known and known.error_code == SIMILAR}
    spec = context.answer_spec
    roles = spec is None or spec.folds or spec.needs_words
    plan = replan(identities, weights, earlier.root, context.capacity.leaf, fan_in, apart, roles)
    if plan is None:
        sizes = pack(weights, context.capacity.leaf)
        tree = plan_tree(len(sizes), fan_in)
        plan = Replanned(tree, sizes, [None] * len(tree))
    ordered = [identities[number] for number in plan.order] or identities
    kept = _kept_nodes(plan, earlier, keep, ordered)
    images = distinct.placed(plan.sizes, plan.order)
    known = {
        index: earlier.images[identity]
        for index, identity in zip(distinct.indices, identities, strict=True)
        if identity in earlier.images
    }
    leaves = {index: images[index].leaf for index in known}
    stay = {index for index, leaf in leaves.items() if leaf is not None and kept[leaf] is not None}
    states = taken_over(services, context, known, stay, with_notes=not keep.branches)
    for index, state in states.items():
        images[index] = replace(images[index], known=state)
    for index, image in similar.items():
        images[index] = replace(images[index], known=image)
    positions = {image.position: index + 1 for index, image in known.items()}
    texts = [kept_text(earlier, node, positions) for node in kept]
    return JobLayout(images, plan.tree, texts)


def _similar_before(earlier: Earlier, distinct: Distinct) -> dict[int, KnownImage]:
    """The images that the earlier job left out: a further question leaves them out too."""
    known = {i: earlier.images.get(identity_of(distinct.sources[i])) for i in distinct.indices}
    return {
        index: image
        for index, image in known.items()
        if image is not None and image.error_code == SIMILAR
    }


def _kept_nodes(
    plan: Replanned, earlier: Earlier, keep: Keep, identities: Sequence[Identity]
) -> list[int | None]:
    kept = [  # a leaf that is the root has an answer to its question, and no notes
        node_id if keep.branches or (node.level == 0 and node.parent is not None) else None
        for node, node_id in zip(plan.tree, plan.kept, strict=True)
    ]
    start = 0
    for leaf, size in enumerate(plan.sizes):
        shown = (earlier.images.get(identity) for identity in identities[start : start + size])
        if any(image is not None and image.position in keep.look for image in shown):
            kept[leaf] = None
        start += size
    return kept
