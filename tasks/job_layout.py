"""Where each image goes: its leaf in a fresh plan, or in the tree of an earlier job, so that what
stayed the same is neither prepared, uploaded nor asked again.

Reads: the blob store (which prepared images are still there). Does: duplicates, packing, the tree.
Writes nothing. May raise ServiceAway.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from clients.sources import duplicates
from clients.sources.location import Source
from core.catalog.tokens import Detail
from core.errors import RefusalCode
from core.requests.request import RequestContext, request_context
from core.states import ImageStatus
from core.text import citations
from core.tree.capacity import RequestCapacity, base64_bytes, expected_bytes, expected_tokens
from core.tree.packing import Weight, pack
from core.tree.plan import PlannedNode, plan_tree
from core.tree.replan import Replanned, replan
from models.new_job import NewImage, NewJob
from models.reads.lineage import Earlier, Identity, KeptNode, KnownImage
from tasks.runtime.services import Services

REFUSED_FOR_GOOD = (
    RefusalCode.BLOCKED,
    RefusalCode.REFUSED_BY_PROVIDER,
    RefusalCode.POISON,
    RefusalCode.NOTES_BLOCKED,
)
"""Finding these out again would be paid again; other failures cost nothing to try."""
BLOBS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Keep:
    """What is taken over from an earlier job: all that is unchanged, or only what leaves say (a
    new question about the same images), and of these not the leaves over ``look`` (positions of
    the earlier job)."""

    branches: bool = True
    look: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Arranged:
    """Images at their places, the tree over them, and the texts its nodes begin with."""

    images: list[NewImage]
    tree: list[PlannedNode]
    kept: list[KeptNode | None]


def arrange(
    services: Services,
    job: NewJob,
    found: Sequence[Source],
    before: Earlier | None,
    keep: Keep,
    prepared: Mapping[Identity, KnownImage],
) -> Arranged:
    """Every source at its place, going on from ``before`` as far as it serves. Without it images
    that are ``prepared`` begin so."""
    detail: Detail = "high" if job.detail == "high" else "low"
    ask = request_context(
        services.settings,
        question=job.ask,
        model=job.model,
        provider=job.provider,
        endpoint=job.endpoint,
        detail=detail,
        options=job.options,
    )
    if before is None:
        images, leaves = place(found, ask.capacity, detail)
        images = _begun(services, found, images, prepared)
        tree = plan_tree(leaves, ask.fan_in(leaves))
        return Arranged(images, tree, [None] * len(tree))
    return _continued(services, ask, found, before, keep)


def place(
    found: Sequence[Source], shape: RequestCapacity, detail: Detail
) -> tuple[list[NewImage], int]:
    """Every source at its place: its leaf, or the first one it is a duplicate of; and the number
    of leaves. Leaves are planned over distinct images, by what they are expected to weigh."""
    twins = duplicates.content_twins(found)
    distinct = [index for index in range(len(found)) if index not in twins]
    sizes = pack([_expected(found[index], detail) for index in distinct], shape.leaf)
    return _seated(found, twins, distinct, sizes), len(sizes)


def _continued(
    services: Services, ask: RequestContext, found: Sequence[Source], before: Earlier, keep: Keep
) -> Arranged:
    twins = duplicates.content_twins(found)
    distinct = [index for index in range(len(found)) if index not in twins]
    identities = [identity_of(found[index]) for index in distinct]
    weights = [
        _weight(before.images.get(identity)) or _expected(found[index], ask.detail)
        for index, identity in zip(distinct, identities, strict=True)
    ]
    fan_in = ask.fan_in(len(found))
    plan = replan(identities, weights, before.root, ask.capacity.leaf, fan_in)
    if plan is None:
        sizes = pack(weights, ask.capacity.leaf)
        tree = plan_tree(len(sizes), fan_in)
        plan = Replanned(tree, sizes, [None] * len(tree))
    kept = _kept_nodes(plan, before, keep, identities)
    images = _seated(found, twins, distinct, plan.sizes)
    known = {
        index: before.images[identity]
        for index, identity in zip(distinct, identities, strict=True)
        if identity in before.images
    }
    positions = {image.position: index + 1 for index, image in known.items()}
    leaves = {index: images[index].leaf for index in known}
    stay = {index for index, leaf in leaves.items() if leaf is not None and kept[leaf] is not None}
    there = _there(services, [image for index, image in known.items() if index not in stay])
    for index, image in known.items():
        begins = _moved(ask, image, positions) if index in stay else _again(image, there)
        images[index] = replace(images[index], known=begins)
    texts = [_text(before, node, positions) for node in kept]
    return Arranged(images, plan.tree, texts)


def identity_of(source: Source) -> Identity:
    return (source.location, source.page, source.bytes, source.changed_ns)


def _kept_nodes(
    plan: Replanned, before: Earlier, keep: Keep, identities: Sequence[Identity]
) -> list[int | None]:
    kept = [  # a leaf that is the root has answered the question rather than taken notes
        node_id if keep.branches or (node.level == 0 and node.parent is not None) else None
        for node, node_id in zip(plan.tree, plan.kept, strict=True)
    ]
    start = 0
    for leaf, size in enumerate(plan.sizes):
        shown = (before.images.get(identity) for identity in identities[start : start + size])
        if any(image is not None and image.position in keep.look for image in shown):
            kept[leaf] = None
        start += size
    return kept


def _begun(
    services: Services,
    found: Sequence[Source],
    images: Sequence[NewImage],
    prepared: Mapping[Identity, KnownImage],
) -> list[NewImage]:
    """``images``, with what is known of those that are prepared already."""
    known = [prepared.get(identity_of(source)) for source in found]
    there = _there(services, [image for image in known if image is not None])
    return [
        image
        if before is None or image.leaf is None
        else replace(image, known=_prepared(before, there))
        for image, before in zip(images, known, strict=True)
    ]


def _again(known: KnownImage, there: Collection[str]) -> KnownImage | None:
    """How an image begins that is to be looked at again; None: from its source."""
    if known.status == ImageStatus.FAILED and known.error_code in REFUSED_FOR_GOOD:
        return known
    return _prepared(known, there)


def _prepared(known: KnownImage, there: Collection[str]) -> KnownImage | None:
    """An image whose prepared bytes are ``there``; None where they are not."""
    if not known.sha256 or (known.prepared_bytes and known.sha256 not in there):
        return None
    return replace(known, status=ImageStatus.PREPARED, error=None, error_code=None, answer=None)


def _there(services: Services, known: Collection[KnownImage]) -> set[str]:
    """Hashes of the prepared images that the blob store has. A bucket takes a request for each."""
    shas = list({image.sha256 for image in known if image.sha256 and image.prepared_bytes})

    def held(some: Sequence[str]) -> list[str]:
        return [sha for sha in some if services.blobs.size(sha) is not None]

    if not shas:  # a first question starts no threads
        return set()
    with ThreadPoolExecutor(BLOBS_AT_ONCE) as pool:
        parts = pool.map(held, (shas[one::BLOBS_AT_ONCE] for one in range(BLOBS_AT_ONCE)))
        return {sha for part in parts for sha in part}


def _moved(ask: RequestContext, known: KnownImage, positions: dict[int, int]) -> KnownImage:
    """An image whose answer is taken over, with the positions it names."""
    if ask.answer_spec is None or known.answer is None:
        return known
    own = positions[known.position]
    return replace(known, answer=ask.answer_spec.parts.moved(known.answer, positions, own))


def _text(before: Earlier, node_id: int | None, positions: dict[int, int]) -> KeptNode | None:
    """A text that is taken over, citing positions of the new job."""
    if node_id is None:
        return None
    text = before.texts[node_id]
    if all(old == new for old, new in positions.items()):
        return text
    return replace(text, text=citations.translate(text.text, positions))


def _seated(
    found: Sequence[Source], twins: dict[int, int], distinct: Sequence[int], sizes: Sequence[int]
) -> list[NewImage]:
    leaf_of: dict[int, int] = {}
    start = 0
    for leaf, size in enumerate(sizes):
        leaf_of.update(dict.fromkeys(distinct[start : start + size], leaf))
        start += size
    return [
        NewImage(
            name=source.name,
            location=source.location,
            page=source.page,
            root=source.root,
            bytes=source.bytes,
            duplicate_of=twins[index] + 1 if index in twins else None,
            leaf=leaf_of.get(index),
            changed_ns=source.changed_ns,
        )
        for index, source in enumerate(found)
    ]


def _expected(source: Source, detail: Detail) -> Weight:
    return Weight(expected_bytes(source.bytes, detail), expected_tokens(detail))


def _weight(known: KnownImage | None) -> Weight | None:
    if known is None or known.tokens is None:
        return None
    return Weight(base64_bytes(known.prepared_bytes or 0), known.tokens)
