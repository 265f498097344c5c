"""Structured answers for people: a table with a row for each image, or one indented object."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from core.answers.totals import value_at
from core.states import ImageStatus
from core.text.json_replies import line_of
from models.reads.pipeline import ImageRow, JobRow
from overstory.output.answers import Shape
from overstory.output.terminal import print_plain, safe

ROWS_SHOWN = 200


def answer_text(job: JobRow, shape: Shape | None) -> str:
    """A job's answer as it is printed. An object is indented."""
    answer = job.answer or ""
    if shape is not None and shape.folds and answer:
        return json.dumps(json.loads(answer), ensure_ascii=False, indent=2)
    return answer


def print_table(console: Console, job: JobRow, shape: Shape, images: Sequence[ImageRow]) -> None:
    """Print the first ROWS_SHOWN images. ``overstory export`` writes all."""
    table = Table(title=Text(safe(shape.each or "")), title_justify="left", title_style="dim")
    table.add_column("", justify="right", style="dim")
    table.add_column("image", overflow="fold")
    for path in shape.columns:
        table.add_column(Text(safe(".".join(path)) or "answer"), overflow="fold")
    for image in images[:ROWS_SHOWN]:
        table.add_row(str(image.position), Text(image.name), *_cells(shape, image))
    console.print(table)
    if len(images) > ROWS_SHOWN:
        left = len(images) - ROWS_SHOWN
        print_plain(console, f"and {left:,} more: overstory export {job.id} --format csv")


def _cells(shape: Shape, image: ImageRow) -> list[Text]:
    if image.status != ImageStatus.INCLUDED or image.answer is None:
        same = f"same as [{image.duplicate_of}]" if image.duplicate_of else ""
        return [Text(safe(str(same or image.error or image.status)), "dim")]
    answer = shape.ordered(image.answer, image.position)
    values = [value_at(answer, path) for path in shape.columns]
    return [Text("" if value is None else safe(line_of(value))) for value in values]
