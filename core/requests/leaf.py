"""A leaf's requests: the attempts at showing its images, and what becomes of the replies.

Every image must be answered for: by an answer of its own where the job asks each image, else by a
line of its own in the notes. The first attempt shows all images. What its reply leaves out is shown
again alone, numbered anew from 1; what there is already is kept. Where a reply leaves out most, the
rest is shown in leaves of their own, of the size that the model managed. If a text about all images
is wanted too, the first reply may carry it; if an image was missing there, a request over the
answers or lines asks for it.

Every attempt follows from the replies before it, so replaying the ledger finds the one that is due.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from core.errors import RefusalCode
from core.prompts import Nudge
from core.reply import Reply
from core.requests.canary import Canary, canaries
from core.requests.request import FIRST, Attempt, Body, RequestContext
from core.requests.review import (
    ATTEMPTS_ALONE,
    ATTEMPTS_MAX,
    Accepted,
    AskAgain,
    LeafImages,
    NotSeen,
    Rejected,
)
from core.requests.second_look import Unclear
from core.states import Seen
from core.text.json_replies import line_of
from core.text.notes import says_nothing
from core.tree.packing import groups

ATTEMPTS_MAX_PER_LEAF = ATTEMPTS_ALONE + ATTEMPTS_MAX
"""Attempts that show images, and after them attempts over the answers or lines."""
NONE_OF = 8
"""Of images of which none is answered for, one part in so many is shown together next."""
_NEXT_ANSWER = re.compile(r"\n(?=\[[0-9]{1,9}\] )")
NO_WORD = "the model did not read the word on a picture of ours, so it does not see all images"


@dataclass(frozen=True, slots=True)
class LeafAttempt:
    """One request of a leaf. ``shown`` and all keys are numbers of the leaf's images, from 1.

    ``kept``: answers or lines of earlier replies. ``copied``: lines that were not kept, because
    another image had the same; said again of the same image alone or elsewhere, one counts.
    ``rest``: text of earlier replies about no single image; ``text``: of one about all images,
    which a later one is to replace. ``unclear``: the kept ones that their reply could not tell.
    ``units``: answers about whole units, by the unit's number. ``over_answers``: it shows no image
    and asks for a text over the answers or lines.
    """

    shown: tuple[int, ...]
    turn: int = 0
    widened: int = 0
    nudges: tuple[Nudge, ...] = ()
    kept: Mapping[int, Any] = field(default_factory=dict)
    copied: Mapping[int, str] = field(default_factory=dict)
    refused: int = 0
    rest: str = ""
    text: str | None = None
    unclear: Mapping[int, Unclear] = field(default_factory=dict)
    units: Mapping[int, Any] = field(default_factory=dict)
    over_answers: Attempt | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What one reply says. ``values``: of the images that it answers for, as they are kept;
    ``text``: about all images, None if it has none that can be kept; ``unfit``: the images for
    which it has a value that cannot be kept; ``units``: answers about whole units."""

    values: Mapping[int, Any]
    text: str | None = None
    refused: int = 0
    copied: Mapping[int, str] = field(default_factory=dict)
    rest: str = ""
    unclear: Mapping[int, Unclear] = field(default_factory=dict)
    unfit: frozenset[int] = frozenset()
    words: Mapping[int, str] = field(default_factory=dict)  # what it says of canaries, by place
    units: Mapping[int, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Leaf(ABC):
    """What the requests of one leaf share. ``positions`` and ``contents`` (hashes): of its images,
    by number from 1; ``is_root``: its reply is the job's answer."""

    context: RequestContext
    positions: Mapping[int, int]
    contents: Mapping[int, str]
    is_root: bool

    # --- what the two kinds of leaves do differently

    @property
    @abstractmethod
    def wants_text(self) -> bool:
        """Whether a text about all images is wanted as well."""

    @abstractmethod
    def images_body(self, attempt: LeafAttempt, urls: Sequence[str]) -> Body: ...

    @abstractmethod
    def body_over_answers(self, attempt: LeafAttempt, inner: Attempt) -> Body: ...

    @abstractmethod
    def read(self, attempt: LeafAttempt, reply: Reply) -> Reading: ...

    @abstractmethod
    def review_over_answers(
        self, attempt: LeafAttempt, inner: Attempt, reply: Reply
    ) -> Accepted | Rejected: ...

    @abstractmethod
    def text_of(self, attempt: LeafAttempt, text: str | None) -> str:
        """The text to record. ``text``: about all images, where one is wanted and was got."""

    @abstractmethod
    def notes(self, attempt: LeafAttempt) -> str:
        """What the node above reads about the images."""

    @abstractmethod
    def seen(self, attempt: LeafAttempt) -> LeafImages:
        """The images that ``attempt`` has kept an answer or a line for."""

    @property
    def takes_as_is(self) -> bool:
        """Whether a reply is taken as it is, although it may not answer for each image."""
        return False

    unanswered: ClassVar[tuple[RefusalCode, str]]
    """Why an image fails that no attempt answers for."""
    nudge: ClassVar[Nudge]
    """What is said to the model when images are shown again."""

    # --- what they share

    def first(self) -> LeafAttempt:
        return LeafAttempt(tuple(self.positions))

    def canaries(self, attempt: LeafAttempt) -> tuple[Canary, ...]:
        """The canaries among the images of ``attempt``."""
        if not self.context.canaries or attempt.over_answers is not None:
            return ()
        shown = [self.contents[number] for number in attempt.shown]
        return canaries(shown, self.context.canaries, attempt.turn)

    def placed(self, attempt: LeafAttempt) -> dict[int, int]:
        """Numbers of images in the request of ``attempt`` -> their numbers in the leaf."""
        taken = {canary.place for canary in self.canaries(attempt)}
        free = (n for n in range(1, len(attempt.shown) + len(taken) + 1) if n not in taken)
        return dict(zip(free, attempt.shown, strict=True))

    def asks_text(self, attempt: LeafAttempt) -> bool:
        """Whether the reply to ``attempt`` is to have the text about all images."""
        return self.wants_text and attempt.turn == 0

    def body(self, attempt: LeafAttempt, urls: Sequence[str]) -> Body:
        """The request; ``urls`` are those of its pictures in order, canaries among them."""
        if attempt.over_answers is not None:
            return self.body_over_answers(attempt, attempt.over_answers)
        return self.images_body(attempt, urls)

    def review(
        self, attempt: LeafAttempt, reply: Reply
    ) -> Accepted | AskAgain[LeafAttempt] | NotSeen:
        """What to record of ``reply`` to ``attempt``, or what to ask next."""
        if attempt.over_answers is not None:
            return self._after_over_answers(attempt, attempt.over_answers, reply)
        if not reply.text.strip():
            return self._after_empty(attempt, reply)
        reading = self.read(attempt, reply)
        is_cut = reply.finish_reason == "length"
        is_broken = is_cut and not self.takes_as_is  # a text that was cut is not an answer
        if (unread := self._unread(attempt, reading)) is not None:
            if not unread and attempt.turn + 1 < ATTEMPTS_MAX:
                again = _wider(attempt) if is_cut else _nudged(attempt, self.nudge)
                return AskAgain("a canary is not answered for", again)
            pictures = len(attempt.shown) + len(self.canaries(attempt))
            room = max(pictures // 2, 2) if unread and pictures > 2 else None
            return NotSeen(NO_WORD, room, by_canary=True)
        done = replace(
            attempt,
            kept=dict(sorted({**attempt.kept, **reading.values}.items())),
            refused=attempt.refused + reading.refused,
            copied={**attempt.copied, **reading.copied},
            unclear={**attempt.unclear, **reading.unclear},
            units={**attempt.units, **reading.units},
            rest="\n\n".join(part for part in (attempt.rest, reading.rest) if part),
            text=attempt.text if reading.text is None or is_broken else reading.text,
        )
        if self._may_nudge(attempt, reading):
            again = replace(done, refused=attempt.refused, rest=attempt.rest)
            return AskAgain("citation", _nudged(again, "citation"))
        missing = tuple(number for number in attempt.shown if number not in done.kept)
        if missing:
            return self._after_gaps(done, missing, reading, is_cut)
        return self._after_all(done, is_cut)

    def _unfit(self, done: LeafAttempt, missing: Sequence[int], reading: Reading) -> list[int]:
        """What is ``missing`` because its value does not fit, if a second look may tell it: then it
        is not asked for in the same way again. Something must be kept, so that the leaf becomes
        smaller."""
        if not self.context.marks or self.context.is_second or not done.kept:
            return []
        return [number for number in missing if number in reading.unfit]

    def _may_nudge(self, attempt: LeafAttempt, reading: Reading) -> bool:
        """Whether to spend an attempt on false citations."""
        return False

    def _after_empty(self, attempt: LeafAttempt, reply: Reply) -> Accepted | AskAgain[LeafAttempt]:
        """An empty reply says nothing about the images, so one image may be asked more often; of
        several, each is then asked alone."""
        turns = ATTEMPTS_ALONE if len(attempt.shown) == 1 else ATTEMPTS_MAX
        if attempt.turn + 1 < turns:
            reason = "length" if reply.finish_reason == "length" else "empty"
            return AskAgain(reason, _wider(attempt))
        missing = tuple(number for number in attempt.shown if number not in attempt.kept)
        if not missing:  # an earlier reply was to be bettered
            return self._after_all(attempt, is_cut=False)
        return self._left_over(attempt, missing, 1)

    def _after_gaps(
        self, done: LeafAttempt, missing: tuple[int, ...], reading: Reading, is_cut: bool
    ) -> Accepted | AskAgain[LeafAttempt]:
        """Some images are not answered for: they are shown again, or apart. Copies of other lines
        show that the model can answer for so many."""
        unfit = [] if is_cut else self._unfit(done, missing, reading)
        if len(unfit) == len(missing):
            return self._apart(done, [missing], unfit)
        copied = len(reading.copied)
        shown = len(done.shown)
        got = shown - len(missing)
        may_repeat = done.turn + 1 < ATTEMPTS_MAX and (got > 0 or done.turn == 0 or shown == 1)
        if may_repeat and (is_cut or got == 0 or 2 * (got + copied) >= shown):
            reason = f"{len(missing)} of {shown} images are not answered for"
            again = replace(
                done,
                shown=missing,
                turn=done.turn + 1,
                widened=done.widened + (is_cut or got == 0),
                nudges=(*done.nudges, self.nudge),
            )
            return AskAgain(reason, again)
        return self._left_over(done, missing, got or shown // NONE_OF, unfit)

    def _left_over(
        self,
        done: LeafAttempt,
        missing: tuple[int, ...],
        most: int,
        unfit: Sequence[int] = (),
    ) -> Accepted | AskAgain[LeafAttempt]:
        """No further attempt is made here: what is missing is shown in leaves of at most ``most``
        images, or fails if it was shown alone. ``unfit``: what a second look may tell instead."""
        if len(done.shown) == 1:
            if done.kept:
                return self._after_all(done, is_cut=False)
            return self._accepted(done, None)
        most = max(1, min(most, len(done.shown) - 1))
        return self._apart(done, self.divided(missing, most, alone=not done.kept), unfit)

    def divided(self, missing: Sequence[int], most: int, alone: bool) -> list[list[int]]:
        """What is ``missing``, in groups of at most ``most`` images, of which each gets a leaf.
        ``alone``: nothing but it was in the leaf, so there must be several groups."""
        return groups(missing, most)

    def _apart(
        self, done: LeafAttempt, leaves: Sequence[Sequence[int]], unclear: Sequence[int]
    ) -> Accepted:
        """What is kept is recorded, and ``leaves`` show the other images. ``unclear``: those of
        them that a second look may tell instead."""
        apart = tuple(tuple(self.positions[number] for number in leaf) for leaf in leaves)
        images = self._proven(done)
        marked = {**images.unclear, **{self.positions[number]: () for number in unclear}}
        images = replace(images, apart=apart, unclear=marked)
        return Accepted(self.notes(done), done.refused, images)

    def _after_all(self, done: LeafAttempt, is_cut: bool) -> Accepted | AskAgain[LeafAttempt]:
        """All images are answered for, or were shown alone in vain: accepted, but for a text about
        all of them."""
        wider = _wider(done)
        if is_cut and done.widened == 0 and (self.asks_text(wider) or self.takes_as_is):
            return AskAgain("length", wider)
        has_text = done.text is not None and (not is_cut or self.takes_as_is)
        if has_text or not self.wants_text:
            return self._accepted(done, done.text)
        if self.is_root and done.unclear:  # it is answered after the second look
            return Accepted(self.notes(done), done.refused, self._images(done))
        reason = "the text about all images is asked for"
        return AskAgain(reason, replace(done, over_answers=FIRST))

    def _after_over_answers(
        self, attempt: LeafAttempt, inner: Attempt, reply: Reply
    ) -> Accepted | AskAgain[LeafAttempt]:
        result = self.review_over_answers(attempt, inner, reply)
        if isinstance(result, Rejected):
            if len(inner.nudges) + 1 < ATTEMPTS_MAX:
                again = replace(attempt, over_answers=inner.after(result.reason))
                return AskAgain(result.reason, again)
            result = Accepted(self.lines(attempt), 0)
        refused = attempt.refused + result.refused
        return Accepted(result.text, refused, self._images(attempt))

    def _accepted(self, done: LeafAttempt, text: str | None) -> Accepted:
        return Accepted(self.text_of(done, text), done.refused, self._images(done))

    def _images(self, done: LeafAttempt) -> LeafImages:
        """All images of the leaf: what was not answered for has failed."""
        missing = [p for number, p in self.positions.items() if number not in done.kept]
        proven = self._proven(done)
        unclear = {**proven.unclear, **dict.fromkeys(missing, ())} if self.context.marks else {}
        return replace(proven, unseen=dict.fromkeys(missing, self.unanswered), unclear=unclear)

    def _proven(self, done: LeafAttempt) -> LeafImages:
        """The images that are answered for; they were only sent where a canary finds no room."""
        images = self.seen(done)
        unclear = {self.positions[number]: fields for number, fields in done.unclear.items()}
        images = replace(images, unclear=unclear)
        if self.context.unprovable:
            images = replace(images, seen=seen_as(Seen.SENT, images.seen))
        return images

    def _unread(self, attempt: LeafAttempt, reading: Reading) -> str | None:
        """What the reply says of a canary instead of its word, empty if it says nothing; None if it
        has read all of them."""
        for canary in self.canaries(attempt):
            said = reading.words.get(canary.place, "")
            if canary.word.casefold() not in said.casefold():
                return "" if says_nothing(said) else said
        return None

    # --- texts

    def by_position(self, attempt: LeafAttempt) -> dict[int, Any]:
        return {self.positions[number]: value for number, value in attempt.kept.items()}

    def lines(self, attempt: LeafAttempt) -> str:
        """``[17] answer`` or line, one for each image that ``attempt`` has kept."""
        return lines_of(list(self.by_position(attempt).items()))


def lines_of(answers: Sequence[tuple[int, Any]]) -> str:
    """``[17] answer``, one line for each image."""
    return "\n".join(f"[{position}] {line_of(value)}" for position, value in answers)


def in_order(texts: Sequence[str]) -> str:
    """Lines of several leaves together, by position: a leaf that looks at images again, or for the
    second time, has some from between those of another."""
    answers = _NEXT_ANSWER.split("\n".join(text for text in texts if text))
    return "\n".join(sorted(answers, key=_position))


def _position(answer: str) -> int:
    number = answer[1:].partition("]")[0]
    return int(number) if number.isdecimal() else 0


def seen_as(how: Seen, positions: Sequence[int] | Mapping[int, Any]) -> dict[int, Seen]:
    return dict.fromkeys(positions, how)


def _wider(attempt: LeafAttempt) -> LeafAttempt:
    return replace(_nudged(attempt, "length"), widened=attempt.widened + 1)


def _nudged(attempt: LeafAttempt, nudge: Nudge) -> LeafAttempt:
    return replace(attempt, turn=attempt.turn + 1, nudges=(*attempt.nudges, nudge))
