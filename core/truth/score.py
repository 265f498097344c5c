"""How often the answers about labelled images are right, and where they are not."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.truth.comparison import Verdict, answered, compare
from core.truth.intervals import bootstrap_mean, wilson
from core.truth.readings import folded
from core.truth.rules import Rule
from core.truth.truth import Not, Value

NAMES_KEPT = 3
"""File names that a confusion gives as examples."""


@dataclass(frozen=True, slots=True)
class Case:
    """A labelled image. ``answer``: its object, its text, or None. ``position`` counts from 1."""

    position: int
    name: str
    truth: Mapping[str, Value]
    answer: Any


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over images with its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class FieldScore:
    """``right`` and ``unanswered`` are counts of ``of`` images; ``low`` to ``high`` is the 95 %
    interval of the share that is right. ``figure``: of a number the mean absolute error, of a set
    the mean overlap (0 to 1); None without values."""

    rule: Rule
    right: int
    of: int
    unanswered: int
    low: float
    high: float
    figure: Mean | None


@dataclass(frozen=True, slots=True)
class Wrong:
    """A field that is not right. ``answer`` is None if there is none."""

    position: int
    name: str
    field: str
    answer: Any
    truth: Value


@dataclass(frozen=True, slots=True)
class Confusion:
    """The same wrong answer for the same truth. ``names``: the first few files."""

    field: str
    truth: Value
    answer: Any
    count: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """``wrong`` is in the order of the images; ``confusions`` begin with the most frequent."""

    fields: dict[str, FieldScore]
    wrong: tuple[Wrong, ...]
    confusions: tuple[Confusion, ...]


def score(cases: Sequence[Case], rules: Mapping[str, Rule], chance: random.Random) -> Score:
    """Judge every case. ``chance`` draws the samples of the bootstrap."""
    verdicts: dict[str, list[Verdict]] = {field: [] for field in rules}
    figures: dict[str, list[float]] = defaultdict(list)
    wrong = []
    for case in cases:
        for field, verdict in compare(case.truth, case.answer, rules).items():
            given, truth = answered(case.answer, field), case.truth[field]
            verdicts[field].append(verdict)
            if verdict is not Verdict.RIGHT:
                wrong.append(Wrong(case.position, case.name, field, given, truth))
            if isinstance(truth, Not):
                continue
            if (figure := rules[field].figure(given, truth)) is not None:
                figures[field].append(figure)
    scores = {
        field: _field_score(rules[field], found, figures[field], chance)
        for field, found in verdicts.items()
    }
    return Score(scores, tuple(wrong), tuple(_confusions(wrong)))


def _field_score(
    rule: Rule, verdicts: Sequence[Verdict], figures: Sequence[float], chance: random.Random
) -> FieldScore:
    right, of = verdicts.count(Verdict.RIGHT), len(verdicts)
    low, high = wilson(right, of)
    mean = Mean(sum(figures) / len(figures), *bootstrap_mean(figures, chance)) if figures else None
    return FieldScore(rule, right, of, verdicts.count(Verdict.UNANSWERED), low, high, mean)


def _confusions(wrong: Sequence[Wrong]) -> list[Confusion]:
    alike: dict[tuple[str, str, str], list[Wrong]] = defaultdict(list)
    for fault in wrong:
        if fault.answer is not None and not isinstance(fault.truth, Not):
            alike[fault.field, folded(fault.truth), folded(fault.answer)].append(fault)
    return sorted(
        (
            Confusion(
                faults[0].field,
                faults[0].truth,
                faults[0].answer,
                len(faults),
                tuple(fault.name for fault in faults[:NAMES_KEPT]),
            )
            for faults in alike.values()
        ),
        key=lambda confusion: -confusion.count,
    )
