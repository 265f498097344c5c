"""What may explain the tokens of the images of calls: lines, published formulas, single sizes.

Each explanation says what its unknowns multiply in a call (``values``), what is expected of them
(``priors``) and which rule their solution is (``rule_of``).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from core.account.least_squares import Prior, Row, error_of, fitted
from core.catalog.tokens import Detail
from core.requests.prompt_parts import PromptParts, Size

CAPS = 6
"""Sizes that are tried first as the one above which the tokens grow no more."""
CAP_GAIN = 0.8
"""A cap must lower the error to this share; otherwise the line goes on."""
SIZES_FOR_FORMULA = 3
"""Images of fewer sizes agree with a formula by chance."""
CALLS_TRIED, FORMULAS_TRIED = 20, 4
"""Calls with the fewest sizes, on which all formulas are tried; and formulas tried on all calls."""
GOOD_ERROR = 0.02
"""The average error of a good explanation."""
EXACT_ERROR = 0.005
"""That of one that counts as the endpoint does. A line through a few calls may have less."""
APART_MOST, APART_CALLS = 12, 3
"""Sizes that may have a number of their own, and the calls that must have shown each."""
APART_GAIN = 0.5
"""They must lower the error to this share."""
FAR_OFF = 0.1
"""A call that is farther off counts no more than this in an average error."""
TEMPLATE = Prior(12.0, 20.0)
ASCII_RATE = Prior(0.24, 0.06)
"""Tokens a byte: 4 bytes a token are usual in English, 3.3 in German, 3 in code and JSON."""
OTHER_RATE = Prior(0.33, 0.12)
"""A character of Chinese has 3 bytes, and is a token or less."""
TEXT = (TEMPLATE, ASCII_RATE, OTHER_RATE)
IMAGE_TOKENS = Prior(0.0, 1_000.0)
"""Of the fixed part of an image, of what its pixels add at the mean size, and of a single size."""
AS_GIVEN = Prior(1.0, 1e-4)
"""The tokens of the images are taken as a rule says."""
NEAR = 1.25
"""Sizes are the same within this factor of their pixels."""

Shown = tuple[Size, Detail]


@dataclass(frozen=True, slots=True)
class PaidPrompt:
    """What a paid call's prompt held, and the prompt tokens that its reply reported."""

    parts: PromptParts
    tokens: int


@dataclass(frozen=True, slots=True)
class NamedFormula:
    """A published way to count: the prompt tokens of an image by its width, height and detail.
    ``name``: whose it is, for people."""

    name: str
    tokens: Callable[[int, int, Detail], float]


@dataclass(frozen=True, slots=True)
class Line:
    """Tokens of an image of so many pixels: ``fixed + slope * min(pixels, cap)``. ``one_size``: all
    images that were seen had about the pixels of the cap, so nothing tells how tokens grow."""

    fixed: float
    slope: float
    cap: float
    one_size: bool = False

    def tokens(self, pixels: float) -> float:
        return self.fixed + self.slope * min(pixels, self.cap)


@dataclass(frozen=True, slots=True)
class ImageRule:
    """The tokens of an image: of its size, if it is ``apart``; else by the ``formula``, or by the
    line of its detail."""

    lines: Mapping[Detail, Line] = field(default_factory=dict)
    formula: NamedFormula | None = None
    apart: Mapping[Shown, float] = field(default_factory=dict)

    def knows(self, detail: Detail) -> bool:
        return self.formula is not None or detail in self.lines

    def tokens(self, width: int, height: int, detail: Detail) -> float:
        """Raises KeyError for a detail that it does not know."""
        if ((width, height), detail) in self.apart:
            return self.apart[(width, height), detail]
        if self.formula is not None:
            return self.formula.tokens(width, height, detail)
        return self.lines[detail].tokens(width * height)


@dataclass(frozen=True, slots=True)
class Lines:
    """Unknown: a line for each detail in ``caps``. ``means``: the pixels of an image on average.
    Pixels are counted in images of that size, so that both unknowns are tokens of an image.
    ``one_size``: details of which all images had about the same pixels."""

    means: Mapping[Detail, float]
    caps: Mapping[Detail, float]
    one_size: frozenset[Detail] = frozenset()

    @property
    def priors(self) -> list[Prior]:
        return [*TEXT, *[IMAGE_TOKENS] * (2 * len(self.caps))]

    def values(self, parts: PromptParts) -> list[float]:
        images: list[float] = []
        for detail, cap in self.caps.items():
            sizes = parts.sizes if parts.detail == detail else ()
            pixels = sum(count * min(width * height, cap) for (width, height), count in sizes)
            images += [float(sum(count for _, count in sizes)), pixels / self._usual(detail)]
        return images

    def rule_of(self, solution: Sequence[float]) -> ImageRule:
        pairs = zip(self.caps.items(), solution[::2], solution[1::2], strict=True)
        return ImageRule(
            {
                detail: Line(fixed, at_mean / self._usual(detail), cap, detail in self.one_size)
                for (detail, cap), fixed, at_mean in pairs
            }
        )

    def _usual(self, detail: Detail) -> float:
        return min(self.means[detail], self.caps[detail])


@dataclass(frozen=True, slots=True)
class Given:
    """Unknown: the tokens of the sizes ``apart``. All others take what ``rule`` says."""

    rule: ImageRule
    apart: tuple[Shown, ...] = ()

    @property
    def priors(self) -> list[Prior]:
        return [*TEXT, AS_GIVEN, *[IMAGE_TOKENS] * len(self.apart)]

    def values(self, parts: PromptParts) -> list[float]:
        counts = {(size, parts.detail): count for size, count in parts.sizes}
        apart = [float(counts.pop(shown, 0)) for shown in self.apart]
        others = sum(
            count * self.rule.tokens(*size, detail)
            for (size, detail), count in counts.items()
            if detail
        )
        return [others, *apart]

    def rule_of(self, solution: Sequence[float]) -> ImageRule:
        return replace(self.rule, apart=dict(zip(self.apart, solution[1:], strict=True)))


Explanation = Lines | Given


def rows_of(calls: Sequence[PaidPrompt], how: Explanation) -> list[Row]:
    return [
        (
            (1.0, float(parts.ascii), float(parts.other), *how.values(parts)),
            float(call.tokens),
        )
        for call in calls
        for parts in [call.parts]
    ]


def explained(calls: Sequence[PaidPrompt], known: Sequence[NamedFormula] = ()) -> Explanation:
    """What explains the images of ``calls`` best. ``known``: formulas that may."""
    best: Explanation
    best = lines = _lines(calls)
    misfit = misfit_of(calls, lines)
    likeliest = _likeliest(calls, known)
    if likeliest is not None and misfit_of(calls, likeliest) <= max(misfit, EXACT_ERROR):
        best, misfit = likeliest, misfit_of(calls, likeliest)
    if misfit > GOOD_ERROR / 2:
        solution = fitted(rows_of(calls, lines), lines.priors)
        apart = Given(lines.rule_of(solution[len(TEXT) :]), _often_shown(calls))
        if misfit_of(calls, apart) <= APART_GAIN * misfit:
            return apart
    return best


def misfit_of(calls: Sequence[PaidPrompt], how: Explanation) -> float:
    """The average relative error of a fit."""
    rows = rows_of(calls, how)
    return average_error(rows, fitted(rows, how.priors))


def average_error(rows: Sequence[Row], solution: Sequence[float]) -> float:
    return sum(min(error_of(row, solution), FAR_OFF) for row in rows) / len(rows)


def _lines(calls: Sequence[PaidPrompt]) -> Lines:
    sizes: dict[Detail, Counter[int]] = {}
    for parts in (call.parts for call in calls):
        if parts.detail:
            of = sizes.setdefault(parts.detail, Counter())
            of.update({width * height: count for (width, height), count in parts.sizes})
    means = {
        detail: sum(area * count for area, count in of.items()) / of.total()
        for detail, of in sizes.items()
    }
    alone = frozenset(detail for detail, of in sizes.items() if max(of) <= NEAR * min(of))
    caps = {detail: max(sizes[detail]) if detail in alone else math.inf for detail in sizes}
    lines = Lines(means, caps, alone)
    for detail, of in sizes.items():
        lines = _with_cap(calls, lines, detail, min(of), max(of))
    return lines


def _with_cap(
    calls: Sequence[PaidPrompt], lines: Lines, detail: Detail, low: float, high: float
) -> Lines:
    """``lines`` with the size above which the images at ``detail`` take no more tokens, if there is
    one: tried in equal factors from ``low`` to ``high``, then between the best ones."""
    if detail in lines.one_size:
        return lines
    step = (high / low) ** (1 / CAPS)
    best, least = lines, CAP_GAIN * misfit_of(calls, lines)
    for caps in ([low * step**place for place in range(CAPS)], [step**-0.5, step**0.5]):
        first = best.caps[detail] if best is not lines else 1.0
        for cap in caps:
            capped = replace(lines, caps={**lines.caps, detail: cap * first})
            if (misfit := misfit_of(calls, capped)) < least:
                best, least = capped, misfit
        if best is lines:
            return lines
    return best


def _likeliest(calls: Sequence[PaidPrompt], known: Sequence[NamedFormula]) -> Given | None:
    """The formula that explains the calls best, if it does so well enough. All are tried on a few
    calls, with usual text; the best ones on all calls."""
    showing = sorted((c for c in calls if c.parts.sizes), key=lambda call: len(call.parts.sizes))
    tried = showing[:CALLS_TRIED]
    if len({size for call in tried for size, _ in call.parts.sizes}) < SIZES_FOR_FORMULA:
        return None
    usual = [prior.mean for prior in (*TEXT, AS_GIVEN)]
    likely = sorted(
        (Given(ImageRule(formula=formula)) for formula in known),
        key=lambda given: average_error(rows_of(tried, given), usual),
    )
    misfits = [(misfit_of(calls, given), given) for given in likely[:FORMULAS_TRIED]]
    least, best = min(misfits, key=lambda pair: pair[0], default=(math.inf, None))
    return best if least <= GOOD_ERROR else None


def _often_shown(calls: Sequence[PaidPrompt]) -> tuple[Shown, ...]:
    """The sizes that most calls showed: at most one for each third call."""
    shown = Counter(
        (size, call.parts.detail)
        for call in calls
        if call.parts.detail
        for size, _ in call.parts.sizes
    )
    most = shown.most_common(min(APART_MOST, len(calls) // APART_CALLS))
    return tuple(size for size, count in most if count >= APART_CALLS)
