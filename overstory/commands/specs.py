"""What is asked, from a command's options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from core.spec import JobSpec, parse_spec
from overstory.commands.prompts import read_folder
from overstory.schemas import load_schema


def spec_of(inputs: Sequence[str], options: dict[str, Any]) -> JobSpec:
    """The job that ``options`` ask for. Raises click's UsageError, WrongUsage."""
    given = {name: value for name, value in options.items() if value not in (None, False)}
    if "ask" not in given and "each" not in given:
        raise click.UsageError("nothing is asked: give --ask (of the set), --each, or both")
    if "schema" in given:
        given["schema"] = load_schema(given["schema"])
    if "prompts" in given:
        given["prompts"] = read_folder(given["prompts"])
    return parse_spec({"images": list(inputs), **given})
