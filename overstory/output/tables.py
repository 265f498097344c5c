"""What the commands that list database rows share: table, colours, times, JSON."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from core.catalog.models import COST_DIGITS
from models.reads.inspect import CallLine, JobLine, NodeLine
from overstory.output.terminal import json_array, json_line

COLOURS = {
    **dict.fromkeys(("completed", "included", "done", "settled"), "green"),
    **dict.fromkeys(("failed", "refused", "unknown"), "red"),
    **dict.fromkeys(("partial", "paused", "running", "ready", "started"), "yellow"),
    **dict.fromkeys(("duplicate", "prepared", "uploaded"), "cyan"),
}
UNBROKEN = ("job", "status", "began", "owner")
"""Text columns whose cells are never wrapped."""
PIPE_WIDTH = 180


def table(*columns: str) -> Table:
    """A table without lines. A column whose name starts with ``=`` holds numbers."""
    drawn = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for column in columns:
        number = column.startswith("=")
        drawn.add_column(
            escape(column.removeprefix("=")),
            justify="right" if number else "left",
            no_wrap=number or column in UNBROKEN,
            overflow="fold",
        )
    return drawn


def stdout_console() -> Console:
    """As wide as the terminal; PIPE_WIDTH columns in a pipe."""
    console = Console()
    return console if console.is_terminal else Console(width=PIPE_WIDTH)


def colour(status: str) -> str:
    return COLOURS.get(status, "dim")


def coloured(status: str) -> Text:
    return Text(str(status), style=colour(status))


def clock(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def clipped(text: str, most: int) -> str:
    """``text`` in at most ``most`` characters, the last of which says that more follows."""
    return text if len(text) <= most else text[: most - 1] + "…"


def values(line: JobLine | NodeLine | CallLine) -> dict[str, Any]:
    """A line as JSON values. The cost is rounded: as floats, 0.1 and 0.2 make
    0.30000000000000004."""
    fields = asdict(line)
    return fields | {"cost": round(fields["cost"], COST_DIGITS)}


def print_json(value: object) -> None:
    click.echo(json_line(value))


def print_json_array(values: Iterable[object]) -> None:
    """``print_json`` of a list, as its values come."""
    sys.stdout.writelines(json_array(values))
    click.echo()
