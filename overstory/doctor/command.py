"""``overstory doctor``: the command and the display of findings."""

from __future__ import annotations

import contextlib
import io
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
from models import endpoint_limits, endpoint_probes
from overstory import __version__
from overstory.doctor.checks import applicable, clean, run_check
from overstory.doctor.configuration import settings_of
from overstory.doctor.context import Context
from overstory.doctor.finding import Finding, Level, warning
from overstory.doctor.secrets import scrubbed
from overstory.options import home_option, json_option
from overstory.output.plural import pluralize
from overstory.output.terminal import json_line
from workers.logs import configure_logs

SIGNS = {Level.OK: ("✓", "green"), Level.WARNING: ("!", "yellow"), Level.FAILED: ("✗", "red")}
NOT_PROBED = warning("not sent", "correct what failed above first")
NOTHING_TO_PROBE = warning(
    "not sent: no key is set, and the sandbox that answers then needs no probe",
    "set OVERSTORY_API_KEY, and OVERSTORY_BASE_URL if it is not StepFun's",
)
NAME_WIDTH = 10
INDENT = 3 + NAME_WIDTH


@click.command()
@click.option(
    "--forget",
    is_flag=True,
    help="Forget what was learned of endpoints (limits, probes, how tokens count), and exit.",
)
@click.option(
    "--probe",
    "with_probe",
    is_flag=True,
    help="Also ask the model about a few small pictures of ours, to prove that it sees them. The"
    " price is printed first.",
)
@json_option
@home_option
def doctor(forget: bool, with_probe: bool, as_json: bool, home: Path | None) -> None:
    """Check settings, services, endpoint and API key.

    Says what to do about each problem. Without --probe it changes nothing and costs nothing. Exit
    status: 0 if no check failed, else 1.
    """
    configure_logs(Settings.model_construct(log_level="ERROR"), io.StringIO())  # no log lines
    console = Console(highlight=False)
    context = Context.examine(os.environ, home)
    if forget:
        click.echo(_forget(context))
        return
    findings: list[tuple[str, Finding]] = []
    try:
        for name, finding in _examined(context, console, with_probe, quiet=as_json):
            findings.append((name, finding))
            if not as_json:
                show(console, name, finding)
    finally:
        context.close()
    if as_json:
        sys.stdout.write(json_line(as_object(context, findings)) + "\n")
    else:
        console.print(Text("\n" + summary([finding for _, finding in findings])), soft_wrap=True)
    sys.exit(1 if any(finding.level == Level.FAILED for _, finding in findings) else 0)


def _forget(context: Context) -> str:
    try:
        with context.database.write() as connection:
            limits = pluralize(endpoint_limits.forget(connection), "learned limit")
            probes = endpoint_probes.forget(connection)
    finally:
        context.close()
    also = f" and {pluralize(probes, 'probe')}" if probes else ""
    return f"{limits}{also} forgotten"


def _examined(
    context: Context, console: Console, with_probe: bool, quiet: bool
) -> Iterator[tuple[str, Finding]]:
    """Each check with its finding, then the probes if no check failed."""
    healthy = True
    for check in applicable(context):
        with _doing(console, f"checking {check.name}", quiet):
            finding = run_check(check, context)
        if finding is not None:
            healthy &= finding.level != Level.FAILED
            yield check.name, finding
    if with_probe:
        yield from _probed(context, console, quiet) if healthy else [("probe", NOT_PROBED)]


def _probed(context: Context, console: Console, quiet: bool) -> Iterator[tuple[str, Finding]]:
    from overstory.doctor import probe  # loads the stages

    if not context.has_endpoint:
        yield "probe", NOTHING_TO_PROBE
        return
    calls = probe.planned(context)
    if not quiet:
        console.print(Text(f"\nprobing: {probe.announcement(context, calls)}\n"), soft_wrap=True)
    found = probe.findings(context, calls)
    while True:
        with _doing(console, "probing", quiet):
            named = next(found, None)
        if named is None:
            return
        yield named[0], clean(named[1], context.secrets)


@contextlib.contextmanager
def _doing(console: Console, what: str, quiet: bool) -> Iterator[None]:
    """A terminal shows what is being done."""
    with console.status(what) if console.is_terminal and not quiet else contextlib.nullcontext():
        yield


def show(console: Console, name: str, finding: Finding) -> None:
    """Print a finding: signs and colours on a terminal, words in a pipe."""
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
    """``body`` beside ``head``, with its lines aligned."""
    from rich.table import Table

    grid = Table.grid()
    grid.add_column(width=INDENT, no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(head, body)
    return grid


def plain(name: str, finding: Finding) -> list[str]:
    """``warning  broker     sentence``, then indented details, then what to do."""
    lines = [f"{finding.level:<8} {name:<{NAME_WIDTH}} {finding.says}"]
    lines += [f"{'':<9}{'':<{NAME_WIDTH}} {line}" for line in finding.details]
    if finding.do:
        lines.append(f"{'':<9}{'':<{NAME_WIDTH}} > {finding.do}")
    return lines


def summary(findings: list[Finding]) -> str:
    """``13 ok, 1 warning, 1 failed``."""
    counts = {level: sum(finding.level == level for finding in findings) for level in Level}
    warnings = pluralize(counts[Level.WARNING], "warning")
    return f"{counts[Level.OK]} ok, {warnings}, {counts[Level.FAILED]} failed"


def as_object(context: Context, findings: list[tuple[str, Finding]]) -> dict[str, Any]:
    """The JSON object: the checks that ran, and every setting with its source."""
    settings = [] if context.wrong else [asdict(setting) for setting in settings_of(context)]
    for setting in settings:
        setting["value"] = scrubbed(setting["value"], context.secrets)
    return {
        "version": __version__,
        "healthy": all(finding.level != Level.FAILED for _, finding in findings),
        "checks": [{"name": name, **asdict(finding)} for name, finding in findings],
        "settings": settings,
    }
