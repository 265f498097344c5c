"""An estimate in a few lines for an agent, from the object of ``overstory estimate --json``."""

from __future__ import annotations

from typing import Any

from core.account.budget import plain
from overstory.api.mcp.quoting import Quoted, joined, line
from overstory.output.plural import pluralize
from overstory.output.progress import duration

UNUSABLE_SHOWN = 5


def estimate_text(value: dict[str, Any]) -> str:
    """Images, requests, cost, a budget that would do, and time."""
    requests = pluralize(value["requests"], "request")
    lines = [
        f"{pluralize(value['images'], 'image')}: {value['usable']:,} usable",
        f"{requests} to {line(value['model'], 100)} at {value['detail']} detail",
        _cost(value),
        f"time: about {duration(value['seconds'])}",
    ]
    if value["duplicate"]:
        lines[0] += f", {value['duplicate']:,} duplicate"
    if value["ignored"]:
        lines.append(f"{value['ignored']:,} files are left out: they are not images")
    unusable = value["unusable"]
    quoted = Quoted()
    if unusable:
        shown = unusable[:UNUSABLE_SHOWN]
        quoted.lines = [f"{line(row['name'], 120)}: {line(row['error'])}" for row in shown]
        lines.append(f"{pluralize(len(unusable), 'image')} would fail, such as these:")
    return joined("\n".join(lines), quoted.text())


def _cost(value: dict[str, Any]) -> str:
    if value["prices_source"] is None:
        return "cost: not known, because the model has no known price"
    charged = " (sandbox: not charged)" if value["sandbox"] else ""
    currency = value["currency"]
    return (
        f"cost: about {value['cost']:.4f} {currency}, at most {value['cost_most']:.4f}{charged};"
        f" budget={plain(value['budget_enough'])} should not pause the job"
    )
