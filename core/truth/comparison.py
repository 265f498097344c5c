"""An image's answer compared with what is known of it, field by field."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from core.answers.totals import value_at
from core.truth.rules import Rule
from core.truth.truth import Not, Value

ANSWER = "answer"
"""The field of an answer that is plain text."""


class Verdict(StrEnum):
    RIGHT = "right"
    WRONG = "wrong"
    UNANSWERED = "unanswered"
    """The image has no answer, or its answer has not this field. That does not count as right."""


def answered(answer: Any, field: str) -> Any:
    """The value of ``field`` in ``answer``; None if there is none. ``shop.name`` is the name inside
    the shop, unless a property has that very name."""
    if not isinstance(answer, Mapping):
        return answer if field == ANSWER else None
    return answer[field] if field in answer else value_at(answer, tuple(field.split(".")))


def compare(
    truth: Mapping[str, Value], answer: Any, rules: Mapping[str, Rule]
) -> dict[str, Verdict]:
    """A verdict for each field of ``truth`` that can be judged. ``answer``: the object of the
    image, its text, or None. An answer other than one known to be wrong is not judged."""
    verdicts = {
        field: _verdict(rules[field], answered(answer, field), value)
        for field, value in truth.items()
    }
    return {field: verdict for field, verdict in verdicts.items() if verdict is not None}


def _verdict(rule: Rule, given: Any, truth: Value) -> Verdict | None:
    if given is None:
        return Verdict.UNANSWERED
    if isinstance(truth, Not):
        return Verdict.WRONG if rule.right(given, truth.value) else None
    return Verdict.RIGHT if rule.right(given, truth) else Verdict.WRONG
