"""The figures as one Markdown table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Figures = dict[str, Any]


def of(figures: Figures) -> str:
    rows = ["| what | figure |", "|---|---|"]
    rows += [f"| {what} | {figure} |" for what, figure in _rows(figures)]
    return "\n".join(rows)


def _rows(figures: Figures) -> Iterator[tuple[str, str]]:
    if "counts" in figures:
        yield from _of_run(figures)
    if "while it runs" in figures:
        amid = figures["while it runs"]
        yield from _timed(f"{amid['running']} jobs run", amid["claims"] | amid["reconciler"])
        yield from _commands("while it runs", amid["commands"])
    if "database" in figures:
        yield from _of_database(figures["database"], figures["images"])
    after = figures.get("after", {})
    yield from _timed("after", after.get("claims", {}) | after.get("reconciler", {}))
    yield from _commands("after", figures.get("commands", {}))
    yield from _commands("after", figures.get("prune", {}))
    for title, query in figures.get("cookbook", {}).items():
        full = f", reads all {' and '.join(query['full'])}" if query["full"] else ""
        yield f"query: {title}", f"{query['ms']:,.1f} ms, {query['rows']:,} rows{full}"


def _of_run(figures: Figures) -> Iterator[tuple[str, str]]:
    asked, seconds, counts = figures["counts"]["images"], figures["seconds"], figures["counts"]
    yield (
        "images submitted, asked about, asked twice, refused requests",
        (
            f"{figures['images']:,}, {asked:,}, {counts['repeated']:,}, {counts['refused']:,}"
            f"{'' if figures['ended'] else ' (stopped before the end)'}"
        ),
    )
    yield (
        "time, images a second",
        f"{seconds:,.0f} s, {asked / seconds:,.0f} (load {figures['load_after']:.1f})",
    )
    if "cancel" in figures:
        cancel = figures["cancel"]
        yield "overstory cancel of the large job", f"{cancel['seconds']:.1f} s"
    large, small = figures["large"], figures["small"]
    yield f"planning of {large['images']:,} images", f"{large['planned_seconds']:.1f} s"
    yield (
        f"{small['jobs']} jobs of {small['each']:,} by message",
        f"{small['seconds']:.1f} s, {small['median']:.2f} s each",
    )
    total = sum(figures["cpu"].values())
    shares = ", ".join(f"{kind} {1000 * s / asked:.2f}" for kind, s in figures["cpu"].items())
    yield "CPU ms an image asked", f"{1000 * total / asked:.2f}: {shares}"
    traffic = figures["traffic"]
    yield (
        "statements, commits an image asked",
        f"{traffic['statements'] / asked:.2f}, {traffic['commits'] / asked:.2f}",
    )
    yield (
        "WAL bytes, rows updated, rows inserted an image asked",
        (
            f"{traffic['wal_bytes'] / asked:,.0f}, {traffic['rows_updated'] / asked:.1f},"
            f" {traffic['rows_inserted'] / asked:.1f}"
        ),
    )
    yield (
        "Valkey: commands, bytes an image asked; most memory",
        (
            f"{traffic['redis_commands'] / asked:.2f},"
            f" {(traffic['redis_bytes_in'] + traffic['redis_bytes_out']) / asked:,.0f};"
            f" {traffic['redis_peak_bytes'] / 1e6:.1f} MB"
        ),
    )
    yield (
        "HTTP: bytes to the provider, from it, an image asked",
        f"{counts['bytes_in'] / asked:,.0f}, {counts['bytes_out'] / asked:,.0f}",
    )
    for kind, memory in figures["memory"].items():
        yield (
            f"most memory: {kind}",
            f"{memory['process']:,.0f} MB a process, {memory['together']:,.0f} together",
        )


def _of_database(database: Figures, images: int) -> Iterator[tuple[str, str]]:
    yield (
        "database",
        f"{database['bytes'] / 1e6:,.0f} MB, {database['bytes'] / images:,.0f} an image",
    )
    for name, (rows, indexes, count) in database["tables"].items():
        yield (
            f"table {name}",
            f"{count:,} rows, {rows / images:,.0f} bytes an image, indexes {indexes / images:,.0f}",
        )


def _timed(when: str, figures: Figures) -> Iterator[tuple[str, str]]:
    for what, took in figures.items():
        yield f"{what} ({when})", f"{took['least']:,.1f} ms at least, {took['median']:,.1f} median"


def _commands(when: str, figures: Figures) -> Iterator[tuple[str, str]]:
    for what, took in figures.items():
        failed = f", exit status {took['status']}" if took["status"] else ""
        spent = f"{took['seconds']:.1f} s, CPU {took['cpu']:.1f} s, {took['mb']:,.0f} MB"
        yield f"overstory {what} ({when})", f"{spent}, {took['out_mb']:,.1f} MB out{failed}"
