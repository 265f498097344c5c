"""The steps of the calling stages, from a ready node to its recorded text.

    admission: choose the node that deserves the next call -> is its reply in the ledger? record it
               else ask the limiter -> claim the node -> write the call
    send:      make the paid call and keep its leases alive
    record:    settle the ledger, review the reply, move the node, send wake-up messages

In each process one thread of a stage waits for the account. So waiting costs almost nothing, and
the node is chosen at the moment a call is admitted: a small job that arrives late is served at
once. The ledger alone tells which attempt at a request is due: every settled reply that could not
be used leads to the next attempt, so a crash repeats no step that was paid for.
"""

from __future__ import annotations

import threading
from typing import Protocol

from tasks.calls.admission import admit
from tasks.calls.node_request import CallStage, span
from tasks.calls.send import TOO_LATE, in_time, send
from tasks.runtime.services import Services

_queues: dict[str, threading.Lock] = {}
_queues_lock = threading.Lock()


class Show(Protocol):
    """Show people which node is asked now."""

    def __call__(self, **found: object) -> None: ...


def _unseen(**found: object) -> None:
    return None


def run(services: Services, stage: CallStage, show: Show = _unseen) -> str:
    """Do what one message asks for: at most one paid call."""
    _ = services.provider  # its first use loads the SDK: not between admission and sending
    with _queue(stage.stage.name):
        admission = admit(services, stage)
    if isinstance(admission, str):
        return admission
    with services.leases.hold(admission.lease.token, call=True):
        fresh = in_time(services, admission)
        if fresh is None:
            return f"job {admission.node.job_id}: {span(admission.node)}: {TOO_LATE}"
        node = fresh.node
        show(job=node.job_id, node=node.id, images=f"{node.first_position} to {node.last_position}")
        return send(services, stage, fresh)


def _queue(name: str) -> threading.Lock:
    with _queues_lock:
        return _queues.setdefault(name, threading.Lock())
