"""Tall images that would be sent too narrow to read, such as screenshots of long pages.

They are cut into overlapping pieces, which stand beside each other in one picture. So it is one
image of a job, with one number, and costs one image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from core.catalog.formulas import STEPFUN, STEPFUN_SIZES, WINDOW, SentSizes
from core.catalog.tokens import Detail
from core.images.sizing import is_too_narrow, pieces_advice

Size = tuple[int, int]

COLUMNS_MOST = 12
GAP = 9
"""Pixels between columns."""
CAPTION = 1 / 30
"""Of the longest side that can be sent: the height of a line above the columns, which says what
they are."""
OVERLAP = 0.1
"""Of a column's width: how much of a piece is repeated at the top of the next one, so that a line
of text is whole in one of them. What is repeated may be counted twice, so it is little."""
LARGE = 20_000
"""Pixels of a side that no model sees whole."""


@dataclass(frozen=True, slots=True)
class Columns:
    """``count`` pieces of ``width`` x ``height`` pixels, cut from an image of size ``scaled``. Each
    begins ``step`` rows below the one before. They stand below a line of ``top`` pixels."""

    count: int
    width: int
    height: int
    step: int
    top: int
    scaled: Size
    canvas: Size

    @property
    def caption(self) -> str:
        """What the line above the columns says, in the picture."""
        return f"one tall image in {self.count} columns, left to right, a little overlapping"

    def origin(self, column: int) -> Size:
        """Where a column begins on the canvas."""
        return column * (self.width + GAP), self.top

    def rows(self, column: int) -> tuple[int, int]:
        """The first row of a column's piece, and the row after its last one."""
        first = column * self.step
        return first, min(first + self.height, self.scaled[1])


def plan_columns(
    width: int, height: int, detail: Detail, sizes: SentSizes = STEPFUN_SIZES
) -> Columns | None:
    """The columns in which an image of width x height is sent; None if it is sent as it is. Their
    number is the one that shrinks the image least."""
    sent = sizes.of(width, height, detail)
    if height <= width or not is_too_narrow((width, height), sent):
        return None
    longest = max(sizes.of(LARGE, LARGE, detail))
    plans = [_columns(width, height, count, longest) for count in range(2, COLUMNS_MOST + 1)]
    best = max(plans, key=lambda plan: plan.width)
    if best.width <= min(sent):
        return None
    return _on_whole_windows(best) if detail == "high" and sizes.formula == STEPFUN else best


def sent_size(width: int, height: int, detail: Detail, sizes: SentSizes = STEPFUN_SIZES) -> Size:
    """The size in pixels at which an image is sent, in columns or as it is."""
    columns = plan_columns(width, height, detail, sizes)
    return sizes.of(width, height, detail) if columns is None else columns.canvas


def columns_remark(
    full: Size, columns: Columns, detail: Detail, sizes: SentSizes = STEPFUN_SIZES
) -> str:
    """What to tell about an image that is sent in columns."""
    across, down = full
    told = f"{across} x {down} is sent as {columns.count} columns beside each other"
    if not is_too_narrow(full, columns.scaled):
        return told
    higher = plan_columns(across, down, "high", sizes)
    is_high_enough = detail == "low" and (higher is None or not is_too_narrow(full, higher.scaled))
    return (
        f"{told}, each {columns.width} pixels wide, in which text and small things cannot be read:"
        f" {pieces_advice(full, is_high_enough)}"
    )


def _columns(width: int, height: int, count: int, longest: int) -> Columns:
    """The largest ``count`` columns on a canvas of at most ``longest`` pixels a side."""
    top = round(longest * CAPTION)
    beside = (longest - GAP * (count - 1)) / (count * width)
    below = (longest - top) / (height / count + OVERLAP * width)
    scale = min(beside, below, 1.0)
    across, down = max(1, int(width * scale)), max(1, int(height * scale))
    step = -(-down // count)
    tall = min(step + int(OVERLAP * across), down)
    canvas = count * across + GAP * (count - 1), top + tall
    return Columns(count, across, tall, step, top, (across, down), canvas)


def _on_whole_windows(columns: Columns) -> Columns:
    """The same on a canvas whose longest side is a multiple of StepFun's window: the provider would
    resample other pixels away."""
    across, down = columns.canvas
    more = -max(across, down) % WINDOW
    canvas = (across + more, down) if across >= down else (across, down + more)
    return replace(columns, canvas=canvas)
