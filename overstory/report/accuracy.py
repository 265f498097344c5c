"""What a report shows of a comparison with a truth file: fields, and images with mistakes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from core.truth.score import FieldScore, Wrong
from core.truth.truth import Not
from overstory.checking import Check
from overstory.output.plural import pluralize

UNLABELLED = "something else"
"""The truth of an answer that a person called wrong without saying what is right."""


def accuracy(check: Check) -> dict[str, Any]:
    """``fields``: name, right, of, unanswered, rule, and in percent the share that is right and its
    interval, empty where nothing was compared; ``wrong``: an image's number and
    its faults, each as field, answer (None: no answer) and truth."""
    faults: dict[int, list[Wrong]] = defaultdict(list)
    for fault in check.score.wrong:
        faults[fault.position].append(fault)
    return {
        "fields": [_field(name, field) for name, field in check.score.fields.items()],
        "judged": pluralize(check.matched - check.waiting, "labelled image"),
        "wrong": [
            [position, [[fault.field, _said(fault.answer), _said(fault.truth)] for fault in group]]
            for position, group in faults.items()
        ],
    }


def _field(name: str, field: FieldScore) -> list[Any]:
    shares = [field.right / field.of, field.low, field.high] if field.of else []
    percent = [round(100 * share) for share in shares]
    return [name, field.right, field.of, field.unanswered, str(field.rule), percent]


def _said(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, Not):
        return UNLABELLED
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(str(part) for part in value)
    return str(value)
