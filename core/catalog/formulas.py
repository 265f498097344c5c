"""How an image becomes prompt tokens, by model: the formulas, and the sizes that follow."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from core.catalog.scaling import Ratio, Size, scaled, within
from core.catalog.tokens import Detail, image_tokens

LONGEST_LOW = 728
"""Longer side of an image sent at low detail, to any model: its cost is then small everywhere. It
is the whole view of StepFun's models (fact sheet 3.4); a model that sees less gets less."""
LONGEST_STEPFUN = 3024
WINDOW = 504
"""Pixels of a side of StepFun's windows, by which it cuts large images (fact sheet 3.4)."""


class Formula(Hashable, Protocol):
    """A frozen dataclass of numbers; core/catalog/kinds.py names all others."""

    def tokens(self, width: int, height: int, detail: str) -> int:
        """Prompt tokens of an image of width x height pixels at ``detail``."""

    def ratio(self, width: int, height: int, detail: str) -> Ratio:
        """How far an image can be reduced without loss: the model would reduce it so far."""


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


STEPFUN = StepFun("stepfun")


def formula_of(table: Mapping[str, Any]) -> Formula:
    """The formula of a ``tokens`` table of models.toml. The table is taken to be right."""
    if table["kind"] == STEPFUN.kind:
        return STEPFUN
    from core.catalog import kinds

    return kinds.made(table)


@dataclass(frozen=True, slots=True)
class SentSizes:
    """The sizes at which images are sent to a model: as large as it sees them. ``longest``: pixels
    of a side that the endpoint takes at most."""

    formula: Formula = STEPFUN
    longest: int | None = None

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> SentSizes:
        """The sizes of which ``value`` is dataclasses.asdict."""
        return cls(formula_of(value["formula"]), value["longest"])

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
