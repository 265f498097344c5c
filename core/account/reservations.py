"""What replies have taken lately, so that no call reserves more tokens than it is likely to use.

A call may answer with max_tokens, and hardly any does. While the account's tokens bind, what is
reserved and not used keeps others waiting, so after a few replies a call reserves somewhat more
than the longest of them. It is settled by usage: a reply that is longer than any before is counted
in full the moment it is there. Money is held by max_tokens all the same (core.account.budget).
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field

KEPT = 50
ENOUGH = 8
"""Replies before they say anything of the next one."""
MARGIN = 1.5
NOTE_MARGIN, NOTE_TOKENS = 1.15, 16
"""A note is read with its citations moved to other numbers, and a line about it before it."""


@dataclass(slots=True)
class Reservations:
    """Completion tokens of the last replies, by what was asked. Threads may share one."""

    _lately: defaultdict[tuple[str, ...], deque[int]] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=KEPT))
    )

    def add(self, asked: tuple[str, ...], tokens: int) -> None:
        """A reply to what is called ``asked`` took ``tokens``."""
        self._lately[asked].append(tokens)

    def likely(self, asked: tuple[str, ...], most: int) -> int:
        """Tokens to reserve for the next reply, at most ``most``."""
        lately = list(self._lately[asked])
        if len(lately) < ENOUGH:
            return most
        return min(most, int(MARGIN * max(lately)) + 1)


def note_tokens(estimate: int, written: int) -> int:
    """Tokens of a note in a prompt. ``estimate``: a bound by its bytes; ``written``: what the same
    model took to write it, thinking included; 0 where that is not known."""
    if not written:
        return estimate
    return min(estimate, int(NOTE_MARGIN * written) + NOTE_TOKENS)
