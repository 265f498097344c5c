"""Prompt tokens of an image for a model at an endpoint: the one place that chooses the rule."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from core.catalog.facts import ModelFacts
from core.catalog.formulas import STEPFUN, STEPFUN_SIZES, Formula, SentSizes
from core.catalog.tokens import Detail

LARGE_SIDE = 20_000
"""Pixels of a side that no model sees whole, so that a picture of it takes the most."""
FETCHED_SIDE = 4_096
"""Pixels of a side of a large picture on the web."""
ASPECTS = [1 + step / 20 for step in range(61)]
"""Shapes of usual pictures, up to 4:1."""


class ImageTokens(Protocol):
    """``source`` goes on after "tokens of an image": by whose formula, or measured from what."""

    @property
    def source(self) -> str: ...

    def of(self, width: int, height: int, detail: Detail) -> int:
        """Prompt tokens of an image that is sent with width x height pixels."""

    def most(self, detail: Detail) -> int:
        """The most that one image takes as it is sent at ``detail``, of a usual shape."""


@dataclass(frozen=True, slots=True)
class ByFormula:
    """Tokens by a published formula, of images sent in ``sizes``."""

    formula: Formula
    sizes: SentSizes
    source: str

    def of(self, width: int, height: int, detail: Detail) -> int:
        return self.formula.tokens(width, height, detail)

    def most(self, detail: Detail) -> int:
        return _most(self.formula, self.sizes, detail)


@lru_cache(maxsize=64)
def _most(formula: Formula, sizes: SentSizes, detail: Detail) -> int:
    shapes = [(LARGE_SIDE, round(LARGE_SIDE / aspect)) for aspect in ASPECTS]
    sent = [sizes.of(*size, detail) for shape in shapes for size in (shape, shape[::-1])]
    return max(formula.tokens(*size, detail) for size in sent)


GUESS = ByFormula(
    STEPFUN, STEPFUN_SIZES, "by StepFun's formula, a guess: this model's is not known"
)


def most_fetched(tokens: ImageTokens, detail: Detail) -> int:
    """About the most that one image takes which the provider fetches itself, in its own size."""
    return max(tokens.most(detail), tokens.of(FETCHED_SIDE, FETCHED_SIDE, detail))


def image_tokens_of(facts: ModelFacts, fitted: ImageTokens | None = None) -> ImageTokens:
    """How images are counted for a model: by its formula, else by ``fitted`` (a rule measured from
    its own replies), else by StepFun's formula, which is a guess then."""
    if facts.entry is not None:
        source = f"by {facts.entry.owner}'s formula, as of {facts.as_of('tokens')}"
        return ByFormula(facts.entry.formula, facts.sizes, source)
    if fitted is not None:
        return fitted
    return GUESS
