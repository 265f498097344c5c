"""One family at one detail: the estimate and the budget, held against the stand-in's bill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.families.standin import Family, served

DETAILS = ("low", "high")
CLOSE = 0.05
ASK = "Which colours are there, and which picture stands out?"
PAUSED = 3
PACK = 24
"""Images a request, so that half of a budget is enough for some of the requests."""
COLUMNS = (
    *("family", "model", "detail", "requests", "estimated", "billed", "off"),
    *("half the budget", "spent", "the budget", "spent", "refused"),
)
HEAD = f"| {' | '.join(COLUMNS)} |\n|{'---|' * 3}{'---:|' * (len(COLUMNS) - 3)}"


@dataclass(frozen=True, slots=True)
class Trial:
    """``budgets`` and ``spent``: of the run that its budget pauses, and of the whole job."""

    family: Family
    detail: str
    requests: int
    estimated: int
    billed: int
    budgets: tuple[float, float]
    spent: tuple[float, float]
    statuses: tuple[int, int]
    refused: tuple[str, ...]

    @property
    def off(self) -> float:
        """By what share of the bill the estimate of prompt tokens is off."""
        return self.estimated / self.billed - 1

    @property
    def row(self) -> str:
        half, all_ = self.budgets
        paused, whole = self.spent
        cells = [
            *(self.family.name, self.family.model, self.detail, f"{self.requests}"),
            *(f"{self.estimated:,}", f"{self.billed:,}", f"{self.off:+.1%}"),
            *(f"{half:.4f}", f"{paused:.4f}", f"{all_:.4f}", f"{whole:.4f}"),
            str(len(self.refused)),
        ]
        return f"| {' | '.join(cells)} |"

    @property
    def problems(self) -> list[str]:
        """What is not as promised, a sentence each."""
        where = f"{self.family.name} at {self.detail} detail"
        found = []
        if abs(self.off) > CLOSE:
            found.append(f"{where}: the estimate is {self.off:+.1%} off")
        for budget, spent in zip(self.budgets, self.spent, strict=True):
            if spent > budget:
                found.append(f"{where}: {spent:.6f} was billed with a budget of {budget:.6f}")
        if self.statuses != (PAUSED, 0):
            found.append(f"{where}: the runs ended with {self.statuses}")
        found += [f"{where}: refused: {text}" for text in self.refused]
        return found


def tried(family: Family, detail: str, photos: Path, folder: Path, pack: int = PACK) -> Trial:
    """Estimate and run the real command against a stand-in for ``family``, in a state folder of its
    own in ``folder``."""
    home = folder / f"{family.name}-{detail}"
    with served(family) as (url, account):
        settings = _settings(family, url, home)
        words = (str(photos), "--ask", ASK, "--detail", detail, "--pack", str(pack), "--json")
        guess = json.loads(_said(settings, "estimate", *words)[1])
        budgets = (guess["budget_enough"] / 2, guess["budget_enough"])
        statuses, spent = [], []
        for budget in budgets:
            limited = (*words, "--quiet", "--budget", f"{budget:.8f}")
            statuses.append(_said(settings, "run", *limited)[0])
            spent.append(account.cost(family))
        return Trial(
            family=family,
            detail=detail,
            requests=guess["requests"],
            estimated=guess["prompt_tokens"],
            billed=account.prompt,
            budgets=budgets,
            spent=(spent[0], spent[1]),
            statuses=(statuses[0], statuses[1]),
            refused=tuple(account.refused),
        )


def _settings(family: Family, url: str, home: Path) -> dict[str, str]:
    """The owner's host is reached through the stand-in as a proxy; one's own server directly."""
    read, written = family.price
    prices = {family.model: {"prompt": read, "completion": written}}
    known = {"as_of": "2026-11-29", "currency": "USD", "models": prices}
    return {
        "HTTP_PROXY": url if family.host else "",
        "OVERSTORY_BASE_URL": f"http://{family.host}/v1" if family.host else f"{url}/v1",
        "OVERSTORY_API_KEY": "stand-in",
        "OVERSTORY_PROVIDER": "openai",
        "OVERSTORY_MODEL": family.model,
        "OVERSTORY_PRICES": json.dumps(known),
        "OVERSTORY_HOME": str(home),
        "OVERSTORY_REASONING_TOKENS": "0",  # else the first call may need all of a small budget
        "OVERSTORY_RPM": "1000",
        "OVERSTORY_TPM": "50000000",
    }


def _said(settings: Mapping[str, str], *words: str) -> tuple[int, str]:
    """Exit status and stdout of the command."""
    others = {k: v for k, v in os.environ.items() if not k.upper().endswith("_PROXY")}
    done = subprocess.run(
        [str(Path(sys.executable).with_name("overstory")), *words],
        env=others | settings,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode not in (0, PAUSED):
        raise RuntimeError(f"overstory {words[0]} ended with {done.returncode}: {done.stderr}")
    return done.returncode, done.stdout
