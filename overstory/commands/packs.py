"""What an estimate says about packs: one row for each, and a sentence about a smaller one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.text import Text

from core.account.estimate import Estimate
from overstory.output.plural import pluralize
from overstory.output.progress import duration
from overstory.output.tables import table

BINDS = {
    "concurrency": "calls in flight",
    "rpm": "requests a minute",
    "tpm": "tokens a minute",
    "prepare": "preparing images (CPU)",
    "upload": "uploads",
}
SAME_TIME = 0.05
"""Times that differ by less are called the same: an estimate is not more exact."""
SAME_COST = 0.005


@dataclass(frozen=True, slots=True)
class Packed:
    """The estimate of a job whose requests show at most ``pack`` images. ``chosen``: it is the job
    as its options describe it."""

    pack: int
    forecast: Estimate
    chosen: bool


def values(packs: Sequence[Packed]) -> list[dict[str, Any]]:
    """The rows as JSON values."""
    return [
        {
            "pack": packed.pack,
            "requests": packed.forecast.requests,
            "prompt_tokens": packed.forecast.prompt_tokens,
            "completion_tokens": packed.forecast.completion_tokens,
            "cost": round(packed.forecast.cost, 6),
            "seconds": round(packed.forecast.seconds, 1),
            "binds": packed.forecast.binds,
        }
        for packed in packs
    ]


def print_packs(console: Console, packs: Sequence[Packed]) -> None:
    """The rows as a table, the chosen one in bold, and the sentence below it."""
    if len(packs) < 2:
        return
    drawn = table("=pack", "=requests", "=prompt", "=written", "=cost", "=time", "held by", "")
    for packed in packs:
        forecast = packed.forecast
        cells = (
            f"{packed.pack:,}",
            f"{forecast.requests:,}",
            f"{forecast.prompt_tokens:,}",
            f"{forecast.completion_tokens:,}",
            f"{forecast.cost:.4f}" if forecast.cost else "-",
            duration(forecast.seconds),
            BINDS[forecast.binds],
            "this job" if packed.chosen else "",
        )
        drawn.add_row(*map(Text, cells), style="bold" if packed.chosen else "")
    console.print()
    console.print(drawn)
    console.print(Text(sentence(packs), "dim"), soft_wrap=True)


def sentence(packs: Sequence[Packed]) -> str:
    """What the next smaller pack than the chosen one would take, or if there is none, the next
    larger one. ``packs``: two or more, the largest first."""
    chosen = next(n for n, packed in enumerate(packs) if packed.chosen)
    other = packs[chosen + 1] if chosen + 1 < len(packs) else packs[chosen - 1]
    here, there = packs[chosen].forecast, other.forecast
    taken = f"take {_time(here.seconds, there.seconds)} and {_cost(here, there)}"
    return f"{pluralize(other.pack, 'image')} a request at most would {taken}: --pack {other.pack}"


def _time(here: float, there: float) -> str:
    shown = duration(there)
    if abs(there - here) <= SAME_TIME * here or shown == duration(here):
        return "the same time"
    return f"{shown} instead of {duration(here)}"


def _cost(here: Estimate, there: Estimate) -> str:
    """Money, or tokens where no price is known."""
    before, after = here.cost, there.cost
    what = ""
    if not before:
        before = here.prompt_tokens + here.completion_tokens
        after = there.prompt_tokens + there.completion_tokens
        what = " tokens"
    if abs(after - before) <= SAME_COST * before:
        return "as many tokens" if what else "cost the same"
    share = abs(after / before - 1)
    direction = "more" if after > before else "fewer" if what else "less"
    amount = f"{share:.0%}".replace("%", " %")
    return f"{amount} {direction}{what}" if what else f"cost {amount} {direction}"
