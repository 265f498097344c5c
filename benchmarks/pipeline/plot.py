"""An SVG chart: each job's wall time beside the careful script and the least possible time.

Each set size has its own scale, because a job over 6,000 images takes twenty times one over 60. Of
several rounds, the last is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from benchmarks.pipeline.rows import Row

WIDTH, LEFT, RIGHT, TOP, FOOT = 980, 140, 325, 84, 14
BAR, THIN_BAR, ROW, HEAD, AXIS = 13, 7, 42, 30, 26
"""Heights in pixels: the bars of a row, the row, the heading and the axis of a group."""
COLUMNS = (("wall", 260), ("x script", 196), ("x least", 118), ("limited by", 12))
"""Columns right of the bars: title, and distance of the column's end from the right edge."""
PLOT = WIDTH - LEFT - RIGHT
TICKS = 6
STEPS = (1, 2, 5, 10, 20, 30, 60, 120)
INK, SOFT, LINE = "#1f2933", "#616e7c", "#e4e7eb"
SCRIPT, LEAST = "#d9822b", "#b8c2cc"
START, WORK, STOP = "#f0b429", "#2f7ed8", "#9b6bc3"
SVG = "http://www.w3.org/2000/svg"
STYLE = "font-family:system-ui,'DejaVu Sans',sans-serif;font-size:12px"
KEY = (
    ((LEAST, "least possible: the best schedule under all limits"), (SCRIPT, "careful script")),
    (
        (START, "overstory run: until the first image"),
        (WORK, "until the answer"),
        (STOP, "until the command ends"),
    ),
)


def plot(rows: Sequence[Row]) -> str:
    """An SVG document: a group per size, a row per tier."""
    last = {row.name: row for row in rows}.values()
    groups = [(size, list(members)) for size, members in groupby(last, key=lambda row: row.size)]
    height = TOP + sum(HEAD + len(members) * ROW + AXIS for _, members in groups) + FOOT
    box = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    parts = [
        f'<svg xmlns="{SVG}" {box} style="{STYLE}">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        *_legend(),
    ]
    top = TOP
    for size, members in groups:
        parts += _group(size, members, top)
        top += HEAD + len(members) * ROW + AXIS
    return "\n".join([*parts, "</svg>\n"])


def _group(size: str, rows: Sequence[Row], top: float) -> Iterator[str]:
    longest = max(max(row.wall, row.schedule, _script(row) or 0.0) for row in rows)
    scale = PLOT / longest
    first, last = top + HEAD, top + HEAD + len(rows) * ROW
    one = rows[0]
    pixels = f"{one.side} x {one.side * 3 // 4} pixels"
    yield _text(LEFT, top + 17, f"{size} images", "start", INK, weight=600, size=13)
    yield _text(WIDTH - RIGHT, top + 17, pixels, "end", SOFT)
    for title, right in COLUMNS:
        yield _text(WIDTH - right, top + 17, title, "end", SOFT)
    step = next((s for s in STEPS if longest / s <= TICKS), STEPS[-1])
    for seconds in range(0, int(longest) + 1, step):
        at = LEFT + seconds * scale
        yield f'<path d="M{at:.1f} {first:.1f}V{last + 3:.1f}" stroke="{LINE}"/>'
        yield _text(at, last + 15, f"{seconds} s", "middle", SOFT, size=11)
    for index, row in enumerate(rows):
        yield from _row(row, first + index * ROW, scale)


def _script(row: Row) -> float | None:
    """The script's seconds, if it answered."""
    script = row.script
    return float(script["seconds"]) if script and script["answers"] else None


def _row(row: Row, top: float, scale: float) -> Iterator[str]:
    """The least time, then the job, then the script."""
    upper, lower, script = top + 5, top + 5 + THIN_BAR + 1, _script(row)
    yield _text(LEFT - 10, lower + 10, row.tier, "end", INK)
    yield _bar(0, upper, row.schedule * scale, THIN_BAR, LEAST)
    if script is not None:
        yield _bar(0, lower + BAR + 1, script * scale, THIN_BAR, SCRIPT)
    at = 0.0
    start = min(row.start, row.finished)
    for seconds, colour in ((start, START), (row.finished - start, WORK), (row.stop, STOP)):
        yield _bar(at * scale, lower, max(seconds, 0.0) * scale, BAR, colour)
        at += seconds
    figures = (
        f"{row.wall:.1f} s",
        "" if script is None else f"{row.wall / script:.2f}",
        f"{row.schedule_ratio:.2f}",
        row.schedule_binds,
    )
    for index, (figure, (_, right)) in enumerate(zip(figures, COLUMNS, strict=True)):
        weight = 400 if index else 600
        yield _text(WIDTH - right, lower + 11, figure, "end", INK, weight=weight)


def _legend() -> Iterator[str]:
    title = "Wall time of overstory run beside a careful script and the least possible time"
    yield _text(12, 22, title, "start", INK, weight=600, size=15)
    for line, entries in enumerate(KEY):
        left = 12.0
        for colour, label in entries:
            top = 36 + line * 18
            yield f'<rect x="{left:.0f}" y="{top}" width="11" height="11" rx="2" fill="{colour}"/>'
            yield _text(left + 17, top + 10, label, "start", SOFT)
            left += 17 + len(label) * 6.4 + 22


def _bar(left: float, top: float, width: float, height: float, colour: str) -> str:
    return (
        f'<rect x="{LEFT + left:.1f}" y="{top:.1f}" width="{max(width, 0.5):.1f}"'
        f' height="{height}" fill="{colour}"/>'
    )


def _text(
    left: float,
    top: float,
    content: str,
    anchor: str,
    colour: str,
    weight: int = 400,
    size: int = 12,
) -> str:
    return (
        f'<text x="{left:.1f}" y="{top:.1f}" text-anchor="{anchor}" fill="{colour}"'
        f' font-weight="{weight}" font-size="{size}">{content}</text>'
    )
