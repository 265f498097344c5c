"""A node's request, the call that is planned from it, and what the calling stages share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, Protocol, TypeVar

from core.catalog.image_tokens import FETCHED_SIDE
from core.catalog.tokens import detail_at
from core.errors import RequestForm
from core.reply import Reply
from core.requests.forms import formed
from core.requests.leaf import LeafAttempt
from core.requests.prompt_parts import PromptParts, parts_of
from core.requests.request import (
    Attempt,
    Body,
    RequestContext,
    Sendable,
    key_of,
    prompt_text,
    prompt_tokens,
    request_context,
)
from core.requests.review import Accepted, AskAgain, NotSeen
from core.settings import Settings
from core.stages import Stage
from core.states import NodeKind
from models import endpoint_limits, state
from models.claims import Lease, NodeWork
from models.engine import Connection
from models.reads import pipeline
from models.reads.pipeline import JobRow
from models.state import Moved
from tasks.runtime.services import Services

A = TypeVar("A")


class Picture(Protocol):
    """A picture that a request shows. Its size is 0 where the provider fetches it itself."""

    @property
    def tokens(self) -> int: ...

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...


Paid = Callable[[str], Reply | None]
"""The ledger's reply to the request with a key, if it was ever paid for."""


class NodeRequest(ABC, Generic[A]):
    """A node's request, built from the database and a value from then on.

    ``A``: what an attempt at it says. The first attempt is ``first()``; the reply to each attempt
    is accepted or leads to the next one, so the ledger alone tells which attempt is due.
    """

    @abstractmethod
    def shared(self) -> RequestContext:
        """What is the same in all requests of its job."""

    def sends(self, form: RequestForm, attempt: A) -> bool:
        """Whether ``attempt`` shows pictures that are sent otherwise in ``form``."""
        return False

    @property
    @abstractmethod
    def attempts_max(self) -> int: ...

    @abstractmethod
    def first(self) -> A: ...

    @abstractmethod
    def body(self, attempt: A) -> Body:
        """The body with every image named by its content: what the key hashes."""

    @abstractmethod
    def review(self, reply: Reply, attempt: A) -> Accepted | AskAgain[A] | NotSeen:
        """What to record of a reply to ``attempt``, or the attempt to make next."""

    def salvage(self, replies: Sequence[Reply]) -> Accepted | None:
        """What to record where none of the replies so far is usable as it is. None: the next
        attempt is made, if one is left."""
        return None

    def without_reply(self, why: str) -> Accepted | None:
        """What to record if the model writes nothing, and ``why`` it does. None: the job ends."""
        return None

    def shown(self, attempt: A) -> Sequence[Picture]:
        """The pictures that ``attempt`` shows; none where it is over notes."""
        return ()

    def overestimated(self) -> int:
        """Tokens by which the bound on its text is known to be too high."""
        return 0

    def is_probe(self, attempt: A) -> bool:
        """Whether it tests how many images the endpoint takes: then it is asked alone."""
        return False

    def sendable(self, services: Services, body: Body, attempt: A) -> Sendable:
        """``body`` as it is sent."""
        return Sendable(body)

    def plan(self, node: NodeWork, attempt: A) -> PlannedCall[A]:
        image_tokens = sum(image.tokens for image in self.shown(attempt))
        body = self.body(attempt)
        return PlannedCall(
            node=node,
            request=self,
            attempt=attempt,
            body=body,
            key=key_of(node.endpoint, body),
            prompt_tokens=prompt_tokens(body, image_tokens),
            images_above=self._images_above(attempt),
        )

    def _images_above(self, attempt: A) -> int:
        """By how many tokens its images may take more than expected."""
        context = self.shared()
        bound = partial(context.image_tokens.bound, detail=context.detail)
        return sum(
            max(bound(image.width or FETCHED_SIDE, image.height or FETCHED_SIDE) - image.tokens, 0)
            for image in self.shown(attempt)
        )

    def replay(
        self, node: NodeWork, paid: Paid
    ) -> PlannedCall[A] | Accepted | Disbelieved[A] | None:
        """The call that is due, by what the ledger says was asked before; the accepted reply if
        there is one, or the call of one that is not believed; None if no attempt is left."""
        attempt, replies = self.first(), list[Reply]()
        for _ in range(self.attempts_max):
            call = self.plan(node, attempt)
            reply = paid(call.key)
            if reply is None:
                return call
            result = self.review(reply, attempt)
            if isinstance(result, Accepted):
                return result
            if isinstance(result, NotSeen):
                return Disbelieved(call, result)
            attempt = result.attempt
            replies.append(reply)
            if (salvaged := self.salvage(replies)) is not None:
                return salvaged
        return None


@dataclass(frozen=True, slots=True)
class PlannedCall(Generic[A]):
    """One call of a node: built once, carried from admission to settlement.

    ``body``: with images named by content, as ``key`` hashes it. ``prompt_tokens``: an upper bound
    if its images take what is expected; ``images_above``: what they may take more.
    """

    node: NodeWork
    request: NodeRequest[A]
    attempt: A
    body: Body
    key: str
    prompt_tokens: int
    images_above: int = 0

    @property
    def max_tokens(self) -> int:
        return int(self.body["max_tokens"])

    @property
    def images(self) -> int:
        """How many pictures it shows."""
        return len(self.request.shown(self.attempt))

    @property
    def parts(self) -> PromptParts | None:
        """What its prompt holds, for the ledger."""
        shown = self.request.shown(self.attempt)
        sizes = [(picture.width, picture.height) for picture in shown]
        return parts_of(prompt_text(self.body), sizes, self.request.shared().detail)

    @property
    def is_probe(self) -> bool:
        return self.request.is_probe(self.attempt)

    def review(self, reply: Reply) -> Accepted | AskAgain[A] | NotSeen:
        return self.request.review(reply, self.attempt)

    def sends(self, form: RequestForm) -> bool:
        return self.request.sends(form, self.attempt)

    def sendable(self, services: Services, max_tokens: int) -> Sendable:
        """Its body as the endpoint takes it, which is another than the one that ``key`` hashes.
        ``max_tokens``: what its reply may have, at most its own."""
        context = self.request.shared()
        body = self.body | {"max_tokens": max_tokens}
        sendable = self.request.sendable(services, body, self.attempt)
        return replace(sendable, body=formed(sendable.body, context.forms, context.reply_tokens))


@dataclass(frozen=True, slots=True)
class Disbelieved(Generic[A]):
    """A call on the ledger whose reply shows that the model did not see its images."""

    call: PlannedCall[A]
    result: NotSeen


AnyRequest = NodeRequest[Attempt] | NodeRequest[LeafAttempt]
AnyCall = PlannedCall[Attempt] | PlannedCall[LeafAttempt]


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the provider."""

    request: AnyRequest


@dataclass(frozen=True, slots=True)
class Compose:
    """No model is needed: record this text, which code composed."""

    text: str


@dataclass(frozen=True, slots=True)
class Rearrange:
    """The node cannot be asked as it is: do this under its lease (a token)."""

    under_lease: Callable[[Connection, str, Moved], object]


NextStep = Ask | Compose | Rearrange
"""What to do with a node that is due."""


class CallStage(Protocol):
    """What differs between the calling stages."""

    stage: Stage
    kind: NodeKind

    def next_step(self, services: Services, connection: Connection, node: NodeWork) -> NextStep: ...

    def halve(
        self,
        services: Services,
        connection: Connection,
        node: NodeWork,
        token: str,
        moved: Moved,
    ) -> bool:
        """Replace the node by its halves; False if it holds only one thing."""


@dataclass(frozen=True, slots=True)
class Admission:
    """A planned call that may be sent: its node is claimed and the call is on the ledger."""

    call: AnyCall
    call_id: int
    lease: Lease
    tokens: int  # reserved
    max_tokens: int  # that its reply may have: fewer than its body says, if its budget is small
    admitted_at: float  # time.monotonic(): the limiter counts from what is sent, not admitted

    @property
    def node(self) -> NodeWork:
        return self.call.node


def context_of(services: Services, connection: Connection, node: NodeWork) -> RequestContext:
    """What is the same in all requests of a node's job, as long as nothing more is learned about
    its endpoint."""
    context = context_in(services.settings, connection, node)
    return replace(context, is_second=node.look > 1)


def context_in(
    settings: Settings, connection: Connection, job: NodeWork | JobRow
) -> RequestContext:
    """The same for a job, or for the job of a node, by ``settings``."""
    return request_context(
        settings,
        question=job.ask,
        model=job.model,
        provider=job.provider,
        endpoint=job.endpoint,
        detail=detail_at(job.detail),
        options=job.options,
        learned=endpoint_limits.learned(connection, job.endpoint, job.model, job.options.canary),
    )


def record(
    settings: Settings,
    connection: Connection,
    node: NodeWork,
    token: str,
    accepted: Accepted,
    moved: Moved,
) -> bool:
    """Write a node's text and, of a leaf, what it says about each image.

    False if another worker holds the node by now.
    """
    images, text, refused = accepted.images, accepted.text, accepted.refused
    if images is None:
        return state.node_done(connection, node.id, token, text, refused, moved)
    if node.look > 1:
        return state.looked_again(connection, node.id, token, refused, images, moved)
    if images.unclear:
        chosen = state.chosen_again(connection, node.id, images)
        if chosen:
            anew = _prepared_again(settings, connection, node)
            return state.look_again(
                connection, node.id, token, refused, images, chosen, anew, moved
            )
    if images.apart:
        return state.leaf_parted(connection, node.id, token, text, refused, images, moved)
    if images.seen:
        return state.node_done(connection, node.id, token, text, refused, moved, images)
    code, reason = next(iter(images.unseen.values()))
    return state.node_failed(connection, node.id, code, reason, moved, token)


def _prepared_again(settings: Settings, connection: Connection, node: NodeWork) -> bool:
    """Whether a second look shows images in other sizes than the first one."""
    job = pipeline.job(connection, node.job_id)
    assert job is not None, "a node has a job"
    if detail_at(job.detail, look=2) != detail_at(job.detail):
        return True
    first, second = job.model, job.options.second_model or job.model
    return settings.facts_of(first).sizes != settings.facts_of(second).sizes


def span(node: NodeWork) -> str:
    """``node 12, images 61 to 120``, for people."""
    return f"node {node.id}, images {node.first_position} to {node.last_position}"
