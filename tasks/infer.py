"""infer: a leaf looks at its images.

Reads: the leaf, its uploaded images, their file ids. Does: one paid request, images first and the
instruction last. Writes: the call, the leaf's notes (or the answer, where the leaf is the root),
its images (included). May raise ServiceAway (the leaf is asked later).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from celery import shared_task

from clients.provider.body import file_url
from core.errors import BytesGone
from core.reply import Reply
from core.requests.per_image import ATTEMPTS_MAX_EACH, Form, Leaf
from core.requests.request import FIRST, Body, Inline, RequestContext, Sendable, Variant, look_body
from core.requests.review import ATTEMPTS_ALONE, ATTEMPTS_MAX, Accepted, AskAgain, salvage
from core.states import NodeKind
from core.text import citations
from core.tree.capacity import base64_bytes
from core.tree.packing import Weight, cut, fits, halves
from models import provider_files, state
from models.claims import NodeWork
from models.engine import Connection
from models.reads import pipeline
from models.reads.pipeline import LookImage
from models.state import Moved
from tasks.calls.node_request import NextStep, ask_of, judged
from tasks.calls.run import run
from tasks.runtime.base import StageTask
from tasks.runtime.services import Services

INLINE = "inline:"
"""What stands for an image that goes inside its request, before the hash of its bytes."""
INLINE_AFTER = 2
"""Attempts after which a leaf goes with what has no file inside it. Its files were missing and its
images went back to upload before: another program deletes them, or the workers there have
OVERSTORY_INLINE_WHEN_FULL and this one has not."""


@dataclass(frozen=True)
class Looking:
    """What the requests of one leaf have in common. Images are numbered from 1 in the request."""

    ask: RequestContext
    shown: Sequence[LookImage]
    files: dict[str, str]  # sha256 -> file id, of those that the provider stores
    whole: bool
    remedy: NextStep

    @cached_property
    def positions(self) -> dict[int, int]:
        return {n: image.position for n, image in enumerate(self.shown, start=1)}

    def overestimated(self) -> int:
        return 0

    def _sendable(
        self,
        services: Services,
        images: Sequence[LookImage],
        body: Callable[[Sequence[str]], Body],
    ) -> Sendable:
        """``body`` with the URLs of ``images``, of which those without a file go inside it."""
        named = [(self._url(image), image) for image in images]
        inline = {url: inlined(services, image) for url, image in named if url.startswith(INLINE)}
        return Sendable(body([url for url, _ in named]), inline)

    def _url(self, image: LookImage) -> str:
        if not image.prepared_bytes:
            return image.location
        file_id = self.files.get(image.sha256)
        return f"{INLINE}{image.sha256}" if file_id is None else file_url(file_id)


class Look(Looking):
    """A leaf that is asked for notes, or for the answer."""

    @property
    def forms_max(self) -> int:
        return ATTEMPTS_MAX if len(self.shown) > 1 else ATTEMPTS_ALONE

    def first(self) -> Variant:
        return FIRST

    def images(self, form: Variant) -> int:
        return len(self.shown)

    def image_tokens(self, form: Variant) -> int:
        return sum(image.tokens for image in self.shown)

    def judge(self, reply: Reply, form: Variant) -> Accepted | AskAgain:
        return judged(reply, form, self.positions.keys(), self.positions)

    def salvaged(self, replies: Sequence[Reply]) -> Accepted | None:
        return salvage(replies, self.positions.keys(), self.positions)

    def composed(self) -> str:
        raise AssertionError("a leaf looks at its images")

    def body(self, form: Variant) -> Body:
        return look_body(self.ask, contents(self.shown), self.whole, form)

    def sendable(self, services: Services, form: Variant) -> Sendable:
        return self._sendable(
            services, self.shown, lambda urls: look_body(self.ask, urls, self.whole, form)
        )


class LookEach(Looking):
    """A leaf that is asked for a value an image (core.requests.per_image has its forms)."""

    forms_max = ATTEMPTS_MAX_EACH

    @cached_property
    def leaf(self) -> Leaf:
        assert self.ask.shaping is not None, "only a shaped job asks each"
        return Leaf(self.ask, self.ask.shaping, self.positions, self.whole)

    def first(self) -> Form:
        return self.leaf.first()

    def images(self, form: Form) -> int:
        return len(self._of(form))

    def image_tokens(self, form: Form) -> int:
        return sum(image.tokens for image in self._of(form))

    def body(self, form: Form) -> Body:
        return self.leaf.body(form, contents(self._of(form)))

    def sendable(self, services: Services, form: Form) -> Sendable:
        return self._sendable(services, self._of(form), lambda urls: self.leaf.body(form, urls))

    def judge(self, reply: Reply, form: Form) -> Accepted | AskAgain:
        return self.leaf.judge(form, reply)

    def salvaged(self, replies: Sequence[Reply]) -> Accepted | None:
        return None  # what could be used of each is in the next form already

    def composed(self) -> str:
        raise AssertionError("a leaf looks at its images")

    def _of(self, form: Form) -> list[LookImage]:
        """The images a form shows."""
        return [] if form.reading else [self.shown[number - 1] for number in form.shown]


def contents(shown: Sequence[LookImage]) -> list[str]:
    """Images as keys name them."""
    return [f"sha256:{image.sha256}" for image in shown]


def inlined(services: Services, image: LookImage) -> Inline:
    """The image, to be read from the blob store when its turn comes."""

    def read() -> bytes:
        data = services.blobs.get(image.sha256)
        if data is None:
            raise BytesGone("prepared bytes have vanished from the blob store")
        return data

    assert image.prepared_bytes, "what is not prepared has a URL of its own"
    return Inline(image.mime or "image/jpeg", image.prepared_bytes, read)


class Infer:
    """The stage."""

    name = "infer"
    kind = NodeKind.LEAF

    def question(
        self, services: Services, connection: Connection, node: NodeWork
    ) -> Look | LookEach:
        shown = pipeline.look_images(connection, node.id)
        ask = numbered(ask_of(services, node), shown)
        files = self._files(services, connection, node, shown)
        if files is None:
            remedy = NextStep.UPLOAD
        elif len(shown) > 1 and not fits(weights(shown), ask.shape.leaf):
            remedy = NextStep.SPLIT
        else:
            remedy = NextStep.ASK
        kind = Look if ask.shaping is None else LookEach
        return kind(ask, shown, files or {}, node.parent_id is None, remedy)

    def split(
        self,
        services: Services,
        connection: Connection,
        node: NodeWork,
        token: str,
        halve: bool,
        moved: Moved,
    ) -> bool:
        shown = pipeline.look_images(connection, node.id)
        if len(shown) < 2:
            return False
        ids = [image.id for image in shown]
        if halve:
            groups = halves(ids)
        else:
            groups = cut(ids, weights(shown), ask_of(services, node).shape.leaf)
        return state.split_leaf(connection, node.id, token, groups, moved)

    def upload_again(
        self,
        services: Services,
        connection: Connection,
        node: NodeWork,
        token: str,
        gone: set[str],
        moved: Moved,
    ) -> None:
        shown = pipeline.look_images(connection, node.id)
        shas = {image.sha256 for image in shown if image.prepared_bytes}
        lost = provider_files.lost(connection, services.account, shas, gone)
        missing = [image.id for image in shown if image.sha256 in lost]
        if missing:
            state.node_waits_again(connection, node.id, token, missing, moved)
        else:  # somebody has uploaded them meanwhile
            state.node_postponed(connection, node.id, token, 0.0, "files are back", False)
            moved.ready(node.id, self.kind)

    def _files(
        self,
        services: Services,
        connection: Connection,
        node: NodeWork,
        shown: Sequence[LookImage],
    ) -> dict[str, str] | None:
        """File ids by content; None when one that is missing must be uploaded first."""
        if not services.profile.file_store:
            return {}
        shas = {image.sha256 for image in shown if image.prepared_bytes}
        files = provider_files.ids_of(connection, services.account, shas)
        may_be_inside = services.settings.inline_when_full or node.attempts >= INLINE_AFTER
        return files if may_be_inside or shas == set(files) else None


def numbered(ask: RequestContext, shown: Sequence[LookImage]) -> RequestContext:
    """``ask`` with earlier answers citing the numbers that images have in this request."""
    numbers = {image.position: n for n, image in enumerate(shown, start=1)}
    history = [(asked, citations.translate(answer, numbers)) for asked, answer in ask.history]
    return replace(ask, history=tuple(history))


def weights(shown: Sequence[LookImage]) -> list[Weight]:
    return [Weight(base64_bytes(image.prepared_bytes), image.tokens) for image in shown]


STAGE = Infer()


@shared_task(name="overstory.infer", base=StageTask, bind=True)  # type: ignore[untyped-decorator]
def infer(self: StageTask, **shown: object) -> str:
    """A message says only that a leaf may be due; which one is decided when a call is admitted."""
    return run(self.services, STAGE, self.show)
