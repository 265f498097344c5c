"""The files behind the numbers of an answer, for a terminal."""

from __future__ import annotations

import itertools

from rich.console import Console
from rich.text import Text

from core.text.citations import parted
from core.text.printable import printable_name
from models.engine import Database
from models.reads import parts
from models.reads.pipeline import JobRow

SHOWN = 12
"""Answers that cite more images are about groups: their files would fill the screen."""


def print_cited(database: Database, job: JobRow, text: str) -> None:
    """Print the name of each image that ``text`` cites, or how to list them if there are many."""
    cited = first_cited(text, SHOWN + 1)
    console = Console(highlight=False)
    if len(cited) > SHOWN:
        hint = f"'overstory images {job.id}' lists the files behind the numbers"
        console.print(Text(f"\n{hint}", "dim"))
    elif cited:
        with database.read() as connection:
            names = parts.names(connection, job.id, cited)
        width = len(str(max(cited))) + 2
        lines = [
            f"{f'[{position}]':>{width}} {printable_name(names[position])}"
            for position in sorted(cited)
            if position in names
        ]
        console.print(Text("\n" + "\n".join(lines), "dim"))


def first_cited(text: str, most: int) -> list[int]:
    """The first ``most`` positions that ``text`` cites, each once."""
    ranges = itertools.chain.from_iterable(
        part for part in parted(text) if not isinstance(part, str)
    )
    numbers = dict.fromkeys(
        itertools.chain.from_iterable(itertools.islice(each, most) for each in ranges)
    )
    return list(numbers)[:most]
