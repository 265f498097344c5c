"""A leaf that shows whole units and is asked for an answer about each, in one JSON object.

The reply has a line for each image, which shows that the model saw it, and a value for each unit. A
unit counts as answered when the reply has both for all of its images; else all of its images are
shown again, so that no unit is answered from a part of them. A unit that no request can hold, or
whose images are refused together, is divided: the nodes about its parts are a tree of their own
(``of_part``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from core.answers.json_schema import ANSWER
from core.answers.spec import REPLY_STEPS_MAX, TEXT, AnswerSpec, closed, parts_of
from core.answers.units import answer_block
from core.answers.validation import Steps
from core.errors import RefusalCode
from core.prompts import Nudge, shaped
from core.reply import Reply
from core.requests import set_summary
from core.requests.leaf import Leaf, LeafAttempt, Reading, seen_as
from core.requests.request import Attempt, Body, RequestContext
from core.requests.review import Accepted, LeafImages, Rejected
from core.states import Seen
from core.text.json_replies import entries
from core.text.notes import copies, says_nothing
from core.tree.packing import Budget, Weight, cut, groups


@dataclass(frozen=True, slots=True)
class ShownUnit:
    """A unit in a leaf: its number in the job, its name and those of units with the same images,
    and the numbers of its images in the leaf."""

    number: int
    names: tuple[str, ...]
    images: tuple[int, ...]


@dataclass(frozen=True)
class UnitLeaf(Leaf):
    """``spec``: what is asked about each unit."""

    spec: AnswerSpec
    units: Sequence[ShownUnit]

    unanswered: ClassVar = (RefusalCode.NO_ANSWER, "no attempt got a usable answer for its unit")
    nudge: ClassVar[Nudge] = "missing"

    @property
    def wants_text(self) -> bool:
        return False

    def images_body(self, attempt: LeafAttempt, urls: Sequence[str]) -> Body:
        context, spec = self.context, self.spec
        words = [canary.place for canary in self.canaries(attempt)]
        places = [list(unit) for unit in self._places(attempt).values()]
        schema = _reply_schema(spec, len(urls), len(places))
        instruction = shaped.units_instruction(
            len(urls),
            spec.question,
            places,
            objects=spec.schema is not None,
            schema=None if spec.structured == "json_schema" else schema,
            words=words,
            own=context.prompts,
        )
        return set_summary.shown_body(context, spec, urls, instruction, schema, attempt)

    def read(self, attempt: LeafAttempt, reply: Reply) -> Reading:
        answers = entries(reply.text)
        placed = self.placed(attempt)
        positions = {n: self.positions[number] for n, number in placed.items()}
        work = Steps(REPLY_STEPS_MAX)
        lines: dict[int, str] = {}
        for n in placed:
            line = parts_of(None, False).known_value(answers.get(str(n)), positions, n, work)
            if line is not None and not says_nothing(line, alone=len(placed) == 1):
                lines[n] = line
        copied = copies(lines)
        kept = {
            n: line
            for n, line in lines.items()
            if copied.get(n) in (None, attempt.copied.get(placed[n]))
        }
        values: dict[int, str] = {}
        units: dict[int, Any] = {}
        for count, (number, places) in enumerate(self._places(attempt).items(), start=1):
            own = {n: positions[n] for n in places}
            given = answers.get(shaped.group_key(count))
            value = self.spec.parts.known_value(given, own, places[0], work)
            if value is not None and all(n in kept for n in places):
                units[number] = value
                values |= {placed[n]: kept[n] for n in places}
        words = {c.place: str(answers.get(str(c.place), "")) for c in self.canaries(attempt)}
        copied_of = {placed[n]: form for n, form in copied.items()}
        return Reading(values, copied=copied_of, words=words, units=units)

    def divided(self, missing: Sequence[int], most: int, alone: bool) -> list[list[int]]:
        """Whole units together, or the parts of one that was the only one."""
        left = set(missing)
        units = [list(unit.images) for unit in self.units if left.issuperset(unit.images)]
        if len(units) == 1:
            return groups(units[0], most) if alone else units
        weights = [Weight(0, 0, len(unit)) for unit in units]
        together = cut(units, weights, Budget(most, 1, 1))
        return [[number for unit in some for number in unit] for some in together]

    def _apart(
        self, done: LeafAttempt, leaves: Sequence[Sequence[int]], unclear: Sequence[int]
    ) -> Accepted:
        accepted = super()._apart(done, leaves, unclear)
        assert accepted.images is not None, "it is of a leaf"
        cut_up = [
            u.number for u in self.units if 0 < len({*leaves[0]} & {*u.images}) < len(u.images)
        ]
        images = replace(accepted.images, divided=cut_up[0] if cut_up else None)
        return replace(accepted, images=images)

    def body_over_answers(self, attempt: LeafAttempt, inner: Attempt) -> Body:
        raise AssertionError("the answer over units is asked by the root alone")

    def review_over_answers(
        self, attempt: LeafAttempt, inner: Attempt, reply: Reply
    ) -> Accepted | Rejected:
        raise AssertionError("the answer over units is asked by the root alone")

    def text_of(self, attempt: LeafAttempt, text: str | None) -> str:
        return self.notes(attempt)

    def notes(self, attempt: LeafAttempt) -> str:
        blocks = [
            answer_block(
                unit.names, [self.positions[n] for n in unit.images], attempt.units[unit.number]
            )
            for unit in self.units
            if unit.number in attempt.units
        ]
        return "\n\n".join(blocks)

    def seen(self, attempt: LeafAttempt) -> LeafImages:
        lines = self.by_position(attempt)
        return LeafImages(seen_as(Seen.LINE, lines), notes=lines, units=dict(attempt.units))

    def _places(self, attempt: LeafAttempt) -> dict[int, list[int]]:
        """The numbers that images have in the request of ``attempt``, by the number of their
        unit. An attempt shows whole units."""
        place_of = {number: n for n, number in self.placed(attempt).items()}
        return {
            unit.number: sorted(place_of[number] for number in unit.images)
            for unit in self.units
            if unit.images[0] in place_of
        }


def _reply_schema(spec: AnswerSpec, images: int, units: int) -> dict[str, Any]:
    """The JSON Schema of a reply: a line for each image, then an answer for each unit."""
    lines: Mapping[str, Any] = {str(number): TEXT for number in range(1, images + 1)}
    answer = {"$ref": f"#/$defs/{ANSWER}"}
    answers = {shaped.group_key(number): answer for number in range(1, units + 1)}
    return closed({**lines, **answers}, spec.parts.defs)


def of_part(context: RequestContext) -> RequestContext:
    """The context of the nodes about the parts of one unit, which are asked like a set of its own:
    for notes that a branch answers from, or for records that code merges."""
    spec = context.answer_spec
    assert spec is not None, "a unit is asked about"
    question = spec.question
    parts = None if spec.schema is None else replace(spec, ask=question, each=None, by=False)
    return replace(context, question=question, answer_spec=parts)


def over_units(context: RequestContext) -> RequestContext:
    """The context of the nodes that answer the question about the set, from answers about units."""
    return replace(context, answer_spec=None)
