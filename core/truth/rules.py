"""When an answer counts as right: one rule for each field."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from core.errors import WrongUsage
from core.truth import readings
from core.truth.truth import Not, Truth, Value

NUMBER = "number"
SET = "set"
RULES = (
    "exact",
    "folded",
    "number",
    "number:0.01",
    "number:2%",
    "date",
    "date:mdy",
    "set",
    "yesno",
)
"""What ``--rule`` takes, with examples of tolerances."""
KINDS = {"integer": NUMBER, NUMBER: NUMBER, "boolean": "yesno", "array": SET, "date": "date"}
"""The rule for a JSON type, or for the format of a text; other text is compared folded."""


@dataclass(frozen=True, slots=True)
class Rule:
    """``kind`` is the name before the colon in RULES. ``tolerance``: the largest difference of a
    number that is right; ``relative``: as a share of the truth. ``month_first``: of dates."""

    kind: str
    tolerance: Decimal = Decimal(0)
    relative: bool = False
    month_first: bool = False

    def right(self, answer: Any, truth: Value) -> bool:
        """Whether ``answer`` is right. What cannot be read as its kind is compared folded."""
        if self.kind == "exact":
            return _exact(answer) == _exact(truth)
        read = self._read(answer), self._read(truth)
        if None in read:
            return readings.folded(answer) == readings.folded(truth)
        if self.kind == NUMBER:
            return bool(abs(read[0] - read[1]) <= self._margin(read[1]))
        return bool(read[0] == read[1])

    def figure(self, answer: Any, truth: Value) -> float | None:
        """Of numbers the absolute error; of sets the overlap, 0 to 1 (Jaccard's index: the shared
        members by all members; Jaccard 1912); else None."""
        if self.kind == NUMBER:
            given, wanted = readings.number(answer), readings.number(truth)
            return None if given is None or wanted is None else float(abs(given - wanted))
        if self.kind == SET:
            first, second = readings.members(answer), readings.members(truth)
            return len(first & second) / len(first | second) if first | second else 1.0
        return None

    @property
    def figure_name(self) -> str:
        """What ``figure`` gives: ``error`` of a number, ``overlap`` of a set."""
        return "error" if self.kind == NUMBER else "overlap"

    def _read(self, value: Any) -> Any:
        if self.kind == NUMBER:
            return readings.number(value)
        if self.kind == "date":
            return readings.day(value, self.month_first)
        if self.kind == "yesno":
            return readings.truth_of(value)
        return readings.members(value) if self.kind == SET else readings.folded(value)

    def _margin(self, truth: Decimal) -> Decimal:
        return abs(truth) * self.tolerance if self.relative else self.tolerance

    def __str__(self) -> str:
        """As ``--rule`` takes it."""
        if self.month_first:
            return f"{self.kind}:mdy"
        if not self.tolerance:
            return self.kind
        share = f"{(self.tolerance * 100).normalize():f}%"
        return f"{self.kind}:{share if self.relative else self.tolerance}"


def _exact(value: Any) -> str:
    """Text as it stands; 1 and 1.0 are one number, and "1" from a CSV file is that number too."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True) if isinstance(value, list) else readings.as_text(value)


def rules_of(
    given: Sequence[str], truth: Truth, kinds: Mapping[str, str] | None = None
) -> dict[str, Rule]:
    """A rule for each field of ``truth``: as ``given`` ("FIELD=RULE"), else by the JSON type in
    ``kinds``, else by the values. Raises WrongUsage for a field or a rule that does not exist."""
    chosen = dict(_given(text, truth.fields) for text in given)
    known = kinds or {}
    return {
        field: chosen.get(field) or _by_kind(known.get(field)) or _by_values(truth.values(field))
        for field in truth.fields
    }


def _given(text: str, fields: Sequence[str]) -> tuple[str, Rule]:
    field, equals, name = text.rpartition("=")
    if not equals:
        raise WrongUsage(f"--rule {text!r}: write FIELD=RULE, like {fields[0]}=folded")
    if field not in fields:
        near = get_close_matches(field, fields, 1)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        raise WrongUsage(
            f"--rule {text!r}: the truth has no field {field!r}.{meant}"
            f" Its fields: {', '.join(fields)}"
        )
    return field, rule_named(name, field)


def rule_named(name: str, field: str) -> Rule:
    """The rule that ``name`` means. Raises WrongUsage, which names ``field`` and the rules."""
    kind, _, detail = name.strip().partition(":")
    simple = {"exact", "folded", NUMBER, "date", SET, "yesno"}
    if kind in simple and not detail:
        return Rule(kind)
    if (kind, detail) in {("date", "mdy"), ("date", "dmy")}:
        return Rule(kind, month_first=detail == "mdy")
    tolerance = readings.number(detail.removesuffix("%"))
    if kind != NUMBER or tolerance is None or tolerance < 0:
        raise WrongUsage(f"--rule {field}={name}: there is no such rule. Rules: {', '.join(RULES)}")
    relative = detail.endswith("%")
    return Rule(kind, tolerance / 100 if relative else tolerance, relative)


def _by_kind(kind: str | None) -> Rule | None:
    return None if kind is None else Rule(KINDS.get(kind, "folded"))


def _by_values(values: Iterable[Value]) -> Rule:
    plain = [value.value if isinstance(value, Not) else value for value in values]
    if any(isinstance(value, list) for value in plain):
        return Rule(SET)
    if all(isinstance(value, bool) or value in ("true", "false") for value in plain):
        return Rule("yesno")
    return Rule(NUMBER if all(map(_is_number, plain)) else "folded")


def _is_number(value: Value) -> bool:
    """Text with a zero in front, like a postal code, is a name and no number."""
    lead = isinstance(value, str) and len(value) > 1 and value[0] == "0" and value[1].isdigit()
    return not lead and readings.number(value) is not None
