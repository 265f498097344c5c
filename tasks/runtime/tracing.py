"""What a trace is told of: one span a submission, a slice, a call. Off unless it is asked for.

All spans of a job are one trace, whose id follows from the job's, so no message has to carry a
context: a hint that was lost, doubled or sent by the reconciler leads to the same trace. Spans hold
ids, counts and states; never a question, an answer, a file's name or an error's text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    pass

Value = str | int | float


class Traces(Protocol):
    """Where spans go."""

    def span(
        self,
        name: str,
        job: str,
        began_ns: int,
        attributes: dict[str, Value],
        error: str | None = None,
        root: bool = False,
    ) -> None:
        """A span of ``job`` that began at ``began_ns`` (time.time_ns) and ends now. ``error`` is
        the kind of what went wrong; ``root``: the span that the job's others are children of."""

    def close(self) -> None:
        """Send what has not been sent."""


class NoTraces:
    """Traces are off."""

    def span(
        self,
        name: str,
        job: str,
        began_ns: int,
        attributes: dict[str, Value],
        error: str | None = None,
        root: bool = False,
    ) -> None:
        return None

    def close(self) -> None:
        return None
