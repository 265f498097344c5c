"""What a job takes over from an earlier one about its images: answers, or prepared bytes.

Reads: the blob store (which prepared images are still there). Writes nothing. May raise
ServiceAway.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from clients.sources.location import Source, is_url
from core.catalog.facts import facts_of
from core.errors import RefusalCode
from core.requests.facts import tokens_of
from core.requests.request import RequestContext
from core.settings import Settings
from core.states import ImageStatus
from core.text import citations
from core.tree.capacity import LABEL_TOKENS, base64_bytes, expected_bytes
from core.tree.packing import Weight
from models.engine import Database
from models.new_job import NewImage
from models.reads import lineage
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


def identity_of(source: Source) -> Identity:
    return (source.location, source.page, source.bytes, source.changed_ns, source.version)


def taken_over(
    services: Services,
    context: RequestContext,
    known: Mapping[int, KnownImage],
    stay: Collection[int],
    with_notes: bool,
) -> dict[int, KnownImage | None]:
    """How images begin that an earlier job knows, by their index: those in ``stay`` with its
    answers, the others prepared if their bytes are stored; None: from the source. ``with_notes``:
    they all keep their notes, which are part of a conversation."""
    positions = {image.position: index + 1 for index, image in known.items()}
    stored = _stored(services, [image for index, image in known.items() if index not in stay])
    states: dict[int, KnownImage | None] = {}
    for index, image in known.items():
        answered = _moved(context, image, positions)
        state = answered if index in stay else _again(context, image, stored)
        if state is not None and with_notes:
            state = replace(state, note=answered.note)
        states[index] = state
    return states


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


def already_prepared(
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
    return as_new(replace(known, tokens=tokens))


def as_new(known: KnownImage) -> KnownImage:
    """A prepared image about which nothing was said yet."""
    return replace(
        known,
        status=ImageStatus.PREPARED,
        error=None,
        error_code=None,
        similar_to=None,
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


def kept_text(earlier: Earlier, node_id: int | None, positions: dict[int, int]) -> KeptNode | None:
    """A text that is taken over, citing positions of the new job."""
    if node_id is None:
        return None
    text = earlier.texts[node_id]
    if all(old == new for old, new in positions.items()):
        return text
    return replace(text, text=citations.translate(text.text, positions))


def known_weight(known: KnownImage | None, source: Source, context: RequestContext) -> Weight:
    if known is None or known.tokens is None:
        return expected_weight(source, context)
    told = tokens_of(source.facts, source.name, context.facts)
    return Weight(base64_bytes(known.prepared_bytes or 0), LABEL_TOKENS + known.tokens + told)


def expected_weight(source: Source, context: RequestContext) -> Weight:
    is_fetched = is_url(source.location) and source.page is None
    tokens = context.tokens_fetched if is_fetched else context.tokens_most
    tokens += LABEL_TOKENS + tokens_of(source.facts, source.name, context.facts)
    return Weight(expected_bytes(source.bytes, context.detail), tokens)
