"""``overstory jobs | show | tree | images | calls``: what the database knows, for people.

Each prints a table, or with ``--json`` one JSON value for programs.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from core.account.budget import plain
from core.settings import SANDBOX, load
from core.states import ImageStatus, JobStatus, NodeKind
from models.engine import Database
from models.reads import inspect
from models.reads.inspect import CallLine, ImageLine, JobLine, NodeLine
from models.reads.pipeline import JobRow
from overstory.job_argument import find_job, home_option, job_argument
from overstory.local.home import prepare_command
from overstory.output.plural import pluralize
from overstory.output.progress import duration
from overstory.output.result import result
from overstory.output.terminal import for_stdout, safe, safe_line
from workers.endpoints import database_url

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
COLOURS = {
    **dict.fromkeys(("completed", "included", "done", "settled"), "green"),
    **dict.fromkeys(("failed", "refused", "unknown"), "red"),
    **dict.fromkeys(("partial", "paused", "running", "ready", "started"), "yellow"),
    **dict.fromkeys(("duplicate", "prepared", "uploaded"), "cyan"),
}
ASK_SHOWN, TEXT_SHOWN = 60, 90
ASK_LEAST = 40
"""Room that a question is worth a column with."""
JOB_COLUMNS = ("job", "status", "images", "failed", "cost", "took", "began")
GAP = "  "
COST_DIGITS = 10
"""A price of a million tokens has four decimals, so what a token costs has ten."""
KEPT_WHOLE = ("job", "status", "began")
PIPE_WIDTH = 180


@click.command()
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice([s.value for s in JobStatus]),
    help="Only these.",
)
@click.option("--label", help="Only jobs with this label.")
@click.option("--limit", "-n", type=click.IntRange(1), default=50, show_default=True)
@json_option
@home_option
def jobs(
    statuses: tuple[str, ...], label: str | None, limit: int, as_json: bool, home: Path | None
) -> None:
    """List jobs, the newest first."""
    settings = load(**({"home": home} if home else {}))
    prepare_command(settings)
    database = Database(database_url(settings))
    with database.read() as connection:
        found = inspect.jobs(connection, statuses, label, limit)
    if as_json:
        print_json([values(job) for job in found])
    elif found:
        console = _console()
        console.print(jobs_drawn(found, console.width))
    elif statuses or label is not None:
        click.echo("no job matches: leave out --status and --label to see all")
    else:
        click.echo("no job yet: overstory run PATH --ask 'a question' makes the first")


def jobs_drawn(found: Sequence[JobLine], width: int) -> RenderableType:
    """Questions stand beside the rest where there is room for them, else each under its job; where
    not even the rest fits a line, each job is a few."""
    rows = [_job_cells(job) for job in found]
    widths = [max(map(cell_len, column)) for column in zip(JOB_COLUMNS, *rows, strict=True)]
    needed = sum(widths) + len(GAP) * (len(widths) - 1)
    if needed + ASK_LEAST <= width:
        return _jobs_table(found, rows)
    if needed > width:
        return Group(*(_job_paragraph(job, width) for job in found))
    lines: list[RenderableType] = [Text(GAP.join(_justified(JOB_COLUMNS, widths)), "dim")]
    for job, cells in zip(found, rows, strict=True):
        name, status, *rest = _justified(cells, widths)
        lines.append(
            Text.assemble(f"{name}{GAP}", (status, _colour(job.status)), GAP, GAP.join(rest))
        )
        lines.append(_job_question(job, width))
    return Group(*lines)


def _jobs_table(found: Sequence[JobLine], rows: Sequence[Sequence[str]]) -> Table:
    table = _table("job", "status", "=images", "=failed", "=cost", "=took", "began", "question")
    for job, (name, _, *rest) in zip(found, rows, strict=True):
        table.add_row(name, _status(job.status), *rest, Text(_short(_named(job), ASK_SHOWN)))
    return table


def _job_cells(job: JobLine) -> tuple[str, ...]:
    """What JOB_COLUMNS hold."""
    return (
        job.id,
        str(job.status),
        f"{job.included:,}/{job.submitted:,}",
        f"{job.failed:,}" if job.failed else "",
        f"{job.cost:.4f} {job.currency}",
        duration(job.seconds),
        _clock(job.created_at),
    )


def _justified(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    """``cells`` in columns: words at their left, numbers at their right."""
    return [
        cell.ljust(width) if name in KEPT_WHOLE else cell.rjust(width)
        for name, cell, width in zip(JOB_COLUMNS, cells, widths, strict=True)
    ]


def _job_paragraph(job: JobLine, width: int) -> RenderableType:
    name, _, images, failed, *rest = _job_cells(job)
    facts = [f"{images} images", *([f"{failed} failed"] if failed else []), *rest]
    return Group(
        Text.assemble(f"{name}{GAP}", _status(job.status)),
        Padding(Text(", ".join(facts)), (0, 0, 0, len(GAP))),
        _job_question(job, width),
    )


def _job_question(job: JobLine, width: int) -> RenderableType:
    """Under its job: a line of it, or two of a narrow screen."""
    said = _short(_named(job), max(ASK_SHOWN, width - len(GAP)))
    return Padding(Text(said, "dim"), (0, 0, 0, len(GAP)))


def _named(job: JobLine) -> str:
    return safe_line(f"[{job.label}] {job.ask}" if job.label else job.ask)


@click.command()
@job_argument
@json_option
@home_option
def show(job: str, as_json: bool, home: Path | None) -> None:
    """Show a job: its answer, coverage, tree and cost."""
    _, database, row = find_job(job, home)
    found = result(database, row)
    with database.read() as connection:
        line = inspect.job_line(connection, row.id)
    if as_json:
        print_json({**found, "ask": row.ask, "label": line.label, "seconds": line.seconds})
        return
    console = _console()
    _print_facts(console, row, line, found)
    if row.answer:
        console.print()
        sys.stdout.write(for_stdout(row.answer) + "\n")
    hint = f"overstory report {row.id}  writes it as a page with the images"
    console.print(f"\n[dim]{hint}[/]", soft_wrap=True)


def _print_facts(console: Console, row: JobRow, line: JobLine, found: dict[str, Any]) -> None:
    usage, tree = found["usage"], found["tree"]
    coverage = [f"{n:,} {name}" for name, n in found["coverage"].items() if n]
    tokens = usage["prompt_tokens"] + usage["completion_tokens"]
    leaves = pluralize(tree["leaves"], "leaf", "leaves")
    cached = f", {usage['cached_tokens']:,} from the cache" if usage["cached_tokens"] else ""
    charged = " (not charged: sandbox)" if row.endpoint == SANDBOX else ""
    limit = f" of at most {plain(found['budget'])}" if found["budget"] else ""
    rows: list[tuple[str, Any]] = [
        ("job", row.id),
        ("status", _status(row.status)),
        ("question", Text(safe(row.ask))),
        ("label", Text(safe(line.label or ""))),
        ("reason", Text(safe(row.reason or ""))),
        ("images", ", ".join(coverage)),
        ("tree", f"{leaves}, {pluralize(tree['nodes'], 'node')}, depth {tree['depth']}"),
        ("requests", f"{usage['requests']:,} sent; {pluralize(tokens, 'token')}{cached}"),
        ("cost", f"{usage['cost']:.4f} {usage['currency']}{limit}{charged}"),
        ("began", f"{_clock(line.created_at)}, took {duration(line.seconds)}"),
        ("model", f"{row.model} at {row.endpoint}, {row.detail} detail"),
    ]
    grid = Table.grid(padding=(0, 2))
    for term, value in rows:
        if str(value):
            grid.add_row(Text(term, "dim"), value if isinstance(value, Text) else Text(value))
    console.print(grid)


@click.command()
@job_argument
@click.option("--images", "with_images", is_flag=True, help="Down to each image.")
@json_option
@home_option
def tree(job: str, with_images: bool, as_json: bool, home: Path | None) -> None:
    """Show a job's summary tree: what each node covers, says and cost."""
    _, database, row = find_job(job, home)
    with database.read() as connection:
        nodes = inspect.nodes(connection, row.id)
        images = inspect.images(connection, row.id) if with_images else []
    if as_json:
        print_json([values(node) for node in nodes])
        return
    below: dict[int | None, list[NodeLine]] = {}
    for node in nodes:
        below.setdefault(node.parent_id, []).append(node)
    looked_at: dict[int | None, list[ImageLine]] = {}
    for image in images:
        looked_at.setdefault(image.node_id, []).append(image)
    for root in below.get(None, []):
        drawn = Tree(_node_label(root), guide_style="dim")
        _grow(drawn, root, below, looked_at)
        _console().print(drawn, soft_wrap=True)


def _grow(
    drawn: Tree,
    node: NodeLine,
    below: dict[int | None, list[NodeLine]],
    looked_at: dict[int | None, list[ImageLine]],
) -> None:
    for child in below.get(node.id, []):
        _grow(drawn.add(_node_label(child)), child, below, looked_at)
    for image in looked_at.get(node.id, []):
        drawn.add(Text.assemble(f"[{image.position}] {image.name} ", _status(image.status)))


def _node_label(node: NodeLine) -> Text:
    name = "answer" if node.parent_id is None else str(node.kind)
    span = f"images {node.first_position} to {node.last_position}"
    sent = f"{pluralize(node.requests, 'request')}, {pluralize(node.tokens, 'token')}"
    facts = [sent] if node.requests else []
    says = safe(node.error or "") or _short(safe_line(node.text or ""), TEXT_SHOWN)
    return Text.assemble(
        (name, "bold" if node.kind == NodeKind.BRANCH or node.parent_id is None else ""),
        f" {node.id} · {span} · ",
        _status(node.status),
        *(f" · {fact}" for fact in facts),
        (f"\n{says}" if says else "", "dim"),
    )


@click.command()
@job_argument
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice([s.value for s in ImageStatus]),
    help="Only these.",
)
@json_option
@home_option
def images(job: str, statuses: tuple[str, ...], as_json: bool, home: Path | None) -> None:
    """List a job's images, and why those that failed did."""
    _, database, row = find_job(job, home)
    with database.read() as connection:
        found = inspect.images(connection, row.id, statuses)
    if as_json:
        print_json([asdict(image) for image in found])
        return
    if not found:
        click.echo(f"none of the {row.submitted:,} images is {' or '.join(statuses)}")
        return
    table = _table("=#", "name", "status", "=sent as", "=tokens", "reason")
    for image in found:
        size = f"{image.width}x{image.height}" if image.width else ""
        table.add_row(
            str(image.position),
            Text(image.name),
            _status(image.status),
            size,
            f"{image.tokens:,}" if image.tokens else "",
            Text(_reason(image)),
        )
    _console().print(table)


def _reason(image: ImageLine) -> str:
    if image.duplicate_of:
        return f"same as {image.duplicate_of}"
    return safe(image.error or image.remarks or "")


@click.command()
@job_argument
@click.option("--failed", is_flag=True, help="Only requests that brought no reply.")
@json_option
@home_option
def calls(job: str, failed: bool, as_json: bool, home: Path | None) -> None:
    """List a job's requests: what each cost, and what went wrong."""
    _, database, row = find_job(job, home)
    with database.read() as connection:
        found = inspect.calls(connection, row.id, failed)
    if as_json:
        print_json([values(call) for call in found])
    elif found:
        _console().print(_calls_table(found))
    else:
        click.echo("no request failed" if failed else "no request was sent yet")


def _calls_table(found: Iterable[CallLine]) -> Table:
    table = _table(
        *("=call", "=node", "status", "=images", "=prompt", "=cached", "=written", "=cost"),
        *("=took", "what went wrong"),
    )
    for call in found:
        took = None if call.settled_at is None else call.settled_at - call.started_at
        trace = f" (trace {call.trace})" if call.error and call.trace else ""
        table.add_row(
            str(call.id),
            "" if call.node_id is None else str(call.node_id),
            _status(call.status),
            f"{call.images:,}" if call.kind != NodeKind.BRANCH else "notes",
            f"{call.prompt_tokens:,}",
            f"{call.cached_tokens:,}",
            f"{call.completion_tokens:,}",
            f"{call.cost:.5f}",
            "" if took is None else f"{took:.1f} s",
            Text(
                safe(f"{call.http_status or ''} {call.error}{trace}".strip() if call.error else "")
            ),
        )
    return table


def values(line: JobLine | NodeLine | CallLine) -> dict[str, Any]:
    """A line for programs, its cost as a sum of decimals: floats have added 0.1 and 0.2 to
    0.30000000000000004."""
    found = asdict(line)
    return found | {"cost": round(found["cost"], COST_DIGITS)}


def print_json(value: object) -> None:
    click.echo(json.dumps(value, ensure_ascii=False))


def _console() -> Console:
    """As wide as the terminal; in a pipe no line is broken for its sake."""
    console = Console()
    return console if console.is_terminal else Console(width=PIPE_WIDTH)


def _table(*columns: str) -> Table:
    """Columns; those with ``=`` before their name are numbers."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for column in columns:
        number = column.startswith("=")
        table.add_column(
            escape(column.removeprefix("=")),
            justify="right" if number else "left",
            no_wrap=number or column in KEPT_WHOLE,
            overflow="fold",
        )
    return table


def _status(status: str) -> Text:
    return Text(str(status), style=_colour(status))


def _colour(status: str) -> str:
    return COLOURS.get(status, "dim")


def _clock(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
