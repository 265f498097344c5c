"""A person's own file of models (OVERSTORY_MODELS), in the form of models.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config

from core.catalog.facts import Entry, Example, OwnModels, Source
from core.catalog.formulas import StepFun
from core.catalog.kinds import Kind
from core.catalog.models import Price
from core.catalog.patches import Bound
from core.errors import WrongUsage

AnyKind = StepFun | Kind
TRIED = [(width, height) for width in (1, 40, 4_000) for height in (1, 40, 4_000)]
"""Sizes for which a formula must give a number."""
FORM = "docs/models.md shows the form of an entry"


def read_models(path: Path) -> OwnModels:
    """The file at ``path``. Raises WrongUsage, which names the wrong entry and field; OSError."""
    try:
        tables = tomllib.loads(path.read_text("utf-8")).get("model")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WrongUsage(f"{path} is not TOML: {error}") from None
    if not tables or not isinstance(tables, list) or not isinstance(tables[0], dict):
        raise WrongUsage(f"{path} has no table [[model]]: {FORM}")
    return OwnModels(path, tuple(checked(path, *numbered) for numbered in enumerate(tables, 1)))


def checked(path: Path, number: int, table: Mapping[str, Any]) -> Entry:
    """The entry that a table of the file at ``path`` describes. Raises WrongUsage."""
    names = table.get("names")
    name = names[0] if names and isinstance(names, list) else "without names"
    where = f"{path}, entry {number} ({name})"
    for kind in (Entry, Example, Source, Price, Bound, *get_args(AnyKind)):
        with_config(ConfigDict(extra="forbid"))(kind)  # a misspelt field is an error
    entry: Entry = _parsed(where, Entry, table)
    formula = _parsed(
        f"{where}: tokens", Annotated[AnyKind, Field(discriminator="kind")], entry.tokens
    )
    entry = replace(entry, tokens=asdict(formula))
    for problem in _problems(entry):
        raise WrongUsage(f"{where}: {problem}. {FORM}")
    return entry


def _parsed(where: str, kind: Any, value: object) -> Any:
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        wrong = error.errors()[0]
        field = ".".join(map(str, wrong["loc"])) or "this table"
        raise WrongUsage(f"{where}: {field}: {wrong['msg']}. {FORM}") from None


def _problems(entry: Entry) -> Iterator[str]:
    """What makes the formula useless, or another one than its examples say."""
    if entry.prices:
        yield "prices: OVERSTORY_PRICES sets them"
    yield from (
        f"tokens.{name}: {value} is below 0"
        for name, value in entry.tokens.items()
        if isinstance(value, int | float) and value < 0
    )
    for width, height in TRIED:
        if _tokens(entry, width, height, "high") is None:
            yield f"tokens: the formula gives no number for an image of {width} x {height}"
    for example in entry.examples:
        tokens = _tokens(entry, example.width, example.height, example.detail)
        if tokens != example.tokens:
            size = f"{example.width} x {example.height} at {example.detail}"
            yield f"examples: {size} takes {tokens} tokens by the formula, not {example.tokens}"


def _tokens(entry: Entry, width: int, height: int, detail: str) -> int | None:
    try:
        entry.formula.ratio(width, height, detail)
        tokens = entry.formula.tokens(width, height, detail)
    except (ArithmeticError, ValueError):
        return None
    return tokens if tokens > 0 else None
