"""What is asked, from a command's options."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import click
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from core.jobs import JobSpec
from overstory.commands.prompts import read_folder
from overstory.schema_option import load_schema

_SHOULD = re.compile(r"^(?:Input|String|Value) should")
"""How pydantic begins to say what a value has to be."""


def spec_of(inputs: Sequence[str], options: dict[str, Any]) -> JobSpec:
    """The job that ``options`` ask for. Raises click's UsageError, WrongUsage."""
    given = {n: value for n, value in options.items() if value is not None and value is not False}
    if "ask" not in given and "each" not in given:
        raise click.UsageError("nothing is asked: give --ask (of the set), --each, or both")
    if "schema" in given:
        given["schema"] = load_schema(given["schema"])
    if "prompts" in given:
        given["prompts"] = read_folder(given["prompts"])
    try:
        return JobSpec(**{"images": list(inputs), **given})
    except ValidationError as error:
        raise click.UsageError("; ".join(map(_said, error.errors()))) from None


def _said(wrong: ErrorDetails) -> str:
    """What is wrong with an option, as whoever typed it knows it."""
    name = str(wrong["loc"][0])
    option = "--" + name.replace("_", "-")
    words = wrong["msg"].removeprefix("Value error, ").removeprefix(f"{name}: ")
    must = _SHOULD.sub("must", words)
    return f"{option} {must}" if must != words else f"{option}: {words}"
