"""How an image becomes prompt tokens, by model: the formulas, and the sizes that follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_type_hints

from core.catalog.crops import Aspect, Canvas, Fixed, Pages, Tiles, Units
from core.catalog.patches import Bound, Ceil, Fill, Largest, Long, Navit, Round, Shrink
from core.catalog.scaling import Ratio, Size, scaled, within
from core.catalog.tokens import Detail, image_tokens

LONGEST_LOW = 728
"""Longer side of an image sent at low detail, to any model: its cost is then small everywhere. It
is the whole view of StepFun's models (fact sheet 3.4); a model that sees less gets less."""
LONGEST_STEPFUN = 3024
WINDOW = 504
"""Pixels of a side of StepFun's windows, by which it cuts large images (fact sheet 3.4)."""


@dataclass(frozen=True, slots=True)
class StepFun:
    """StepFun's whole view and windows (core/catalog/tokens.py). A large image is also reduced to
    whole windows, because the provider would resample the pixels in between away."""

    kind: Literal["stepfun"]

    def tokens(self, width: int, height: int, detail: str) -> int:
        return image_tokens(width, height, "low" if detail == "low" else "high")

    def ratio(self, width: int, height: int, detail: str) -> Ratio:
        longest = LONGEST_LOW if detail == "low" else self._longest(max(width, height))
        return within((width, height), (longest, longest))

    def _longest(self, longest: int) -> int:
        capped = min(longest, LONGEST_STEPFUN)
        return capped - capped % WINDOW if capped >= WINDOW else capped


Formula = (
    StepFun
    | Tiles
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
STEPFUN = StepFun("stepfun")
_KINDS = {get_args(get_type_hints(kind)["kind"])[0]: kind for kind in get_args(Formula)}
_BOUNDS = ("low", "high", "original")


def formula_of(table: Mapping[str, Any]) -> Formula:
    """The formula of a ``tokens`` table of models.toml. The table is taken to be right."""
    fields = {
        name: Bound(**value) if name in _BOUNDS and isinstance(value, Mapping) else value
        for name, value in table.items()
    }
    made: Formula = _KINDS[table["kind"]](**fields)
    return made


@dataclass(frozen=True, slots=True)
class SentSizes:
    """The sizes at which images are sent to a model: as large as it sees them. ``longest``: pixels
    of a side that the endpoint takes at most."""

    formula: Formula = STEPFUN
    longest: int | None = None

    def of(self, width: int, height: int, detail: Detail) -> Size:
        """The size at which an image of width x height pixels is sent. Never larger; each side at
        least 1; aspect ratio kept to half a pixel."""
        bounds = [LONGEST_LOW] if detail == "low" else []
        bounds += [self.longest] if self.longest else []
        size = (width, height)
        if bounds:
            size = scaled(size, within(size, (min(bounds), min(bounds))))
        return scaled(size, self.formula.ratio(*size, detail))


STEPFUN_SIZES = SentSizes()
