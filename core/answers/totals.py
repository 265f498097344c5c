"""Totals over answers, computed in code: sums of numbers, counts of choices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from core.answers.json_schema import Schema, is_image, kind_of, resolved
from core.answers.merge import canonical, exact_sum, json_number
from core.answers.schema_budget import Visits

DEEPEST = 6


def fields(root: Schema, visits: Visits | None = None) -> dict[tuple[str, ...], Schema]:
    """The single values in an object of ``root`` by path; a list or map is one value.

    Raises WrongUsage if they are too many.
    """
    return dict(_leaves(root, root, (), visits or Visits()))


def _leaves(
    root: Schema, schema: Any, path: tuple[str, ...], visits: Visits
) -> Iterator[tuple[tuple[str, ...], Schema]]:
    known = resolved(root, schema, visits)[0] if isinstance(schema, dict) else {}
    inner = known.get("properties")
    if not inner or len(path) >= DEEPEST:
        yield path, known
        return
    for name, part in inner.items():
        yield from _leaves(root, part, (*path, name), visits)


def value_at(value: Any, path: tuple[str, ...]) -> Any:
    """The value at ``path``, or None."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def totals(root: Schema, answers: Iterable[Any]) -> dict[str, Any]:
    """By property (``shop.total``): count, sum, min and max of numbers; counts of choices."""
    answers = list(answers)
    by_property: dict[str, Any] = {}
    for path, schema in fields(root).items():
        values = [value for answer in answers if (value := value_at(answer, path)) is not None]
        total = _total(schema, values)
        if total is not None:
            by_property[".".join(path)] = total
    return by_property


def _total(schema: Schema, values: list[Any]) -> dict[str, Any] | None:
    if "enum" in schema or kind_of(schema) == "boolean":
        counted = Counter(_key(value) for value in values)
        choices = schema.get("enum", [False, True])
        return {"counts": {_name(choice): counted[_key(choice)] for choice in choices}}
    if is_image(schema) or kind_of(schema) not in ("integer", "number"):
        return None
    if not values:
        return {"count": 0, "sum": 0, "min": None, "max": None}
    return {
        "count": len(values),
        "sum": json_number(exact_sum(values)),
        "min": min(values),
        "max": max(values),
    }


def _key(value: Any) -> tuple[type, str]:
    """Equal for equal values of one type: 1, 1.0 and true are counted apart."""
    return type(value), canonical(value)


def _name(choice: Any) -> str:
    return str(choice).lower() if isinstance(choice, bool) else str(choice)
