"""Judging a reply: can it be recorded, and with which words?"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.reply import Reply
from core.requests.request import Variant
from core.text import citations

ATTEMPTS_MAX = 3
"""A request is asked in at most this many forms: as planned, and changed twice."""
ATTEMPTS_ALONE = 5
"""The same where replies are empty and nothing is divided for it: of one image, a pair of notes, or
of images that are asked one by one. Each form has twice the room of the one before; the next would
have all the context and be the same request."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The text to record, citing positions of the job; ``refused`` false citations are out."""

    text: str
    refused: int
    answers: Mapping[int, Any] | None = None  # by position, where each image was asked
    missing: tuple[int, ...] = ()  # positions that no form of the request got an answer for


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why a reply is not recorded: ``empty``, ``length`` (it was cut short) or ``citation``; of
    one that should be JSON also ``form``, and ``figure`` (a number that was not given)."""

    reason: str


@dataclass(frozen=True, slots=True)
class AskAgain:
    """Why a reply is not recorded, and the form of the request to ask then: a Variant, or what
    core.requests.per_image has instead."""

    reason: str
    form: Any


def judge(
    reply: Reply, variant: Variant, known: Collection[int], positions: Mapping[int, int] | None
) -> Accepted | Rejected:
    """What ``reply`` to ``variant`` is worth.

    ``known`` are the numbers the node may cite; ``positions`` translates them into positions of
    the job where the request had numbers of its own. One nudge is spent on false citations and
    the request is widened while it falls short; after that the best of the last reply is kept, or,
    where that is empty, of one before it (``salvage``).
    """
    if not reply.text.strip():
        return Rejected("length" if reply.finish_reason == "length" else "empty")
    last = variant.widened + len(variant.nudges) >= ATTEMPTS_MAX - 1
    if reply.finish_reason == "length" and variant.widened == 0 and not last:
        return Rejected("length")
    checked = citations.check(reply.text, known)
    if checked.refused and "citation" not in variant.nudges and not last:
        return Rejected("citation")
    return _usable(checked, positions)


def salvage(
    replies: Sequence[Reply], known: Collection[int], positions: Mapping[int, int] | None
) -> Accepted | None:
    """The best text among the replies to the forms of a request so far, of which none was usable: a
    whole one before one that was cut short, a late one before an early one. None while there are
    forms to try (VARIANTS_MAX), or where all are empty."""
    if len(replies) < ATTEMPTS_MAX:
        return None
    latest_first = replies[::-1]
    for reply in sorted(latest_first, key=lambda reply: reply.finish_reason == "length"):
        found = _usable(citations.check(reply.text, known), positions)
        if found.text:
            return found
    return None


def _usable(checked: citations.Checked, positions: Mapping[int, int] | None) -> Accepted:
    text = checked.text if positions is None else citations.translate(checked.text, positions)
    return Accepted(text.strip(), checked.refused)
