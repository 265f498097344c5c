"""Values walked beside their schema: image positions filled in, strings put right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core.schema import Schema, is_image, resolved


def filled(root: Schema, schema: Any, value: Any, position: int) -> Any:
    """``value`` in the order of its schema, each ``x-image`` property being ``position``."""
    found = resolved(root, schema)[0] if isinstance(schema, dict) else {}
    if isinstance(value, dict):
        return _object(root, found, value, position)
    if isinstance(value, list):
        return [filled(root, found.get("items"), item, position) for item in value]
    return value


def _object(root: Schema, schema: Schema, value: dict[str, Any], position: int) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, each in schema.get("properties", {}).items():
        if is_image(each):
            made[name] = position
        elif name in value:
            made[name] = filled(root, each, value[name], position)
    for name, given in value.items():
        if name not in made:
            made[name] = filled(root, schema.get("additionalProperties"), given, position)
    return made


def strings(value: Any, change: Callable[[str], str]) -> Any:
    """``value`` with ``change`` applied to every string in it; keys stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [strings(item, change) for item in value]
    if isinstance(value, dict):
        return {name: strings(each, change) for name, each in value.items()}
    return value
