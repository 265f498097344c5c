"""Traces: one span per submission, slice and call. Off by default.

All spans of a job are one trace. Its id is computed from the job's, so messages carry no context,
and a lost, repeated or re-sent wake-up message leads to the same trace. Spans have ids, counts and
states; never a question, an answer, a file name or an error text.
"""

from __future__ import annotations

from typing import Protocol

Value = str | int | float


class Traces(Protocol):
    """Takes spans."""

    def span(
        self,
        name: str,
        job: str,
        began_ns: int,
        attributes: dict[str, Value],
        error: str | None = None,
        root: bool = False,
    ) -> None:
        """Record a span of ``job`` from ``began_ns`` (time.time_ns) until now. ``error``: the kind
        of error, if any. ``root``: this is the parent of the job's other spans."""

    def close(self) -> None:
        """Send the remaining spans."""


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
