"""A leaf that is asked for notes in plain text or, if it is the root, for the answer below them.

The notes have a line for each image: it is what shows that the model saw the image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from core.errors import RefusalCode
from core.prompts import Nudge
from core.reply import Reply
from core.requests.leaf import Leaf, LeafAttempt, Reading, seen_as
from core.requests.request import Attempt, Body, images_body, notes_body
from core.requests.review import ATTEMPTS_MAX, Accepted, LeafImages, Rejected, review
from core.requests.second_look import unmarked
from core.states import Seen
from core.text import citations
from core.text.notes import copies, has_separator, read_notes, says_nothing, split_answer


@dataclass(frozen=True)
class NotesLeaf(Leaf):
    """``known_notes``: of a further question over images that were answered for by the first one:
    the lines that they have from there, by number."""

    known_notes: Mapping[int, str] = field(default_factory=dict)

    unanswered: ClassVar = (
        RefusalCode.UNSEEN,
        "the model wrote nothing about it, also when it was shown alone",
    )
    nudge: ClassVar[Nudge] = "line"

    @property
    def wants_text(self) -> bool:
        return self.is_root

    @property
    def takes_as_is(self) -> bool:
        """A reply needs no lines if that was asked for, if the first question of a conversation
        got them, or if the answer is about one image alone."""
        return self.context.bare or self._is_alone or (self.is_root and bool(self.context.history))

    @property
    def _is_alone(self) -> bool:
        return self.is_root and len(self.positions) == 1 and not self.context.bare

    def asks_text(self, attempt: LeafAttempt) -> bool:
        return self.is_root and attempt.shown == tuple(self.positions)

    def images_body(self, attempt: LeafAttempt, urls: Sequence[str]) -> Body:
        words = [canary.place for canary in self.canaries(attempt)]
        how = Attempt(attempt.widened, attempt.nudges)
        return images_body(self.context, urls, self.asks_text(attempt), how, words)

    def read(self, attempt: LeafAttempt, reply: Reply) -> Reading:
        placed = self.placed(attempt)
        pictures = {*placed, *(canary.place for canary in self.canaries(attempt))}
        notes, answer = split_answer(reply.text, () if self.takes_as_is else pictures)
        notes = reply.text if self.takes_as_is or not self.asks_text(attempt) else notes
        found = read_notes(notes, pictures)
        lines = dict(found.lines)
        rest = "" if self.asks_text(attempt) else found.rest  # there, it is the answer
        if reply.finish_reason == "length" and not has_separator(reply.text):
            rest = rest if self.takes_as_is else ""  # what stands last may be cut
            if lines and not self.takes_as_is:
                lines.popitem()
        if not found.lines and len(pictures) == 1:
            lines, rest = {1: reply.text.strip()}, ""  # it is all about the one image
        words = {canary.place: lines.pop(canary.place, "") for canary in self.canaries(attempt)}
        marked = {n: unmarked(line) for n, line in lines.items()} if self.context.marks else {}
        lines = {n: marked[n][0] if n in marked else line for n, line in lines.items()}
        answer = unmarked(answer)[0] if marked and self._is_alone else answer
        translated = _Translated(placed, pictures, self.positions)
        copied = {} if self.takes_as_is else copies(lines)
        values = {
            placed[n]: kept
            for n, line in lines.items()
            if not says_nothing(line, alone=len(attempt.shown) == 1 or line == "?")
            and copied.get(n) in (None, attempt.copied.get(placed[n]))
            and (kept := translated.line(line))
        }
        about_it = found.lines.get(1, answer)
        if self.takes_as_is and not (self._is_alone and says_nothing(about_it, alone=True)):
            values = {number: values.get(number, "") for number in attempt.shown}
        has_text = self.asks_text(attempt) and len(values) == len(attempt.shown)
        return Reading(
            values,
            (translated.answer(answer) or None) if has_text else None,
            refused=citations.check(reply.text, pictures).refused,
            copied={placed[n]: form for n, form in copied.items()},
            rest=translated.line(rest),
            unclear={placed[n]: () for n in marked if marked[n][1] and placed.get(n) in values},
            words=words,
        )

    def body_over_answers(self, attempt: LeafAttempt, inner: Attempt) -> Body:
        notes = [self.notes(attempt)]
        return notes_body(self.context, notes, len(attempt.kept), True, inner)

    def review_over_answers(
        self, attempt: LeafAttempt, inner: Attempt, reply: Reply
    ) -> Accepted | Rejected:
        return review(reply, inner, set(self.by_position(attempt)), None)

    def text_of(self, attempt: LeafAttempt, text: str | None) -> str:
        return self.notes(attempt) if text is None else text

    def seen(self, attempt: LeafAttempt) -> LeafImages:
        lines = self.by_position(attempt)
        known = {self.positions[number]: note for number, note in self.known_notes.items()}
        notes = {position: lines[position] or known.get(position, "") for position in lines}
        notes = {position: note for position, note in notes.items() if note}
        seen = {position: Seen.LINE if position in notes else Seen.SENT for position in lines}
        if self._is_alone:
            seen = seen_as(Seen.ANSWER, lines)
            notes = notes if attempt.unclear else {}  # what a second look is compared with
        rest = citations.check(attempt.rest, set(lines)).text if attempt.unclear else ""
        return LeafImages(seen, notes=notes, rest=rest)

    def _may_nudge(self, attempt: LeafAttempt, reading: Reading) -> bool:
        is_last = attempt.turn + 1 >= ATTEMPTS_MAX
        return bool(reading.refused) and "citation" not in attempt.nudges and not is_last

    def notes(self, attempt: LeafAttempt) -> str:
        """The lines, and below them what replies said about no single image."""
        lines = {position: line for position, line in self.by_position(attempt).items() if line}
        notes = "\n".join(f"[{position}] {line}" for position, line in lines.items())
        known = set(self.by_position(attempt))
        rest = citations.check(attempt.rest, known).text
        joined = "\n\n".join(part for part in (notes, rest) if part)
        return citations.check(joined, set(self.positions.values())).text  # "[3" above, "]" below


@dataclass(frozen=True, slots=True)
class _Translated:
    """Texts of one reply that cite positions of the job, and no canary."""

    placed: Mapping[int, int]
    pictures: set[int]
    positions: Mapping[int, int]

    def line(self, text: str) -> str:
        """A line, or other notes. Numbers of canaries go; the text around them stays."""
        return self._moved(citations.check(text, self.pictures).text)

    def answer(self, text: str) -> str:
        """The answer, without sentences that only canaries back."""
        return self._moved(citations.check(text, set(self.placed)).text)

    def _moved(self, text: str) -> str:
        numbers = {n: self.positions[number] for n, number in self.placed.items()}
        return citations.translate(text, numbers).strip()
