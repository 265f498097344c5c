"""infer: a leaf shows its images to the model.

Reads: the leaf, its uploaded images, their file ids. Does: one paid request, images first and the
instruction last. Writes: the call, the leaf's notes (or the answer, if the leaf is the root), its
images (included). May raise ServiceAway (the leaf is asked later).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

from celery import shared_task

from clients.provider.body import file_url
from core import stages
from core.catalog.facts import ModelFacts
from core.catalog.formulas import STEPFUN
from core.catalog.tokens import LOW_TOKENS, Detail, detail_at
from core.errors import BytesGone, RequestForm
from core.images.sizing import MIN_SIDE
from core.reply import Reply
from core.requests import facts
from core.requests.canary import SIDE
from core.requests.leaf import ATTEMPTS_MAX_PER_LEAF, Leaf, LeafAttempt
from core.requests.leaves import leaf_of
from core.requests.request import (
    Body,
    Inline,
    RequestContext,
    Sendable,
    prompt_text,
    with_urls,
)
from core.requests.review import Accepted, AskAgain, NotSeen
from core.requests.sight import Measured, Prompt, ShownImage, unheld
from core.requests.unit_leaf import ShownUnit, of_part
from core.states import NodeKind
from core.text import citations
from core.text.notes import SEPARATOR
from core.tree import units
from core.tree.capacity import LABEL_TOKENS, base64_bytes
from core.tree.packing import Weight, fits
from models import provider_files, state
from models.claims import NodeWork
from models.endpoint_limits import WEBP, is_refused_by
from models.engine import Connection
from models.reads import pipeline
from models.reads.pipeline import LookImage
from models.reads.units import shown_names
from models.state import Moved
from tasks import store_choice
from tasks.calls.failures import send_back_to_upload
from tasks.calls.node_request import Ask, NextStep, NodeRequest, Rearrange, context_of
from tasks.calls.run import run
from tasks.runtime.base import StageTask
from tasks.runtime.services import Services

FAR_OFF = 0.1
"""Images are planned anew if their tokens differ by more: a leaf is not divided for less."""
INLINE_AFTER = 2
"""Attempts after which a leaf sends images without a file inside its request. Its files were
missing and its images went back to upload before: another program deletes them, or the workers
there have OVERSTORY_INLINE_WHEN_FULL and this one has not."""


@dataclass(frozen=True, slots=True)
class CanaryPicture:
    """A picture of one word, which goes inside its request."""

    data: bytes
    sha256: str
    tokens: int
    width: int = SIDE
    height: int = SIDE


@dataclass(frozen=True)
class LeafRequest(NodeRequest[LeafAttempt]):
    """The requests of one leaf; core.requests.leaf has the rules. A request numbers its images from
    1. ``usage``: how the prompt tokens of its replies are judged."""

    leaf: Leaf
    images: Sequence[LookImage]
    files: Mapping[str, str]  # sha256 -> file id, for those that the provider stores
    usage: UsageRule

    def shared(self) -> RequestContext:
        return self.leaf.context

    def sends(self, form: RequestForm, attempt: LeafAttempt) -> bool:
        shown = [image for image in self.shown(attempt) if isinstance(image, LookImage)]
        if form is RequestForm.INLINE:
            return any(not image.prepared_bytes or image.sha256 in self.files for image in shown)
        return any(image.mime == WEBP for image in shown)

    @property
    def attempts_max(self) -> int:
        return ATTEMPTS_MAX_PER_LEAF

    def first(self) -> LeafAttempt:
        return self.leaf.first()

    def shown(self, attempt: LeafAttempt) -> Sequence[LookImage | CanaryPicture]:
        if attempt.over_answers is not None:
            return ()
        pictures: list[LookImage | CanaryPicture] = [self.images[n - 1] for n in attempt.shown]
        context = self.leaf.context
        for canary in self.leaf.canaries(attempt):
            tokens = context.image_tokens.of(SIDE, SIDE, context.detail)
            pictures.insert(canary.place - 1, canary_picture(canary.word, tokens))
        return pictures

    def is_probe(self, attempt: LeafAttempt) -> bool:
        return self.leaf.context.capacity.probing and bool(self.shown(attempt))

    def body(self, attempt: LeafAttempt) -> Body:
        shown, context = self.shown(attempt), self.leaf.context
        body = self.leaf.body(attempt, [content_name(image) for image in shown])
        if not context.facts or not shown:
            return body
        told = [facts_of(image, context.facts) for image in shown]
        return facts.beside(body, told, context.prompts)

    def review(
        self, reply: Reply, attempt: LeafAttempt
    ) -> Accepted | AskAgain[LeafAttempt] | NotSeen:
        shown = [self.usage.image(picture) for picture in self.shown(attempt)]
        if shown and not reply.usage.estimated:
            text = prompt_text(self.body(attempt))
            prompt = Prompt(text, shown, self.usage.detail, self.usage.others)
            if (not_seen := unheld(prompt, reply.usage.prompt_tokens)) is not None:
                return not_seen
        return self.leaf.review(attempt, reply)

    def sendable(self, services: Services, body: Body, attempt: LeafAttempt) -> Sendable:
        """Images that the provider stores go by their file, those it can fetch by their URL, and
        the others inside the request."""
        urls: dict[str, str] = {}
        inline: dict[str, Inline] = {}
        for image in self.shown(attempt):
            if isinstance(image, CanaryPicture):
                data = image.data
                inline[content_name(image)] = Inline("image/png", len(data), partial(bytes, data))
            elif not image.prepared_bytes:
                urls[content_name(image)] = image.location
            elif (file_id := self.files.get(image.sha256)) is not None:
                urls[content_name(image)] = file_url(file_id)
            else:
                inline[content_name(image)] = inlined(services, image)
        return Sendable(with_urls(body, urls), inline)


@dataclass(frozen=True, slots=True)
class UsageRule:
    """``detail``: of the images, if the formula for their tokens is sure; if it is not,
    ``others``: what replies to requests with its images and others reported. ``fewest``: tokens of
    the smallest image."""

    detail: Detail | None
    others: Sequence[Measured] = ()
    fewest: int = LOW_TOKENS

    def image(self, picture: LookImage | CanaryPicture) -> ShownImage:
        """Of an image that the provider fetches itself nothing is known but the fewest tokens."""
        if isinstance(picture, LookImage) and not picture.prepared_bytes:
            return ShownImage(min(picture.tokens, self.fewest), 0, 0)
        return ShownImage(picture.tokens, picture.width or 0, picture.height or 0)


class Infer:
    """The stage."""

    stage = stages.INFER
    kind = NodeKind.LEAF

    def next_step(self, services: Services, connection: Connection, node: NodeWork) -> NextStep:
        images = pipeline.look_images(connection, node.id)
        context = renumbered(context_of(services, connection, node), images)
        images = recounted(images, context)
        files = self._files(services, connection, node, images, context)
        again = [
            image.id
            for image in images
            if is_refused_by(context.forms, image.prepared_bytes, image.mime)
        ]
        if again:
            return Rearrange(partial(_back_to_prepare, node, again))
        if files is None:
            return Rearrange(partial(send_back_to_upload, services, node, gone=frozenset()))
        if len(images) > 1 and not fits(weights(images, context.facts), context.capacity.leaf):
            return Rearrange(partial(self._divide, node, context))
        numbered = dict(enumerate(images, start=1))
        shown = _shown_units(connection, node, images) if node.options.by else ()
        if node.unit is not None:
            context = of_part(context)
        leaf = leaf_of(
            context,
            {number: image.position for number, image in numbered.items()},
            {number: image.sha256 for number, image in numbered.items()},
            node.parent_id is None,
            {n: image.note for n, image in numbered.items() if context.history and image.note},
            shown,
        )
        usage = usage_rule(connection, node, services.settings.facts_of(node.model))
        return Ask(LeafRequest(leaf, images, files, usage))

    def halve(
        self,
        services: Services,
        connection: Connection,
        node: NodeWork,
        token: str,
        moved: Moved,
    ) -> bool:
        images = pipeline.look_images(connection, node.id)
        if len(images) < 2:
            return False
        division = units.halved([image.id for image in images], units_of(node, images))
        return state.split_leaf(connection, node.id, token, division.groups, moved, division.unit)

    def _divide(
        self,
        node: NodeWork,
        context: RequestContext,
        connection: Connection,
        token: str,
        moved: Moved,
    ) -> None:
        """Replace a leaf that is too large for one request by leaves that fit."""
        images = recounted(pipeline.look_images(connection, node.id), context)
        heavy = weights(images, context.facts)
        ids = [image.id for image in images]
        division = units.divided(ids, units_of(node, images), heavy, context.capacity.leaf)
        state.split_leaf(connection, node.id, token, division.groups, moved, division.unit)

    def _files(
        self,
        services: Services,
        connection: Connection,
        node: NodeWork,
        images: Sequence[LookImage],
        context: RequestContext,
    ) -> dict[str, str] | None:
        """File ids by content; None if missing ones are uploaded first."""
        if not services.settings.uses_file_store or RequestForm.INLINE in context.forms:
            return {}
        hashes = {image.sha256 for image in images if image.prepared_bytes}
        files = provider_files.ids_of(connection, services.account, hashes)
        may_be_inline = not services.settings.waits_for_room or node.attempts >= INLINE_AFTER
        uploads_first = not may_be_inline or store_choice.sent_in_vain(services, node)
        return None if uploads_first and hashes != set(files) else files


def units_of(node: NodeWork, images: Sequence[LookImage]) -> list[int | None]:
    """The unit of each image of a leaf; None where the leaf may be divided anywhere."""
    return [None if node.unit is not None else image.unit for image in images]


def _shown_units(
    connection: Connection, node: NodeWork, images: Sequence[LookImage]
) -> list[ShownUnit]:
    """The units that a leaf shows as a whole."""
    if node.unit is not None:
        return []
    numbers: dict[int, list[int]] = {}
    for number, image in enumerate(images, start=1):
        assert image.unit is not None, "an image of a job by units has one"
        numbers.setdefault(image.unit, []).append(number)
    names = shown_names(connection, node.job_id, numbers)
    return [ShownUnit(unit, names[unit], tuple(shown)) for unit, shown in numbers.items()]


def _back_to_prepare(
    node: NodeWork, ids: Sequence[int], connection: Connection, token: str, moved: Moved
) -> None:
    """Send images back; the upload stage hands them on to preprocess."""
    state.node_waits_again(connection, node.id, token, ids, moved)


def usage_rule(connection: Connection, node: NodeWork, facts: ModelFacts) -> UsageRule:
    """How the usage of a node's replies is judged."""
    detail = detail_at(node.detail)
    if facts.formula == STEPFUN:
        return UsageRule(detail)
    if facts.formula is not None and facts.is_strict:
        fewest = facts.formula.tokens(MIN_SIDE, MIN_SIDE, detail)
        return UsageRule("high", fewest=fewest)  # other formulas are told by the bounds of high
    reported = pipeline.reported_usage(connection, node.id)
    return UsageRule(None, [Measured(images, tokens) for images, tokens in reported])


@cache
def canary_picture(word: str, tokens: int) -> CanaryPicture:
    from clients.images.pillow import word_picture  # few workers draw one

    data = word_picture(word, SIDE, SIDE)
    return CanaryPicture(data, hashlib.sha256(data).hexdigest(), tokens)


def content_name(image: LookImage | CanaryPicture) -> str:
    """An image as keys name it."""
    return f"sha256:{image.sha256}"


def facts_of(image: LookImage | CanaryPicture, wanted: Sequence[str]) -> str:
    """The text of an image's facts; empty for a picture of ours."""
    if isinstance(image, CanaryPicture):
        return ""
    return facts.quoted(facts.chosen(image.facts, image.name, wanted))


def inlined(services: Services, image: LookImage) -> Inline:
    """The image, read from the blob store while its request is sent."""

    def read() -> bytes:
        data = services.blobs.get(image.sha256)
        if data is None:
            raise BytesGone("prepared bytes have vanished from the blob store")
        return data

    assert image.prepared_bytes, "an image that is not prepared has a URL of its own"
    return Inline(image.mime or "image/jpeg", image.prepared_bytes, read)


def renumbered(context: RequestContext, images: Sequence[LookImage]) -> RequestContext:
    """``context`` with earlier answers citing the numbers that images have in this request. The
    first answer stands below the notes on the images, where there are any, as the model wrote it.
    """
    numbers = {image.position: number for number, image in enumerate(images, start=1)}
    history = [(ask, citations.translate(answer, numbers)) for ask, answer in context.history]
    notes = [
        f"[{n}] {citations.translate(image.note, numbers)}"
        for n, image in enumerate(images, start=1)
        if image.note
    ]
    if history and notes:
        asked, answer = history[0]
        history[0] = (asked, "\n".join([*notes, SEPARATOR, answer]))
    return replace(context, history=tuple(history))


def recounted(images: Sequence[LookImage], context: RequestContext) -> list[LookImage]:
    """``images`` with the tokens that count now, where those they were prepared with are far off:
    their model was not known then, or counts otherwise since."""
    counted = []
    for image in images:
        tokens = image.tokens
        if image.width and image.height:
            tokens = context.image_tokens.of(image.width, image.height, context.detail)
        is_off = abs(tokens - image.tokens) > FAR_OFF * image.tokens
        counted.append(replace(image, tokens=tokens) if is_off else image)
    return counted


def weights(images: Sequence[LookImage], wanted: Sequence[str] = ()) -> list[Weight]:
    """``wanted``: the names of the facts that are shown beside each image."""
    return [
        Weight(
            base64_bytes(image.prepared_bytes),
            image.tokens + LABEL_TOKENS + facts.tokens_of(image.facts, image.name, wanted),
        )
        for image in images
    ]


STAGE = Infer()


@shared_task(name=stages.INFER.task, base=StageTask, bind=True)  # type: ignore[untyped-decorator]
def infer(self: StageTask, **shown: object) -> str:
    """A message only says that a leaf may be due; which one is decided at admission."""
    return run(self.services, STAGE, self.show)
