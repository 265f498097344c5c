"""The pipe of the calling stages, from a ready node to its recorded text.

    gate: pick the node that deserves the next call -> answered in the ledger? record it
          else ask the limiter -> claim the node -> write the call
    send: the paid call, its leases kept alive
    record: settle the ledger, judge the reply, move the node, send what became ready

One thread a process and stage waits at the gate for the account, so waiting costs next to nothing
and the choice of the node is made at the moment a call is admitted: a small job that arrives late
is served at once. Which form of a request is asked follows from the ledger alone: every settled
reply that could not be used leads to the next form, so a crash repeats no step that was paid.
"""

from __future__ import annotations

import threading
from typing import Protocol

from tasks.calls.admission import admit
from tasks.calls.node_request import CallStage, span
from tasks.calls.send import TOO_LATE, in_time, send
from tasks.runtime.services import Services

_gates: dict[str, threading.Lock] = {}
_gates_lock = threading.Lock()


class Show(Protocol):
    """Tell people which node is asked now."""

    def __call__(self, **found: object) -> None: ...


def _unseen(**found: object) -> None:
    return None


def run(services: Services, stage: CallStage, show: Show = _unseen) -> str:
    """Do what one message is good for: at most one paid call."""
    _ = services.provider  # its first use loads the SDK: not between admission and sending
    with _gate(stage.name):
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


def _gate(name: str) -> threading.Lock:
    with _gates_lock:
        return _gates.setdefault(name, threading.Lock())
