"""infer: a leaf looks at its images.

Reads: the leaf, its uploaded images, their file ids. Does: one paid request, images first and the
instruction last. Writes: the call, the leaf's notes (or the answer, where the leaf is the root),
its images (included). May raise ServiceAway (the leaf is asked later).
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from celery import shared_task

from core.errors import ServiceAway
from core.packing import Weight, balanced, fits, pack
from core.request import Ask, Body, Variant, look_body
from core.shape import base64_bytes
from core.states import NodeKind
from models import filestore, queries, state
from models.claims import NodeWork
from models.engine import Connection
from models.queries import LookImage
from models.state import Moved
from tasks import asking
from tasks.base import StageTask
from tasks.question import Remedy, ask_of
from tasks.services import Services


@dataclass(frozen=True, slots=True)
class Look:
    """The request of one leaf. Images are numbered from 1 in the request."""

    ask: Ask
    shown: Sequence[LookImage]
    files: dict[str, str]  # sha256 -> file id, where the provider stores files
    whole: bool
    remedy: Remedy

    @property
    def images(self) -> int:
        return len(self.shown)

    @property
    def image_tokens(self) -> int:
        return sum(image.tokens for image in self.shown)

    @property
    def known(self) -> frozenset[int]:
        return frozenset(range(1, len(self.shown) + 1))

    @property
    def positions(self) -> dict[int, int]:
        return {n: image.position for n, image in enumerate(self.shown, start=1)}

    def body(self, variant: Variant) -> Body:
        return look_body(
            self.ask, [f"sha256:{image.sha256}" for image in self.shown], self.whole, variant
        )

    def sendable(self, services: Services, variant: Variant) -> Body:
        urls = [self._url(services, image) for image in self.shown]
        return look_body(self.ask, urls, self.whole, variant)

    def _url(self, services: Services, image: LookImage) -> str:
        if not image.prepared_bytes:
            return image.location
        if services.profile.file_store:
            return f"stepfile://{self.files[image.sha256]}"
        return data_url(services, image)


def data_url(services: Services, image: LookImage) -> str:
    data = services.blobs.get(image.sha256)
    if data is None:
        raise ServiceAway("prepared bytes have vanished from the blob store")
    return f"data:{image.mime};base64,{base64.b64encode(data).decode()}"


class Infer:
    """The stage."""

    name = "infer"
    kind = NodeKind.LEAF

    def question(self, services: Services, connection: Connection, node: NodeWork) -> Look:
        ask = ask_of(services, node)
        shown = queries.look_images(connection, node.id)
        files = self._files(services, connection, shown)
        if files is None:
            remedy = Remedy.UPLOAD
        elif len(shown) > 1 and not fits(weights(shown), ask.shape.leaf):
            remedy = Remedy.SPLIT
        else:
            remedy = Remedy.ASK
        return Look(ask, shown, files or {}, node.parent_id is None, remedy)

    def split(
        self,
        services: Services,
        connection: Connection,
        node: NodeWork,
        token: str,
        halve: bool,
        moved: Moved,
    ) -> bool:
        shown = queries.look_images(connection, node.id)
        if len(shown) < 2:
            return False
        if halve:
            sizes = balanced(len(shown), 2)
        else:
            sizes = pack(weights(shown), ask_of(services, node).shape.leaf)
        groups, start = [], 0
        for size in sizes:
            groups.append([image.id for image in shown[start : start + size]])
            start += size
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
        shown = queries.look_images(connection, node.id)
        shas = {image.sha256 for image in shown if image.prepared_bytes}
        lost = filestore.lost(connection, services.account, shas, gone)
        missing = [image.id for image in shown if image.sha256 in lost]
        if missing:
            state.node_waits_again(connection, node.id, token, missing, moved)
        else:  # somebody has uploaded them meanwhile
            state.node_postponed(connection, node.id, token, 0.0, "files are back", False)
            moved.ready(node.id, self.kind)

    def _files(
        self, services: Services, connection: Connection, shown: Sequence[LookImage]
    ) -> dict[str, str] | None:
        """File ids by content; None when one that is needed is missing."""
        if not services.profile.file_store:
            return {}
        shas = {image.sha256 for image in shown if image.prepared_bytes}
        files = filestore.ids_of(connection, services.account, shas)
        return files if shas == set(files) else None


def weights(shown: Sequence[LookImage]) -> list[Weight]:
    return [Weight(base64_bytes(image.prepared_bytes), image.tokens) for image in shown]


STAGE = Infer()


@shared_task(name="overstory.infer", base=StageTask, bind=True)  # type: ignore[untyped-decorator]
def infer(self: StageTask, **shown: object) -> str:
    """A message says only that a leaf may be due; which one is decided when a call is admitted."""
    return asking.run(self.services, STAGE, self.show)
