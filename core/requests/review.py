"""Reviewing a reply in plain text: can it be recorded, and as which text?"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from core.errors import RefusalCode
from core.reply import Reply
from core.requests.request import Attempt
from core.requests.second_look import Unclear
from core.states import Seen
from core.text import citations

A = TypeVar("A")

ATTEMPTS_MAX = 3
"""The most attempts at a request: as planned, and changed twice."""
ATTEMPTS_ALONE = 5
"""The same where replies are empty and dividing would not help: for one image, a pair of notes, or
images that are asked one by one. Each attempt has twice the max_tokens of the one before; a sixth
would have the whole context and be the same request again."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The text to record, citing positions of the job, without the ``refused`` false citations."""

    text: str
    refused: int
    images: LeafImages | None = None  # of a leaf


@dataclass(frozen=True, slots=True)
class LeafImages:
    """What a leaf's replies say about its images, by position. ``seen``: those that are included.
    ``unseen``: those that fail, and why. ``apart``: those that are shown again, in these groups.
    ``unclear``: those that a second look may tell better, and which fields of them;
    ``rest``: notes about no single image, where there are unclear ones; ``units``: answers about
    whole units, by the unit's number; ``divided``: the unit whose parts ``apart`` is, None if it
    is whole units."""

    seen: Mapping[int, Seen]
    answers: Mapping[int, Any] = field(default_factory=dict)  # where each image was asked
    notes: Mapping[int, str] = field(default_factory=dict)  # the line of each
    unseen: Mapping[int, tuple[RefusalCode, str]] = field(default_factory=dict)
    apart: tuple[tuple[int, ...], ...] = ()
    unclear: Mapping[int, Unclear] = field(default_factory=dict)
    rest: str = ""
    units: Mapping[int, Any] = field(default_factory=dict)
    divided: int | None = None


@dataclass(frozen=True, slots=True)
class NotSeen:
    """The reply shows that the model did not see what the request showed, so that nothing of it is
    believed. ``room``: how many pictures a request may show it, None if that is not known;
    ``by_canary``: it is half of what was shown, for a canary was not read."""

    reason: str
    room: int | None
    by_canary: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why a reply is not recorded: ``empty``, ``length`` (it was cut short) or ``citation``; for a
    reply in JSON also ``form``, and ``figure`` (it has a number that the request did not)."""

    reason: str


@dataclass(frozen=True, slots=True)
class AskAgain(Generic[A]):
    """Why a reply is not recorded, and the attempt to make next."""

    reason: str
    attempt: A


def review(
    reply: Reply, attempt: Attempt, known: Collection[int], positions: Mapping[int, int] | None
) -> Accepted | Rejected:
    """Whether ``reply`` can be recorded.

    ``known``: the numbers that the node may cite. ``positions`` translates them into positions of
    the job, if the request had numbers of its own. One nudge is spent on false citations, and
    max_tokens is doubled while a reply is cut short. After that the last reply is kept, or, if it
    is empty, an earlier one (``salvage``).
    """
    if not reply.text.strip():
        return Rejected("length" if reply.finish_reason == "length" else "empty")
    last = attempt.widened + len(attempt.nudges) >= ATTEMPTS_MAX - 1
    if reply.finish_reason == "length" and attempt.widened == 0 and not last:
        return Rejected("length")
    checked = citations.check(reply.text, known)
    if checked.refused and "citation" not in attempt.nudges and not last:
        return Rejected("citation")
    return _accepted(checked, positions)


def review_text(
    reply: Reply, attempt: Attempt, known: Collection[int], positions: Mapping[int, int] | None
) -> Accepted | AskAgain[Attempt]:
    """The same, with the attempt that follows a rejected reply."""
    result = review(reply, attempt, known, positions)
    if isinstance(result, Rejected):
        return AskAgain(result.reason, attempt.after(result.reason))
    return result


def salvage(
    replies: Sequence[Reply], known: Collection[int], positions: Mapping[int, int] | None
) -> Accepted | None:
    """The best text among rejected replies: a whole one before one that was cut short, a late one
    before an early one. None while attempts are left (ATTEMPTS_MAX), or if all are empty."""
    if len(replies) < ATTEMPTS_MAX:
        return None
    latest_first = replies[::-1]
    for reply in sorted(latest_first, key=lambda reply: reply.finish_reason == "length"):
        accepted = _accepted(citations.check(reply.text, known), positions)
        if accepted.text:
            return accepted
    return None


def _accepted(checked: citations.Checked, positions: Mapping[int, int] | None) -> Accepted:
    text = checked.text if positions is None else citations.translate(checked.text, positions)
    return Accepted(text.strip(), checked.refused)
