"""A node's request as a value, and what the calling stages have in common."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from core.errors import RefusalCode
from core.reply import Reply
from core.requests.per_image import Form
from core.requests.request import Body, RequestContext, Sendable, Variant, request_context
from core.requests.review import Accepted, AskAgain, Rejected, judge
from core.states import NodeKind
from models import state
from models.claims import Lease, NodeWork
from models.engine import Connection
from models.state import Moved
from tasks.runtime.services import Services

UNANSWERED = "no form of the request got a usable answer for it"


class NextStep(StrEnum):
    """What to do with a node whose request cannot be asked as it is."""

    ASK = "ask"
    SPLIT = "split"  # too much for one request
    UPLOAD = "upload"  # files are missing
    COMPOSE = "compose"  # no model is needed: code writes its text


AnyForm = Variant | Form
"""The form of a request: of words, or of answers keyed by image."""


class NodeRequest(Protocol):
    """A node's request. Stages build it from the database; it is a value from then on."""

    @property
    def remedy(self) -> NextStep: ...

    @property
    def forms_max(self) -> int:
        """In how many forms it is asked at most."""

    def first(self) -> AnyForm: ...

    def images(self, form: Any) -> int:
        """How many images the form shows: none where it reads notes."""

    def image_tokens(self, form: Any) -> int:
        """What the images it shows cost."""

    def overestimated(self) -> int:
        """Tokens by which the bound on its text is known to be too high."""

    def body(self, form: Any) -> Body:
        """The body with every image named by its content: what the key hashes."""

    def sendable(self, services: Services, form: Any) -> Sendable:
        """The body as it goes over the wire."""

    def judge(self, reply: Reply, form: Any) -> Accepted | AskAgain:
        """What a reply to ``form`` is worth: a text to record, or the form to ask next."""

    def salvaged(self, replies: Sequence[Reply]) -> Accepted | None:
        """What is recorded where the replies so far are these, and none is usable as it is. None:
        the next form is asked, if there is one."""

    def composed(self) -> str:
        """The text of a node whose remedy is COMPOSE."""


def judged(
    reply: Reply, form: Variant, known: Collection[int], positions: Mapping[int, int] | None
) -> Accepted | AskAgain:
    """What a reply in words is worth (core.requests.review.judge)."""
    verdict = judge(reply, form, known, positions)
    if isinstance(verdict, Rejected):
        return AskAgain(verdict.reason, form.after(verdict.reason))
    return verdict


class CallStage(Protocol):
    """What differs between the calling stages."""

    name: str
    kind: NodeKind

    def question(
        self, services: Services, connection: Connection, node: NodeWork
    ) -> NodeRequest: ...

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
        """Send the images behind file ids (all that have none when empty) back to upload."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A node and the form of its request that is to be sent."""

    node: NodeWork
    question: NodeRequest
    variant: AnyForm


@dataclass(frozen=True, slots=True)
class Admission:
    """A node that was claimed, its call that was written, and the account's leave to send it."""

    node: NodeWork
    question: NodeRequest
    variant: AnyForm
    call_id: int
    lease: Lease
    tokens: int  # reserved
    admitted_at: float  # time.monotonic(): the limiter counts from what is sent, not admitted


def ask_of(services: Services, node: NodeWork) -> RequestContext:
    """What stays the same over the requests of a node's job."""
    return request_context(
        services.settings,
        question=node.ask,
        model=node.model,
        provider=node.provider,
        endpoint=node.endpoint,
        detail="high" if node.detail == "high" else "low",
        options=node.options,
    )


def record(
    connection: Connection, node: NodeWork, token: str, verdict: Accepted, moved: Moved
) -> bool:
    """Write a node's text and, where each was asked, its images' answers; False when somebody
    else holds the node. A leaf without any answer has failed."""
    if verdict.answers is None:
        return state.node_done(connection, node.id, token, verdict.text, verdict.refused, moved)
    if not verdict.answers:
        return state.node_failed(
            connection, node.id, RefusalCode.NO_ANSWER, UNANSWERED, moved, token
        )
    unanswered = dict.fromkeys(verdict.missing, UNANSWERED)
    return state.node_done(
        connection,
        node.id,
        token,
        verdict.text,
        verdict.refused,
        moved,
        answers=verdict.answers,
        unanswered=unanswered,
    )


def span(node: NodeWork) -> str:
    return f"node {node.id}, images {node.first_position} to {node.last_position}"
