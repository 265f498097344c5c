"""What answers with numbers and choices come to, counted in code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from core.answers.json_schema import IMAGE, Schema, kind_of, resolved

DEEPEST = 6


def fields(root: Schema) -> dict[tuple[str, ...], Schema]:
    """The single values an object of ``root`` has, by path; a list or a map is one value."""
    found: dict[tuple[str, ...], Schema] = {}
    _collect(root, root, (), found)
    return found


def _collect(
    root: Schema, schema: Any, path: tuple[str, ...], found: dict[tuple[str, ...], Schema]
) -> None:
    known = resolved(root, schema)[0] if isinstance(schema, dict) else {}
    inner = known.get("properties")
    if not inner or len(path) >= DEEPEST:
        found[path] = known
        return
    for name, each in inner.items():
        _collect(root, each, (*path, name), found)


def value_at(value: Any, path: tuple[str, ...]) -> Any:
    """What stands at ``path``; None where nothing does."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def totals(root: Schema, answers: Iterable[Any]) -> dict[str, Any]:
    """By property (``shop.total``): count, sum, min, max of numbers; counts of choices."""
    said = list(answers)
    found: dict[str, Any] = {}
    for path, schema in fields(root).items():
        values = [each for value in said if (each := value_at(value, path)) is not None]
        made = _total(schema, values)
        if made is not None:
            found[".".join(path)] = made
    return found


def _total(schema: Schema, values: list[Any]) -> dict[str, Any] | None:
    if "enum" in schema or kind_of(schema) == "boolean":
        choices = schema.get("enum", [False, True])
        return {"counts": {_name(each): _count(values, each) for each in choices}}
    if schema.get(IMAGE) or kind_of(schema) not in ("integer", "number"):
        return None
    if not values:
        return {"count": 0, "sum": 0, "min": None, "max": None}
    total = sum((Decimal(str(value)) for value in values), Decimal(0))
    whole = total == total.to_integral_value()
    return {
        "count": len(values),
        "sum": int(total) if whole else float(total),
        "min": min(values),
        "max": max(values),
    }


def _count(values: list[Any], choice: Any) -> int:
    return sum(value == choice and type(value) is type(choice) for value in values)


def _name(choice: Any) -> str:
    return str(choice).lower() if isinstance(choice, bool) else str(choice)
