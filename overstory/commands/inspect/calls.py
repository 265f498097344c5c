"""``overstory calls``: the requests of one job."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from core.states import NodeKind
from models.reads import inspect
from models.reads.inspect import CallLine
from overstory.job_argument import find_job, job_argument
from overstory.options import home_option, json_option
from overstory.output.tables import coloured, print_json, stdout_console, table, values
from overstory.output.terminal import safe


@click.command()
@job_argument
@click.option("--failed", is_flag=True, help="List only requests that got no reply.")
@json_option
@home_option
def calls(job: str, failed: bool, as_json: bool, home: Path | None) -> None:
    """List a job's requests, with cost and error of each."""
    _, database, row = find_job(job, home)
    with database.read() as connection:
        lines = inspect.calls(connection, row.id, failed)
    if as_json:
        print_json([values(call) for call in lines])
    elif lines:
        stdout_console().print(_draw(lines))
    else:
        click.echo("no request failed" if failed else "no request was sent yet")


def _draw(lines: Iterable[CallLine]) -> Table:
    drawn = table(
        *("=call", "=node", "status", "=images", "=prompt", "=cached", "=written", "=cost"),
        *("=took", "error"),
    )
    for call in lines:
        took = None if call.settled_at is None else call.settled_at - call.started_at
        drawn.add_row(
            str(call.id),
            "" if call.node_id is None else str(call.node_id),
            coloured(call.status),
            f"{call.images:,}" if call.kind != NodeKind.BRANCH else "notes",
            f"{call.prompt_tokens:,}",
            f"{call.cached_tokens:,}",
            f"{call.completion_tokens:,}",
            f"{call.cost:.5f}",
            "" if took is None else f"{took:.1f} s",
            Text(_error(call)),
        )
    return drawn


def _error(call: CallLine) -> str:
    if not call.error:
        return ""
    trace = f" (trace {call.trace})" if call.trace else ""
    return safe(f"{call.http_status or ''} {call.error}{trace}".strip())
