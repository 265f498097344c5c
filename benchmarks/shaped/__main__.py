"""Both ways of images to the provider (OVERSTORY_STORE) over lines of several lengths and widths.

    python -m benchmarks.shaped [--quick | --full] [--lines 20:50,100:5] [--sets 600-V2-small]

Each cell of the grid runs the command over the same pictures with OVERSTORY_STORE=always (images go
into the provider's file store), =never (inside the requests) and =auto, one after the other, each
with a sandbox and a state folder of its own, through a relay (``relay``). A line is
ROUND_TRIP_MS:UP_MBIT_PER_SECOND; the first set runs on all lines, others on one. Prints a table and
writes benchmarks/out/shaped.json and shaped.md. Exit status 1 when an image was not included.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog
from rich.console import Console

from benchmarks.pipeline import command, machine, pictures, scenes, table
from benchmarks.pipeline.markdown import table as markdown
from benchmarks.shaped import lines
from benchmarks.shaped.lines import Ceiling, Relayed

OUT = Path(__file__).parents[1] / "out"
LATENCY_SECONDS, SIDE = 4.0, 4000
WAYS = ("always", "never", "auto")
SETS = ("600-V2-small", "600-V2")
OTHERS_LINE = "20:50"
"""The line of every set but the first."""
QUICK = ("0:500", "100:50", "20:5")
USUAL = ("0:500", "20:500", "100:500", "0:50", "20:50", "100:50", "20:5")
FULL = (*USUAL, "0:5", "100:5")


@dataclass(frozen=True, slots=True)
class Way:
    """One run. ``uploads``: files sent to the store; ``deletions`` of them; ``calls`` of the model;
    CPU in seconds."""

    seconds: float
    sent_bytes: int
    connections: int
    calls: int
    uploads: int
    deletions: int
    included: int
    cpu: float
    relay_cpu: float
    load: float

    @property
    def requests(self) -> int:
        return self.calls + self.uploads + self.deletions


@dataclass(frozen=True, slots=True)
class Cell:
    """One set over one line, by the value of OVERSTORY_STORE."""

    name: str
    images: int
    small: bool
    tier: str
    round_trip_ms: float
    mbit_per_second: float
    ways: dict[str, Way]


def main() -> int:
    args = _arguments()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    console = Console(width=None if sys.stdout.isatty() else 170)
    OUT.mkdir(exist_ok=True)
    described, relay = machine.described(OUT), lines.ceiling()
    console.print(described, _about(relay), sep="\n", highlight=False)
    cells = []
    with tempfile.TemporaryDirectory(prefix="overstory-shaped-") as folder:
        for name, line in _grid(args):
            cells.append(_cell(console, name, line, args.ways.split(","), Path(folder)))
    shown = [(TITLE, *_overview(cells)), (DETAILS, NAMES, [_row(cell) for cell in cells])]
    for title, names, rows in shown:
        table.show(console, title, names, rows)
    _write(described, relay, cells, shown)
    console.print(f"written: {OUT / 'shaped.json'}, {OUT / 'shaped.md'}", highlight=False)
    ran = [(cell.images, way.included) for cell in cells for way in cell.ways.values()]
    return 0 if all(images == included for images, included in ran) else 1


def _grid(args: argparse.Namespace) -> Iterator[tuple[str, str]]:
    names = args.sets.split(",")
    usual = QUICK if args.quick else FULL if args.full else USUAL
    chosen = args.lines.split(",") if args.lines else usual
    yield from ((names[0], line) for line in chosen)
    if not args.quick:
        yield from ((name, OTHERS_LINE) for name in names[1:])


def _cell(console: Console, name: str, line: str, ways: list[str], folder: Path) -> Cell:
    round_trip_ms, mbit = (float(number) for number in line.split(":"))
    ran = {}
    for way in ways:
        ran[way] = _way(f"{name}-{way}", round_trip_ms, mbit, folder)
        console.print(
            f"{name}, {round_trip_ms:g} ms, {mbit:g} Mbit/s, {way}: {ran[way].seconds:.1f} s,"
            f" {ran[way].sent_bytes / 1e6:.1f} MB up, {ran[way].requests} requests",
            highlight=False,
        )
    scene = scenes.scene_of(name, LATENCY_SECONDS, SIDE)
    return Cell(name, scene.images, scene.small, scene.tier, round_trip_ms, mbit, ran)


def _way(name: str, round_trip_ms: float, mbit: float, folder: Path) -> Way:
    scene = scenes.scene_of(name, LATENCY_SECONDS, SIDE)
    photos = pictures.picture_set(OUT / "pictures", scene.images, scene.side)
    passed: list[Relayed] = []

    @contextmanager
    def line(url: str) -> Iterator[str]:
        with lines.relayed(url, round_trip_ms, mbit) as relay:
            passed.append(relay)
            yield relay.url

    run = command.run(scene, photos, folder, line)
    return Way(
        seconds=run.ended.wall,
        sent_bytes=passed[0].totals.up,
        connections=passed[0].totals.connections,
        calls=run.sandbox["calls"],
        uploads=run.sandbox["uploads"],
        deletions=run.sandbox["deletes"],
        included=run.result["coverage"]["included"],
        cpu=run.ended.cpu,
        relay_cpu=passed[0].cpu,
        load=run.load,
    )


TITLE = (
    "Seconds from start to exit, images in the file store / inside the requests"
    " (what auto chose), by round trip and Mbit/s up"
)
DETAILS = "The same with bytes and requests, by OVERSTORY_STORE"
NAMES = (
    *("pictures, tier", "round trip, ms", "up, Mbit/s", "always, s", "never, s", "never / always"),
    *("MB up: always, never", "requests: always, never", "auto, s", "auto chose"),
)


def _overview(cells: list[Cell]) -> tuple[list[str], list[list[str]]]:
    """Names and rows: a column for each width of the line, a row for each set and round trip."""
    widths = sorted({cell.mbit_per_second for cell in cells})
    rows: dict[tuple[str, float], dict[float, str]] = {}
    for cell in sorted(cells, key=lambda cell: (cell.name != cells[0].name, cell.round_trip_ms)):
        row = rows.setdefault((_pictures(cell), cell.round_trip_ms), {})
        row[cell.mbit_per_second] = _both(cell)
    names = ["pictures, tier", "round trip, ms", *(f"{width:g} Mbit/s up" for width in widths)]
    texts = [
        [kind, f"{round_trip:g}", *(row.get(width, "") for width in widths)]
        for (kind, round_trip), row in rows.items()
    ]
    return names, texts


def _both(cell: Cell) -> str:
    seconds = " / ".join(_seconds(cell.ways.get(way)) for way in ("always", "never"))
    choice = _choice(cell.ways.get("auto"))
    return f"{seconds} ({choice})" if choice else seconds


def _pictures(cell: Cell) -> str:
    return f"{cell.images:,}{' small' if cell.small else ''}, {cell.tier}"


def _row(cell: Cell) -> list[str]:
    always, never, auto = (cell.ways.get(way) for way in WAYS)
    both = always is not None and never is not None
    return [
        _pictures(cell),
        f"{cell.round_trip_ms:g}",
        f"{cell.mbit_per_second:g}",
        _seconds(always),
        _seconds(never),
        f"{never.seconds / always.seconds:.2f}" if always and never else "",
        ", ".join(f"{way.sent_bytes / 1e6:.0f}" for way in (always, never) if way) if both else "",
        ", ".join(f"{way.requests:,}" for way in (always, never) if way) if both else "",
        _seconds(auto),
        _choice(auto),
    ]


def _seconds(way: Way | None) -> str:
    return f"{way.seconds:.1f}" if way else ""


def _choice(auto: Way | None) -> str:
    if auto is None:
        return ""
    if auto.uploads == 0:
        return "inside"
    return "files" if auto.uploads >= auto.included else f"files for {auto.uploads:,}"


def _about(relay: Ceiling) -> str:
    return (
        f"The relay passes {relay.mbit_per_second:,.0f} Mbit/s at most here, for"
        f" {relay.cpu_per_gigabyte:.2f} s of CPU a gigabyte; calls of {LATENCY_SECONDS:g} s."
    )


Shown = tuple[str, Sequence[str], list[list[str]]]


def _write(described: str, relay: Ceiling, cells: list[Cell], shown: list[Shown]) -> None:
    results = {
        "machine": described,
        "relay": asdict(relay),
        "cells": [asdict(cell) for cell in cells],
    }
    (OUT / "shaped.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    tables = "\n".join(f"{title}:\n\n{markdown(names, rows)}" for title, names, rows in shown)
    text = f"{described}. {_about(relay)}\n\n{tables}"
    (OUT / "shaped.md").write_text(text, encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks.shaped", description=(__doc__ or "").splitlines()[0]
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="three corners of the grid")
    size.add_argument("--full", action="store_true", help="the whole grid")
    parser.add_argument("--lines", help="only these: 20:50,100:5 (round trip in ms, Mbit/s up)")
    parser.add_argument("--sets", default=",".join(SETS), help="the sets (%(default)s)")
    parser.add_argument("--ways", default=",".join(WAYS), help="values to run (%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
