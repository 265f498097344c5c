"""Prompt tokens of an image for a model at an endpoint: the one place that chooses the rule."""

from __future__ import annotations

import math
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


DENSEST_PATCH = 16
"""Pixels on a side of the smallest patch that takes a token with a known model (Pixtral)."""
MOST_OF_SMALL = 3_400
"""The most tokens of a small image: InternVL cuts one of 4:3 into 12 crops of 256 tokens, whatever
its size, and adds a view of the whole. gpt-4o-mini alone takes more; it is known by its name."""
MARGIN = 1.1
"""Of the bound above a published formula: servers resize in ways of their own."""


class ImageTokens(Protocol):
    """``source`` goes on after "tokens of an image": by whose formula, or measured from what."""

    @property
    def source(self) -> str: ...

    def __hash__(self) -> int: ...

    def of(self, width: int, height: int, detail: Detail) -> int:
        """Prompt tokens of an image that is sent with width x height pixels."""

    def most(self, detail: Detail) -> int:
        """The most that one image takes as it is sent at ``detail``, of a usual shape."""

    def bound(self, width: int, height: int, detail: Detail) -> int:
        """More than an image of this size takes, also where ``of`` is wrong: for budgets."""

    def text(self, ascii_bytes: int, other_bytes: int) -> float | None:
        """Prompt tokens of a request's text of so many bytes in ASCII and in other characters;
        None if that is not measured."""


class Measured(ImageTokens, Protocol):
    """Tokens as the replies of an endpoint reported them."""

    @property
    def calls(self) -> int: ...

    @property
    def within_percent(self) -> int | None:
        """The error of a call's prompt tokens, in percent; None with few calls."""

    def knows(self, detail: Detail) -> bool:
        """Whether calls have shown images at ``detail``."""

    def contradiction(self, counted: ImageTokens) -> float | None:
        """What images take, in what ``counted`` says, if enough calls show that it is wrong."""


@dataclass(frozen=True, slots=True)
class ByFormula:
    """Tokens by a published formula, of images sent in ``sizes``. ``measured``: what replies have
    shown, as far as it does not contradict the formula."""

    formula: Formula
    sizes: SentSizes
    source: str
    measured: Measured | None = None

    def of(self, width: int, height: int, detail: Detail) -> int:
        return self.formula.tokens(width, height, detail)

    def most(self, detail: Detail) -> int:
        return _most(self.formula, self.sizes, detail)

    def bound(self, width: int, height: int, detail: Detail) -> int:
        tokens = self.of(width, height, detail)
        if self.formula == STEPFUN:
            return tokens
        if self.measured is not None and self.measured.knows(detail):
            tokens = max(tokens, self.measured.of(width, height, detail))
        return math.ceil(MARGIN * tokens)

    def text(self, ascii_bytes: int, other_bytes: int) -> float | None:
        return self.measured.text(ascii_bytes, other_bytes) if self.measured else None


@dataclass(frozen=True, slots=True)
class Guess(ByFormula):
    """Of a model of which nothing is known."""

    def bound(self, width: int, height: int, detail: Detail) -> int:
        return bound_of_unknown(width, height)


@lru_cache(maxsize=64)
def _most(formula: Formula, sizes: SentSizes, detail: Detail) -> int:
    shapes = [(LARGE_SIDE, round(LARGE_SIDE / aspect)) for aspect in ASPECTS]
    sent = [sizes.of(*size, detail) for shape in shapes for size in (shape, shape[::-1])]
    return max(formula.tokens(*size, detail) for size in sent)


def bound_of_unknown(width: int, height: int) -> int:
    """The most prompt tokens of an image with a model of which nothing is known: those of the
    densest models, of which one has a token more for each row of patches."""
    columns, rows = math.ceil(width / DENSEST_PATCH), math.ceil(height / DENSEST_PATCH)
    return max(MOST_OF_SMALL, (columns + 1) * rows)


GUESS = Guess(STEPFUN, STEPFUN_SIZES, "by StepFun's formula, a guess: this model's is not known")


def most_fetched(tokens: ImageTokens, detail: Detail) -> int:
    """About the most that one image takes which the provider fetches itself, in its own size."""
    return max(tokens.most(detail), tokens.of(FETCHED_SIDE, FETCHED_SIDE, detail))


def image_tokens_of(facts: ModelFacts, fitted: Measured | None = None) -> ImageTokens:
    """How images are counted for a model: by its formula, unless its own replies contradict it;
    else by ``fitted``, which is measured from them, else by StepFun's formula as a guess."""
    if facts.entry is not None:
        as_of = facts.as_of("tokens")
        source = f"by {facts.entry.owner}'s formula" + (f", as of {as_of}" if as_of else "")
        known = ByFormula(facts.entry.formula, facts.sizes, source, fitted)
        if fitted is None or fitted.contradiction(known) is None:
            return known
    if fitted is not None:
        return fitted
    return GUESS
