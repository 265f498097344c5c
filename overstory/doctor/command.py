"""``overstory doctor``: the command, and how findings are shown."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from core.settings import Settings
from overstory import __version__
from overstory.doctor.checks import Check, applicable, made
from overstory.doctor.configuration import settings_of
from overstory.doctor.context import Context
from overstory.doctor.finding import Finding, Level
from overstory.doctor.secrets import scrubbed
from workers.logs import configure_logs

SIGNS = {Level.OK: ("✓", "green"), Level.WARNING: ("!", "yellow"), Level.FAILED: ("✗", "red")}
NAME_WIDTH = 10
INDENT = 3 + NAME_WIDTH


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
@click.option("--home", type=click.Path(path_type=Path), help="State folder (OVERSTORY_HOME).")
def doctor(as_json: bool, home: Path | None) -> None:
    """Check settings, services, endpoint and key, and say what to do about each failure.

    Changes nothing and costs nothing. Exit status: 0 when nothing failed, 1 otherwise.
    """
    configure_logs(Settings.model_construct(log_level="ERROR"), io.StringIO())  # findings speak
    console = Console(highlight=False)
    context = Context.examine(os.environ, home)
    found: list[tuple[str, Finding]] = []
    try:
        for check, finding in _examined(context, console, quiet=as_json):
            found.append((check.name, finding))
            if not as_json:
                show(console, check.name, finding)
    finally:
        context.close()
    if as_json:
        sys.stdout.write(json.dumps(as_object(context, found), ensure_ascii=False) + "\n")
    else:
        console.print(Text("\n" + summary([finding for _, finding in found])), soft_wrap=True)
    sys.exit(1 if any(finding.level == Level.FAILED for _, finding in found) else 0)


def _examined(context: Context, console: Console, quiet: bool) -> Iterator[tuple[Check, Finding]]:
    """Each check with what it finds; on a terminal a line says which one is being made."""
    for check in applicable(context):
        if console.is_terminal and not quiet:
            with console.status(f"checking {check.name}"):
                finding = made(check, context)
        else:
            finding = made(check, context)
        if finding is not None:
            yield check, finding


def show(console: Console, name: str, finding: Finding) -> None:
    """A few lines: signs and colours on a terminal, words and one line each on a pipe."""
    if not console.is_terminal:
        for line in plain(name, finding):
            console.print(Text(line), soft_wrap=True)
        return
    sign, colour = SIGNS[finding.level]
    try:
        sign.encode(console.encoding)
    except (UnicodeError, LookupError):
        sign = finding.level[0].upper()
    head = Text.assemble((f" {sign} ", f"bold {colour}"), (f"{name:<{NAME_WIDTH}}", "bold"))
    console.print(hanging(head, Text(finding.says)))
    for line in finding.details:
        console.print(Padding(Text(line, style="dim"), (0, 0, 0, INDENT)))
    if finding.do:
        console.print(Padding(Text(f"> {finding.do}", style=colour), (0, 0, 0, INDENT)))


def hanging(head: Text, body: Text) -> Any:
    """``body`` beside ``head``, its further lines under its first."""
    from rich.table import Table

    grid = Table.grid()
    grid.add_column(width=INDENT, no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(head, body)
    return grid


def plain(name: str, finding: Finding) -> list[str]:
    """``warning  broker     sentence``, then what to do, then details, indented."""
    lines = [f"{finding.level:<8} {name:<{NAME_WIDTH}} {finding.says}"]
    lines += [f"{'':<9}{'':<{NAME_WIDTH}} {line}" for line in finding.details]
    if finding.do:
        lines.append(f"{'':<9}{'':<{NAME_WIDTH}} > {finding.do}")
    return lines


def summary(findings: list[Finding]) -> str:
    """``13 ok, 1 warning, 1 failed``."""
    counts = {level: sum(finding.level == level for finding in findings) for level in Level}
    many = "warning" if counts[Level.WARNING] == 1 else "warnings"
    parts = [f"{counts[Level.OK]} ok", f"{counts[Level.WARNING]} {many}"]
    return ", ".join([*parts, f"{counts[Level.FAILED]} failed"])


def as_object(context: Context, found: list[tuple[str, Finding]]) -> dict[str, Any]:
    """The JSON object: the checks that were made, and every setting with where it comes from."""
    settings = [] if context.wrong else [asdict(setting) for setting in settings_of(context)]
    for setting in settings:
        setting["value"] = scrubbed(setting["value"], context.secrets)
    return {
        "version": __version__,
        "healthy": all(finding.level != Level.FAILED for _, finding in found),
        "checks": [{"name": name, **asdict(finding)} for name, finding in found],
        "settings": settings,
    }
