"""Builds a job from the options of a command."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import click
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from core.jobs import JobSpec
from core.settings import Settings
from overstory.commands.prompts import read_folder
from overstory.options import settings_at
from overstory.profiles import filled
from overstory.schema_option import load_schema

_SHOULD = re.compile(r"^(?:Input|String|Value) should")
"""The start of a pydantic message that names a requirement."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A job to ask, and what follows its answer: what ``run`` and ``watch-folder`` were given."""

    settings: Settings
    spec: JobSpec
    report: Path | None
    yes: bool
    as_json: bool
    quiet: bool

    def anew(self) -> Self:
        """The same, to be asked now: with --fresh, each time is a job of its own."""
        if not self.spec.fresh:
            return self
        key = f"fresh-{secrets.token_hex(8)}"
        return replace(self, spec=self.spec.model_copy(update={"key": key}))


def asked_of(inputs: Sequence[str], options: Mapping[str, Any]) -> Asked:
    """What the options of ``overstory.options.job_options`` ask for. Raises click's UsageError and
    WrongUsage."""
    mine = ("report", "yes", "as_json", "quiet")
    others = {n: v for n, v in options.items() if n not in (*mine, "home", "sandbox")}
    settings = settings_at(options["home"], options["sandbox"])
    spec = spec_of(inputs, filled(settings.home, others))
    return Asked(settings, spec, **{name: options[name] for name in mine}).anew()


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
