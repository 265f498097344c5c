"""Token reservations by the length of recent replies.

A reply may take max_tokens, but hardly any does. While the token limit binds, unused reservations
keep other calls waiting. So after a few replies a call reserves somewhat more than the longest of
them. Usage corrects this: a longer reply counts in full as soon as it arrives. Budgets still hold
money for max_tokens (core.account.budget).
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field

KEPT = 50
"""Recent replies to remember."""
ENOUGH = 8
"""Replies needed before their length predicts the next one."""
MARGIN = 1.5
NOTE_MARGIN, NOTE_TOKENS = 1.15, 16
"""A note in a prompt has other citation numbers than as written, and a line before it."""


@dataclass(slots=True)
class Reservations:
    """Completion tokens of recent replies, by kind of request. Threads may share one."""

    _recent: defaultdict[tuple[str, ...], deque[int]] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=KEPT))
    )

    def add(self, asked: tuple[str, ...], tokens: int) -> None:
        """Record that a reply to the kind of request ``asked`` took ``tokens``."""
        self._recent[asked].append(tokens)

    def likely(self, asked: tuple[str, ...], most: int) -> int:
        """Tokens to reserve for the next reply, at most ``most``."""
        recent = list(self._recent[asked])
        if len(recent) < ENOUGH:
            return most
        return min(most, int(MARGIN * max(recent)) + 1)


def note_tokens(estimate: int, written: int) -> int:
    """Tokens of a note in a prompt. ``estimate``: a bound by its bytes; ``written``: the tokens the
    same model took to write it, reasoning included; 0 if unknown."""
    return min(estimate, int(NOTE_MARGIN * written) + NOTE_TOKENS) if written else estimate
