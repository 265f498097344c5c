"""Where each image goes: a leaf of a fresh plan, or of an earlier job's tree, so that what has not
changed is neither prepared, uploaded nor asked again.

Reads: the blob store (which prepared images are still there). Does: duplicates, packing, the tree.
Writes nothing. May raise ServiceAway.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from clients.sources import duplicates
from clients.sources.location import Source, is_url
from core.account.estimate import OpenNode
from core.catalog.facts import facts_of
from core.catalog.tokens import detail_at
from core.errors import RefusalCode
from core.requests.request import RequestContext, request_context
from core.settings import Settings
from core.states import ImageStatus, NodeKind
from core.text import citations
from core.tree.capacity import (
    LABEL_TOKENS,
    LearnedLimits,
    base64_bytes,
    expected_bytes,
)
from core.tree.packing import Weight, pack
from core.tree.plan import PlannedNode, plan_tree
from core.tree.replan import Replanned, replan
from models import endpoint_limits
from models.engine import Database
from models.new_job import NewImage, NewJob
from models.reads import lineage
from models.reads.inspect import WAITING_IMAGES
from models.reads.lineage import Earlier, Identity, KeptNode, KnownImage
from tasks.runtime.services import Services

REFUSED_FOR_GOOD = (
    RefusalCode.BLOCKED,
    RefusalCode.REFUSED_BY_PROVIDER,
    RefusalCode.POISON,
    RefusalCode.NOTES_BLOCKED,
)
"""Trying these again would be paid for again; other failures cost nothing to try."""
BLOBS_AT_ONCE = 16


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


@dataclass(frozen=True, slots=True)
class Distinct:
    """The sources of a job with duplicates marked. ``first_of``: index of a duplicate -> index of
    the first source with the same content; ``indices``: of all others, in order."""

    sources: Sequence[Source]
    first_of: Mapping[int, int]
    indices: Sequence[int]

    @classmethod
    def of(cls, sources: Sequence[Source]) -> Distinct:
        first_of = duplicates.content_twins(sources)
        indices = [index for index in range(len(sources)) if index not in first_of]
        return cls(sources, first_of, indices)

    def placed(self, sizes: Sequence[int]) -> list[NewImage]:
        """Every source at its place; ``sizes``: distinct images in each leaf."""
        leaf_of: dict[int, int] = {}
        start = 0
        for leaf, size in enumerate(sizes):
            leaf_of.update(dict.fromkeys(self.indices[start : start + size], leaf))
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
) -> JobLayout:
    """Every source at its place, in the tree of ``earlier`` as far as it fits. Without an earlier
    job, images in ``prepared`` begin as prepared."""
    context = context_of(services, job)
    if earlier is not None:
        return _continued(services, context, Distinct.of(sources), earlier, keep)
    images, leaves = place(sources, context)
    images = _already_prepared(services, context, sources, images, prepared)
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


def place(sources: Sequence[Source], context: RequestContext) -> tuple[list[NewImage], int]:
    """Every source in its leaf, or as a duplicate of another; and the number of leaves. Leaves are
    planned over distinct images, by their expected bytes and tokens."""
    distinct = Distinct.of(sources)
    sizes = leaf_sizes(distinct, context)
    return distinct.placed(sizes), len(sizes)


def leaf_sizes(distinct: Distinct, context: RequestContext) -> list[int]:
    """How many images each leaf of a fresh plan shows."""
    expected = [_expected(distinct.sources[index], context) for index in distinct.indices]
    return pack(expected, context.capacity.leaf)


def _continued(
    services: Services, context: RequestContext, distinct: Distinct, earlier: Earlier, keep: Keep
) -> JobLayout:
    identities = [identity_of(distinct.sources[index]) for index in distinct.indices]
    weights = [
        _weight(earlier.images.get(identity)) or _expected(distinct.sources[index], context)
        for index, identity in zip(distinct.indices, identities, strict=True)
    ]
    fan_in = context.fan_in(len(distinct.sources))
    plan = replan(identities, weights, earlier.root, context.capacity.leaf, fan_in)
    if plan is None:
        sizes = pack(weights, context.capacity.leaf)
        tree = plan_tree(len(sizes), fan_in)
        plan = Replanned(tree, sizes, [None] * len(tree))
    kept = _kept_nodes(plan, earlier, keep, identities)
    images = distinct.placed(plan.sizes)
    known = {
        index: earlier.images[identity]
        for index, identity in zip(distinct.indices, identities, strict=True)
        if identity in earlier.images
    }
    positions = {image.position: index + 1 for index, image in known.items()}
    leaves = {index: images[index].leaf for index in known}
    stay = {index for index, leaf in leaves.items() if leaf is not None and kept[leaf] is not None}
    stored = _stored(services, [image for index, image in known.items() if index not in stay])
    for index, image in known.items():
        taken_over = _moved(context, image, positions)
        state = taken_over if index in stay else _again(context, image, stored)
        if state is not None and not keep.branches:  # its note is part of the conversation
            state = replace(state, note=taken_over.note)
        images[index] = replace(images[index], known=state)
    texts = [_text(earlier, node, positions) for node in kept]
    return JobLayout(images, plan.tree, texts)


def identity_of(source: Source) -> Identity:
    return (source.location, source.page, source.bytes, source.changed_ns, source.version)


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


def prepared_before(
    settings: Settings, database: Database, model: str, detail: str, found: Sequence[Source]
) -> dict[Identity, KnownImage]:
    """The images that another question about them has left prepared, in the sizes of ``model``."""
    images = [(source.name, source.location) for source in found]
    sizes = settings.facts_of(model).sizes

    def is_alike(model: str, endpoint: str) -> bool:
        return facts_of(model, endpoint, settings.own_models).sizes == sizes

    with database.read() as connection:
        return lineage.prepared(connection, detail, images, is_alike)


def _already_prepared(
    services: Services,
    context: RequestContext,
    sources: Sequence[Source],
    images: Sequence[NewImage],
    prepared: Mapping[Identity, KnownImage],
) -> list[NewImage]:
    """``images``, of which those in ``prepared`` begin as prepared if their bytes are stored."""
    known = [prepared.get(identity_of(source)) for source in sources]
    stored = _stored(services, [image for image in known if image is not None])
    return [
        image
        if earlier is None or image.leaf is None
        else replace(image, known=_as_prepared(context, earlier, stored))
        for image, earlier in zip(images, known, strict=True)
    ]


def _again(
    context: RequestContext, known: KnownImage, stored: Collection[str]
) -> KnownImage | None:
    """How an image begins that is shown again; None: from its source."""
    if known.status == ImageStatus.FAILED and known.error_code in REFUSED_FOR_GOOD:
        return known
    return _as_prepared(context, known, stored)


def _as_prepared(
    context: RequestContext, known: KnownImage, stored: Collection[str]
) -> KnownImage | None:
    """An image whose prepared bytes are ``stored``; None if they are not, or are larger than the
    model sees, as those of an older version may be."""
    if known.look > 1:  # its bytes may be at the detail of a second look
        return None
    if not known.sha256 or (known.prepared_bytes and known.sha256 not in stored):
        return None
    tokens = known.tokens
    if known.width and known.height:
        size = (known.width, known.height)
        if context.sizes.of(*size, context.detail) != size:
            return None
        tokens = context.image_tokens.of(*size, context.detail)
    return replace(
        known,
        tokens=tokens,
        status=ImageStatus.PREPARED,
        error=None,
        error_code=None,
        answer=None,
        seen=None,
        note=None,
        unclear=None,
    )


def _stored(services: Services, known: Collection[KnownImage]) -> set[str]:
    """Hashes of the prepared images that the blob store has. A bucket takes a request for each."""
    hashes = list({image.sha256 for image in known if image.sha256 and image.prepared_bytes})

    def held(some: Sequence[str]) -> list[str]:
        return [sha256 for sha256 in some if services.blobs.size(sha256) is not None]

    if not hashes:  # a first question starts no threads
        return set()
    with ThreadPoolExecutor(BLOBS_AT_ONCE) as pool:
        parts = pool.map(held, (hashes[one::BLOBS_AT_ONCE] for one in range(BLOBS_AT_ONCE)))
        return {sha256 for part in parts for sha256 in part}


def _moved(context: RequestContext, known: KnownImage, positions: dict[int, int]) -> KnownImage:
    """An image whose answer is taken over, with the new positions in its citations."""
    if known.note:
        known = replace(known, note=citations.translate(known.note, positions))
    if context.answer_spec is None or known.answer is None:
        return known
    own = positions[known.position]
    return replace(known, answer=context.answer_spec.parts.moved(known.answer, positions, own))


def _text(earlier: Earlier, node_id: int | None, positions: dict[int, int]) -> KeptNode | None:
    """A text that is taken over, citing positions of the new job."""
    if node_id is None:
        return None
    text = earlier.texts[node_id]
    if all(old == new for old, new in positions.items()):
        return text
    return replace(text, text=citations.translate(text.text, positions))


def _expected(source: Source, context: RequestContext) -> Weight:
    is_fetched = is_url(source.location) and source.page is None
    tokens = context.tokens_fetched if is_fetched else context.tokens_most
    return Weight(expected_bytes(source.bytes, context.detail), LABEL_TOKENS + tokens)


def _weight(known: KnownImage | None) -> Weight | None:
    if known is None or known.tokens is None:
        return None
    return Weight(base64_bytes(known.prepared_bytes or 0), LABEL_TOKENS + known.tokens)
