"""A node's request as a value, and what the calling stages have in common."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from core.prompts.own import words_of
from core.request import Ask, Body, Variant, history_of, spoken
from core.shape import shape_of
from core.states import NodeKind
from models.claims import Lease, NodeWork
from models.engine import Connection
from models.state import Moved
from tasks.services import Services


class Remedy(StrEnum):
    """What to do with a node whose request cannot be asked as it is."""

    ASK = "ask"
    SPLIT = "split"  # too much for one request
    UPLOAD = "upload"  # files are missing


class Question(Protocol):
    """A node's request. Stages build it from the database; it is a value from then on."""

    @property
    def remedy(self) -> Remedy: ...

    @property
    def image_tokens(self) -> int: ...

    @property
    def images(self) -> int: ...

    @property
    def known(self) -> frozenset[int]: ...

    @property
    def positions(self) -> dict[int, int] | None: ...

    def body(self, variant: Variant) -> Body:
        """The body with every image named by its content: what the key hashes."""

    def sendable(self, services: Services, variant: Variant) -> Body:
        """The body as it goes over the wire."""


class CallStage(Protocol):
    """What differs between the calling stages."""

    name: str
    kind: NodeKind

    def question(self, services: Services, connection: Connection, node: NodeWork) -> Question: ...

    def split(
        self,
        services: Services,
        connection: Connection,
        node: NodeWork,
        token: str,
        halve: bool,
        moved: Moved,
    ) -> bool:
        """Replace the node by smaller ones; False when it holds one thing only."""

    def upload_again(
        self,
        services: Services,
        connection: Connection,
        node: NodeWork,
        token: str,
        gone: set[str],
        moved: Moved,
    ) -> None:
        """Send the images behind file ids (all that are missing when empty) back to upload."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A node and the form of its request that is to be sent."""

    node: NodeWork
    question: Question
    variant: Variant


@dataclass(frozen=True, slots=True)
class Admission:
    """A node that was claimed, its call that was written, and the account's leave to send it."""

    node: NodeWork
    question: Question
    variant: Variant
    call_id: int
    lease: Lease
    tokens: int  # reserved
    admitted_at: float  # time.monotonic(): the limiter counts from what is sent, not admitted


def ask_of(services: Services, node: NodeWork) -> Ask:
    """What stays the same over the requests of a node's job."""
    own = node.options.get("prompts") or {}
    shape = shape_of(
        node.model,
        node.provider,
        words_of(spoken(node.ask, node.options), own),
        services.settings.images_per_request,
        services.settings.context_tokens,
    )
    return Ask(
        question=node.ask,
        model=node.model,
        endpoint=node.endpoint,
        detail="high" if node.detail == "high" else "low",
        shape=shape,
        reasoning_effort=(
            services.settings.reasoning_effort if services.profile.reasoning else None
        ),
        history=history_of(node.options),
        prompts=own,
    )


def span(node: NodeWork) -> str:
    return f"node {node.id}, images {node.first_position} to {node.last_position}"
