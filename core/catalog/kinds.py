"""All formulas but StepFun's, by their ``kind``. A run with StepFun's models starts without this
module: a worker's start is nearly all imports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args, get_type_hints

from core.catalog.crops import Aspect, Canvas, Fixed, Pages, Tiles, Units
from core.catalog.patches import Bound, Ceil, Fill, Largest, Long, Navit, Round, Shrink

Kind = (
    Tiles
    | Units
    | Aspect
    | Pages
    | Canvas
    | Fixed
    | Shrink
    | Largest
    | Round
    | Long
    | Navit
    | Ceil
    | Fill
)
_KINDS = {get_args(get_type_hints(kind)["kind"])[0]: kind for kind in get_args(Kind)}
_BOUNDS = ("low", "high", "original")


def made(table: Mapping[str, Any]) -> Kind:
    """The formula of a ``tokens`` table that is right."""
    fields = {
        name: Bound(**value) if name in _BOUNDS and isinstance(value, Mapping) else value
        for name, value in table.items()
    }
    formula: Kind = _KINDS[table["kind"]](**fields)
    return formula
