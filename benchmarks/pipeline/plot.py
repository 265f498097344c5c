"""The table as a picture: each job's wall time as a bar beside its lower bound (SVG, by hand)."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.pipeline.rows import Row

WIDTH, LEFT, BAR, GAP, TOP = 860, 150, 13, 12, 46
BOUND, START, WORK, STOP = "#9aa5b1", "#e8b04b", "#3b7dd8", "#b65fcf"
SVG = "http://www.w3.org/2000/svg"
STYLE = "font-family:system-ui,sans-serif;font-size:12px"


def plot(rows: Sequence[Row]) -> str:
    """An SVG document. Bars: the bound above, and below it start, work and stop of the command."""
    longest = max(row.wall for row in rows)
    scale = (WIDTH - LEFT - 90) / longest
    height = TOP + len(rows) * (2 * BAR + GAP) + 10
    parts = [
        f'<svg xmlns="{SVG}" width="{WIDTH}" height="{height}" style="{STYLE}">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        *_legend(),
    ]
    for index, row in enumerate(rows):
        parts += _bars(row, TOP + index * (2 * BAR + GAP), scale)
    return "\n".join([*parts, "</svg>\n"])


def _bars(row: Row, top: float, scale: float) -> list[str]:
    name = f"{row.images:,} images, {row.tier}"
    start, work = min(row.start, row.finished), max(row.finished - row.start, 0.0)
    drawn = [_bar(0, top, row.bound_here * scale, BOUND)]
    at = 0.0
    for seconds, colour in ((start, START), (work, WORK), (row.stop, STOP)):
        drawn.append(_bar(at * scale, top + BAR, seconds * scale, colour))
        at += seconds
    said = f"{row.wall:.1f} s, {row.ratio_here:.2f} x"
    return [
        _text(LEFT - 8, top + BAR + 4, name, "end"),
        *drawn,
        _text(LEFT + row.wall * scale + 6, top + 2 * BAR - 2, said, "start"),
    ]


def _legend() -> list[str]:
    found = [_text(10, 18, "Wall time of overstory run beside its lower bound", "start")]
    words = ((BOUND, "bound"), (START, "start"), (WORK, "work"), (STOP, "stop"))
    for index, (colour, word) in enumerate(words):
        left = LEFT + index * 90
        found.append(f'<rect x="{left}" y="26" width="10" height="10" fill="{colour}"/>')
        found.append(_text(left + 15, 35, word, "start"))
    return found


def _bar(left: float, top: float, width: float, colour: str) -> str:
    return (
        f'<rect x="{LEFT + left:.1f}" y="{top:.1f}" width="{max(width, 0.5):.1f}"'
        f' height="{BAR - 1}" fill="{colour}"/>'
    )


def _text(left: float, top: float, words: str, anchor: str) -> str:
    return f'<text x="{left:.1f}" y="{top:.1f}" text-anchor="{anchor}">{words}</text>'
