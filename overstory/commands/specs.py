"""Builds a job from the options of a command."""

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
"""The start of a pydantic message that names a requirement."""


def spec_of(inputs: Sequence[str], options: dict[str, Any]) -> JobSpec:
    """The job that ``options`` describe. Raises click's UsageError and WrongUsage."""
    values = {n: value for n, value in options.items() if value is not None and value is not False}
    if "ask" not in values and "each" not in values:
        raise click.UsageError("no question: give --ask (all images), --each (each image) or both")
    if "schema" in values:
        values["schema"] = load_schema(values["schema"])
    if "with_" in values:
        values["with_"] = values["with_"].split(",")
    if "prompts" in values:
        values["prompts"] = read_folder(values["prompts"])
    try:
        return JobSpec(**{"images": list(inputs), **values})
    except ValidationError as error:
        raise click.UsageError("; ".join(map(_message, error.errors()))) from None


def _message(error: ErrorDetails) -> str:
    """What is wrong, with the option named as on the command line."""
    name = str(error["loc"][0]).rstrip("_")
    option = "--" + name.replace("_", "-")
    text = error["msg"].removeprefix("Value error, ").removeprefix(f"{name}: ")
    must = _SHOULD.sub("must", text)
    return f"{option} {must}" if must != text else f"{option}: {text}"
