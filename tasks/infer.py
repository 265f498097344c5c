"""infer: a leaf shows its images to the model.

Reads: the leaf, its uploaded images, their file ids. Does: one paid request, images first and the
instruction last. Writes: the call, the leaf's notes (or the answer, if the leaf is the root), its
images (included). May raise ServiceAway (the leaf is asked later).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

from celery import shared_task

from clients.provider.body import file_url
from core import stages
from core.errors import BytesGone
from core.reply import Reply
from core.requests.per_image import ATTEMPTS_MAX_PER_IMAGE, PerImageAttempt, PerImageLeaf
from core.requests.request import (
    FIRST,
    Attempt,
    Body,
    Inline,
    RequestContext,
    Sendable,
    images_body,
    with_urls,
)
from core.requests.review import (
    ATTEMPTS_ALONE,
    ATTEMPTS_MAX,
    Accepted,
    AskAgain,
    review_text,
    salvage,
)
from core.states import NodeKind
from core.text import citations
from core.tree.capacity import base64_bytes
from core.tree.packing import Budget, Weight, cut, fits, halves
from models import provider_files, state
from models.claims import NodeWork
from models.engine import Connection
from models.reads import pipeline
from models.reads.pipeline import LookImage
from models.state import Moved
from tasks.calls.failures import send_back_to_upload
from tasks.calls.node_request import A, Ask, NextStep, NodeRequest, Rearrange, context_of
from tasks.calls.run import run
from tasks.runtime.base import StageTask
from tasks.runtime.services import Services

INLINE_AFTER = 2
"""Attempts after which a leaf sends images without a file inside its request. Its files were
missing and its images went back to upload before: another program deletes them, or the workers
there have OVERSTORY_INLINE_WHEN_FULL and this one has not."""


@dataclass(frozen=True)
class LeafRequest(NodeRequest[A]):
    """What the requests of one leaf have in common. A request numbers its images from 1."""

    context: RequestContext
    images: Sequence[LookImage]
    files: Mapping[str, str]  # sha256 -> file id, for those that the provider stores
    is_root: bool

    @cached_property
    def positions(self) -> dict[int, int]:
        return {number: image.position for number, image in enumerate(self.images, start=1)}

    @abstractmethod
    def shown(self, attempt: A) -> Sequence[LookImage]: ...

    def sendable(self, services: Services, body: Body, attempt: A) -> Sendable:
        """Images that the provider stores go by their file, those it can fetch by their URL, and
        the others inside the request."""
        urls: dict[str, str] = {}
        inline: dict[str, Inline] = {}
        for image in self.shown(attempt):
            if not image.prepared_bytes:
                urls[content_name(image)] = image.location
            elif (file_id := self.files.get(image.sha256)) is not None:
                urls[content_name(image)] = file_url(file_id)
            else:
                inline[content_name(image)] = inlined(services, image)
        return Sendable(with_urls(body, urls), inline)


class TextRequest(LeafRequest[Attempt]):
    """A leaf that is asked for notes or, if it is the root, for the answer."""

    @property
    def attempts_max(self) -> int:
        return ATTEMPTS_MAX if len(self.images) > 1 else ATTEMPTS_ALONE

    def first(self) -> Attempt:
        return FIRST

    def shown(self, attempt: Attempt) -> Sequence[LookImage]:
        return self.images

    def body(self, attempt: Attempt) -> Body:
        names = [content_name(image) for image in self.images]
        return images_body(self.context, names, self.is_root, attempt)

    def review(self, reply: Reply, attempt: Attempt) -> Accepted | AskAgain[Attempt]:
        return review_text(reply, attempt, self.positions.keys(), self.positions)

    def salvage(self, replies: Sequence[Reply]) -> Accepted | None:
        return salvage(replies, self.positions.keys(), self.positions)


class PerImageRequest(LeafRequest[PerImageAttempt]):
    """A leaf that is asked for a value for each image (core.requests.per_image has the rules)."""

    @property
    def attempts_max(self) -> int:
        return ATTEMPTS_MAX_PER_IMAGE

    @cached_property
    def leaf(self) -> PerImageLeaf:
        spec = self.context.answer_spec
        assert spec is not None, "only a job with an answer spec asks for values"
        return PerImageLeaf(self.context, spec, self.positions, self.is_root)

    def first(self) -> PerImageAttempt:
        return self.leaf.first()

    def shown(self, attempt: PerImageAttempt) -> Sequence[LookImage]:
        if attempt.over_answers is not None:
            return ()
        return [self.images[number - 1] for number in attempt.shown]

    def body(self, attempt: PerImageAttempt) -> Body:
        return self.leaf.body(attempt, [content_name(image) for image in self.shown(attempt)])

    def review(
        self, reply: Reply, attempt: PerImageAttempt
    ) -> Accepted | AskAgain[PerImageAttempt]:
        return self.leaf.review(attempt, reply)


class Infer:
    """The stage."""

    stage = stages.INFER
    kind = NodeKind.LEAF

    def next_step(self, services: Services, connection: Connection, node: NodeWork) -> NextStep:
        images = pipeline.look_images(connection, node.id)
        context = renumbered(context_of(services, node), images)
        files = self._files(services, connection, node, images)
        if files is None:
            return Rearrange(partial(send_back_to_upload, services, node, gone=frozenset()))
        if len(images) > 1 and not fits(weights(images), context.capacity.leaf):
            return Rearrange(partial(self._divide, node, context.capacity.leaf))
        is_root = node.parent_id is None
        if context.answer_spec is None:
            return Ask(TextRequest(context, images, files, is_root))
        return Ask(PerImageRequest(context, images, files, is_root))

    def halve(
        self,
        services: Services,
        connection: Connection,
        node: NodeWork,
        token: str,
        moved: Moved,
    ) -> bool:
        ids = [image.id for image in pipeline.look_images(connection, node.id)]
        if len(ids) < 2:
            return False
        return state.split_leaf(connection, node.id, token, halves(ids), moved)

    def _divide(
        self, node: NodeWork, most: Budget, connection: Connection, token: str, moved: Moved
    ) -> None:
        """Replace a leaf that is too large for one request by leaves that fit."""
        images = pipeline.look_images(connection, node.id)
        groups = cut([image.id for image in images], weights(images), most)
        state.split_leaf(connection, node.id, token, groups, moved)

    def _files(
        self,
        services: Services,
        connection: Connection,
        node: NodeWork,
        images: Sequence[LookImage],
    ) -> dict[str, str] | None:
        """File ids by content; None if a missing one must be uploaded first."""
        if not services.profile.file_store:
            return {}
        hashes = {image.sha256 for image in images if image.prepared_bytes}
        files = provider_files.ids_of(connection, services.account, hashes)
        may_be_inline = services.settings.inline_when_full or node.attempts >= INLINE_AFTER
        return files if may_be_inline or hashes == set(files) else None


def content_name(image: LookImage) -> str:
    """An image as keys name it."""
    return f"sha256:{image.sha256}"


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
    """``context`` with earlier answers citing the numbers that images have in this request."""
    numbers = {image.position: number for number, image in enumerate(images, start=1)}
    history = [(ask, citations.translate(answer, numbers)) for ask, answer in context.history]
    return replace(context, history=tuple(history))


def weights(images: Sequence[LookImage]) -> list[Weight]:
    return [Weight(base64_bytes(image.prepared_bytes), image.tokens) for image in images]


STAGE = Infer()


@shared_task(name=stages.INFER.task, base=StageTask, bind=True)  # type: ignore[untyped-decorator]
def infer(self: StageTask, **shown: object) -> str:
    """A message only says that a leaf may be due; which one is decided at admission."""
    return run(self.services, STAGE, self.show)
