"""How an endpoint counts the tokens of images and text, found from the calls that it answered.

The prompt tokens that a reply reports are the sum of a call's template, its text and its images:

    template + rate * bytes of text + for each image: its tokens

Text has one rate for ASCII and one for other characters. The tokens of an image are those of a
published formula, if one explains the calls: most servers have a known model under a name of their
own. Otherwise they are a line, ``fixed + slope * min(pixels, cap)``: one for each detail, or one
for both where the server takes no notice of it. A fixed number is a slope of 0, and patches are a
line until their cap. Where tiles and crops make steps, the sizes that most calls showed have
numbers of their own (core/account/image_rules.py).

The error is that of calls which a fit has not seen: each fifth of the calls is predicted by a fit
of the others. So many of the next calls will be within it (conformal prediction by
cross-validation; Barber et al., "Predictive inference with the jackknife+", 2021).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import median

from core.account.image_rules import (
    GOOD_ERROR,
    NEAR,
    SIZES_FOR_FORMULA,
    TEXT,
    ImageRule,
    NamedFormula,
    PaidPrompt,
    average_error,
    explained,
    misfit_of,
    rows_of,
)
from core.account.least_squares import Prior, Row, fitted, predicted
from core.catalog.formulas import STEPFUN_SIZES
from core.catalog.image_tokens import GUESS, ImageTokens, bound_of_unknown
from core.catalog.tokens import Detail
from core.requests.prompt_parts import PromptParts

CALLS_MOST = 120
"""The newest calls tell how the endpoint counts now."""
CALLS_FOR_ERROR = 10
"""With fewer calls, those left out of a fit say little about its error."""
FOLDS = 5
QUANTILE = 0.9
"""Share of the next calls that are within the error."""
CALLS_TO_CONTRADICT, CONTRADICTED = 20, 0.15
"""So many calls whose images take so much more or less than a published formula says show that it
does not hold at this endpoint. The fit must be twice as near."""
TEXT_MOST = 200
"""Tokens of a template and of what a server adds, at most. Text takes one for two bytes at most."""
BOUND_MARGIN = 1.1
"""The least room of the bound above the fit."""
TRUSTED_ERROR = 0.15
"""With a larger error the bound of an unknown model holds, too."""
CALLS_TRUSTED, FEW_MARGIN = 5, 2.0
"""So many calls with images of some sizes, as a probe makes them, give a bound before their error
can be told."""
LARGE_SHAPES = [(round(20_000 * aspect), 20_000) for aspect in (0.25, 0.5, 0.75, 1, 4 / 3, 2, 4)]
"""Pictures that no model sees whole. Unknown models are sent the sizes of StepFun's."""
DETAILS: tuple[Detail, ...] = ("low", "high")
GUESS_RULE = ImageRule(formula=NamedFormula("a guess", GUESS.of))
TEXTS = len(TEXT)


@dataclass(frozen=True, slots=True, eq=False)
class TokenFit:
    """How an endpoint counts, found from the calls ``paid``. ``largest``: pixels of the largest
    image at each detail. ``error``: relative, of a call's prompt tokens, for QUANTILE of the calls;
    None with fewer than CALLS_FOR_ERROR. ``misfit``: on average, of the calls of the fit.
    ``highest``: the most that the images of a call took, in what the fit says."""

    template: float
    ascii_rate: float
    other_rate: float
    rule: ImageRule
    paid: Sequence[PaidPrompt]
    largest: dict[Detail, int]
    error: float | None
    misfit: float
    highest: float

    @property
    def calls(self) -> int:
        return len(self.paid)

    def knows(self, detail: Detail) -> bool:
        """Whether it tells the tokens of images at ``detail``."""
        return self.rule.knows(detail)

    def image(self, width: int, height: int, detail: Detail) -> float:
        """Prompt tokens of one image; a guess at a detail that it does not know.

        A line goes on beyond the sizes that were seen as far as an unknown model may take. If all
        were of one size, nothing tells how tokens grow: a guess does.
        """
        if not self.knows(detail):
            return GUESS_RULE.tokens(width, height, detail)
        tokens = self.rule.tokens(width, height, detail)
        line, seen = self.rule.lines.get(detail), self.largest.get(detail, 0)
        if line is None or width * height <= NEAR * seen:
            return tokens
        at_most = max(line.tokens(seen), bound_of_unknown(width, height))
        return min(
            max(tokens, GUESS.of(width, height, detail)) if line.one_size else tokens, at_most
        )

    def text(self, ascii_bytes: int, other_bytes: int) -> float:
        """Prompt tokens of a request's text, with its template."""
        rates = self.ascii_rate * ascii_bytes + self.other_rate * other_bytes
        return self.template + rates

    def prompt(self, parts: PromptParts) -> float:
        """Prompt tokens of a call."""
        images = sum(
            count * self.image(*size, parts.detail) for size, count in parts.sizes if parts.detail
        )
        return self.text(parts.ascii, parts.other) + images

    def contradiction(self, counted: ImageTokens) -> float | None:
        """What images take, in what ``counted`` says, if enough calls show that it is wrong."""
        return _contradiction(self, counted)

    def of(self, width: int, height: int, detail: Detail) -> int:
        """The same in whole tokens."""
        return round(self.image(width, height, detail))

    def most(self, detail: Detail) -> int:
        """The most that one image takes as it is sent at ``detail``, of a usual shape."""
        return max(self.of(*STEPFUN_SIZES.of(*shape, detail), detail) for shape in LARGE_SHAPES)

    def bound(self, width: int, height: int, detail: Detail) -> int:
        """More prompt tokens than an image takes, also where the fit is wrong: what a budget holds
        for it. Where the fit is no good one, and for sizes far beyond those that were seen, it is
        at least the bound of an unknown model."""
        if not self.knows(detail):
            return bound_of_unknown(width, height)
        margin = max(self._margin, BOUND_MARGIN * self.highest)
        most = math.ceil(margin * self.image(width, height, detail))
        is_near = width * height <= NEAR * self.largest.get(detail, 0)
        is_on_line = not self.rule.apart or ((width, height), detail) in self.rule.apart
        if is_near and is_on_line and self._is_trusted:
            return most
        return max(most, bound_of_unknown(width, height))

    @property
    def _margin(self) -> float:
        return FEW_MARGIN if self.error is None else max(BOUND_MARGIN, 1.0 + 2.0 * self.error)

    @property
    def _is_trusted(self) -> bool:
        if self.error is not None:
            return self.error <= TRUSTED_ERROR
        sizes = {size for call in self.paid for size, _ in call.parts.sizes}
        has_enough = self.calls >= CALLS_TRUSTED and len(sizes) >= SIZES_FOR_FORMULA
        return has_enough and self.misfit <= GOOD_ERROR

    @property
    def within_percent(self) -> int | None:
        """``error`` in whole percent, rounded up."""
        return None if self.error is None else max(1, math.ceil(100 * self.error))

    @property
    def source(self) -> str:
        """``as measured from 40 calls, within 3 %``."""
        calls = "1 call" if self.calls == 1 else f"{self.calls:,} calls"
        within = "" if self.error is None else f", within {self.within_percent} %"
        as_known = f", like {self.rule.formula.name}" if self.rule.formula else ""
        return f"as measured from {calls}{within}{as_known}"


@lru_cache(maxsize=8)  # a fit that was replaced stays here with its calls: 1.3 MB
def _contradiction(fit: TokenFit, counted: ImageTokens) -> float | None:
    """Calls alike do not tell images from text. So only calls count whose images take more than
    their text can, and images take too much only if they do with the most that text can take."""
    if fit.error is None or fit.error > CONTRADICTED / 2:
        return None
    least, most = [], []
    for parts, tokens in ((call.parts, call.tokens) for call in fit.paid):
        if parts.detail is not None:
            images = sum(n * counted.of(*size, parts.detail) for size, n in parts.sizes)
            text = TEXT_MOST + (parts.ascii + parts.other) // 2
            if tokens > 2 * text:
                least.append((tokens - text) / max(images, 1))
                most.append(tokens / max(images, 1))
    if len(least) < CALLS_TO_CONTRADICT:
        return None
    if median(least) > 1.0 + CONTRADICTED:
        return median(least)
    return median(most) if median(most) < 1.0 - CONTRADICTED else None


def token_fit(calls: Sequence[PaidPrompt], known: Sequence[NamedFormula] = ()) -> TokenFit | None:
    """How an endpoint counts, by its newest ``calls``; None if none of them shows an image.

    ``known``: formulas that may explain the calls. A reply that reports far less or more than the
    others, as some servers do for what their cache had, changes nothing but ``highest``.
    """
    calls = [call for call in calls if call.tokens > 0][:CALLS_MOST]
    largest: dict[Detail, int] = {}
    for parts in (call.parts for call in calls):
        if parts.detail:
            areas = [width * height for (width, height), _ in parts.sizes]
            largest[parts.detail] = max(largest.get(parts.detail, 0), *areas)
    if not largest:
        return None
    how = explained(calls, known)
    rows, is_pooled = rows_of(calls, how), False
    if len(largest) > 1:
        alike = [_at_low(call) for call in calls]
        pooled = explained(alike, known)
        if misfit_of(alike, pooled) <= max(GOOD_ERROR / 2, misfit_of(calls, how)):
            how, rows, is_pooled = pooled, rows_of(alike, pooled), True
    template, ascii_rate, other_rate, *of_images = solution = fitted(rows, how.priors)
    rule = how.rule_of(of_images)
    return TokenFit(
        template,
        ascii_rate,
        other_rate,
        _for_both(rule) if is_pooled else rule,
        calls,
        largest,
        _error_of_unseen(rows, how.priors) if len(calls) >= CALLS_FOR_ERROR else None,
        average_error(rows, solution),
        max(_share(row, solution) for row in rows),
    )


def _share(row: Row, solution: Sequence[float]) -> float:
    """What the images of a call took, in what a solution says of them; 0 for a call without."""
    values, observed = row
    text, images = (
        predicted(values[:TEXTS], solution[:TEXTS]),
        predicted(values[TEXTS:], solution[TEXTS:]),
    )
    return (observed - text) / images if images else 0.0


def _at_low(call: PaidPrompt) -> PaidPrompt:
    """A call for a server that takes no notice of detail."""
    detail: Detail | None = "low" if call.parts.detail else None
    return replace(call, parts=replace(call.parts, detail=detail))


def _for_both(rule: ImageRule) -> ImageRule:
    """A rule for images at low detail, for those at high detail too."""
    line = rule.lines.get("low")
    apart = {(size, detail): n for (size, _), n in rule.apart.items() for detail in DETAILS}
    return replace(rule, lines=dict.fromkeys(DETAILS, line) if line else {}, apart=apart)


def _error_of_unseen(rows: Sequence[Row], priors: Sequence[Prior]) -> float:
    """The error, in tokens that were reported, that QUANTILE of the calls keep to, where a fit
    without them predicts them."""
    errors: list[float] = []
    for fold in range(FOLDS):
        solution = fitted([row for i, row in enumerate(rows) if i % FOLDS != fold], priors)
        errors += [
            abs(predicted(values, solution) / observed - 1.0)
            for values, observed in rows[fold::FOLDS]
        ]
    errors.sort()
    return errors[min(math.ceil(QUANTILE * (len(errors) + 1)), len(errors)) - 1]
