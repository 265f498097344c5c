"""What is known of a model at an endpoint: from models.toml, and first from a person's own file.

A file has a table ``[[model]]`` for each model or family; docs/models.md tells its form.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from core.catalog.formulas import STEPFUN_SIZES, Formula, SentSizes, formula_of
from core.catalog.models import Price, Structured
from core.errors import RequestForm

FILE = "models.toml"
USUAL_IMAGES = 60
"""Images a request where nobody says how many, even if the endpoint takes more: StepFun's limit, at
which runs were measured. Models read fewer images better (docs/tune.md)."""
USUAL_CONTEXT = 128_000
CHEAP_CONTEXT = 200_000
"""Above so many prompt tokens Anthropic and Google charge more for the whole request, and OpenAI
above 272,000 (genai-prices). Requests are not planned larger where prices are not known to be flat.
"""
MEGABYTE = 1_000_000
Positive = Annotated[int, Field(gt=0)]
Temperature = Literal["any", "none", "without reasoning"]
"""Whether a model takes a temperature: any, none at all, or any where it does not reason."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a fact is from. ``date``: of the page or the code; ``sure``: documented, read from
    code, measured or inferred; ``of``: which facts."""

    url: str
    date: str
    sure: str
    of: str = ""


@dataclass(frozen=True, slots=True)
class Example:
    """What an image of width x height takes at ``detail``; ``sure``: who says so."""

    width: int
    height: int
    detail: str
    tokens: int
    sure: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One ``[[model]]`` of a file. None: not known, or a matter of the server."""

    names: Annotated[
        tuple[str, ...], Field(min_length=1)
    ]  # with * and ?, of the name after its last /
    owner: str
    tokens: dict[str, Any]  # of an image: the kind of formula and its numbers
    at: tuple[str, ...] = ()  # hosts whose limits the entry tells; empty: those of any
    strict: bool = False  # usage that is far below the formula proves that images are missing
    context: Positive | None = None  # tokens
    output: Positive | None = None  # tokens of a reply
    images: Positive | None = None  # of a request
    request_mb: Annotated[float, Field(gt=0)] | None = None
    image_side: Positive | None = None  # pixels
    json: Structured | None = None
    details: tuple[str, ...] | None = None  # the values that are taken; empty: none is
    max_tokens: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    temperature: Temperature = "any"
    reasoning: tuple[str, ...] | None = None  # the efforts that are taken
    reasoning_default: str | None = None
    prices: tuple[Price, ...] = ()
    note: str = ""
    examples: tuple[Example, ...] = ()
    sources: tuple[Source, ...] = ()

    @property
    def formula(self) -> Formula:
        return formula_of(self.tokens)

    def is_named(self, model: str) -> bool:
        return any(fnmatchcase(model, name.lower()) for name in self.names)

    def is_at(self, host: str) -> bool:
        return any(fnmatchcase(host, name) for name in self.at)


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known of ``model`` at one endpoint. ``images``: of a request at most; ``entry``: None
    where nothing is known of the model; ``is_near``: whether its limits hold at this endpoint."""

    model: str
    entry: Entry | None = None
    is_near: bool = False

    @property
    def limits(self) -> Entry | None:
        """The entry where it tells the limits of this endpoint."""
        return self.entry if self.is_near else None

    @property
    def formula(self) -> Formula | None:
        return self.entry.formula if self.entry else None

    @property
    def sizes(self) -> SentSizes:
        """The sizes at which its images are sent: StepFun's where nothing is known."""
        if self.entry is None:
            return STEPFUN_SIZES
        return SentSizes(self.entry.formula, self.entry.image_side)

    @property
    def is_strict(self) -> bool:
        """Whether usage that is far below the formula proves that images are missing."""
        return bool(self.limits and self.limits.strict)

    @property
    def context_tokens(self) -> int:
        """Of a request and its reply, as it is planned. Decimal: 256K is read as 256,000, the safe
        side. Another server than the owner's may have less."""
        known = self.entry.context if self.entry else None
        if known is None or not self.is_near:
            return min(known or USUAL_CONTEXT, USUAL_CONTEXT)
        return known if self.prices else min(known, CHEAP_CONTEXT)

    @property
    def images(self) -> int:
        return (self.limits.images if self.limits else None) or USUAL_IMAGES

    @property
    def request_bytes(self) -> int | None:
        """Bytes of a request; None: not known."""
        megabytes = self.limits.request_mb if self.limits else None
        return None if megabytes is None else round(megabytes * MEGABYTE)

    def structured(self, provider: str) -> Structured:
        """How to request JSON. A server of one's own usually enforces schemas."""
        known = self.limits.json if self.limits else None
        return known or ("json_schema" if provider == "openai" else "json_object")

    @property
    def reply_tokens(self) -> int | None:
        """The most that a reply may have; None: not known."""
        return self.limits.output if self.limits else None

    @property
    def prices(self) -> tuple[Price, ...]:
        return self.entry.prices if self.entry else ()

    def as_of(self, what: str) -> str:
        """The newest day or month of a source of ``what``: tokens (of images), prices."""
        sources = self.entry.sources if self.entry else ()
        told = [source for source in sources if re.search(rf"\b{what}\b", source.of)]
        return max((source.date for source in told or sources), default="")

    def forms(self, detail: str, reasoning_effort: str | None) -> frozenset[RequestForm]:
        """How a request at ``detail`` and ``reasoning_effort`` is written, as far as known before
        the endpoint has refused anything."""
        known = self.limits
        if known is None:
            return frozenset()
        is_form = {
            RequestForm.COMPLETION_TOKENS: known.max_tokens == "max_completion_tokens",
            RequestForm.NO_TEMPERATURE: _no_temperature(known, reasoning_effort),
            RequestForm.NO_REASONING_EFFORT: not _takes(known.reasoning, reasoning_effort),
            RequestForm.NO_DETAIL: not _takes(known.details, detail),
        }
        return frozenset(form for form, is_so in is_form.items() if is_so)


def _no_temperature(known: Entry, reasoning_effort: str | None) -> bool:
    if known.temperature == "without reasoning":
        return (reasoning_effort or known.reasoning_default) != "none"
    return known.temperature == "none"


def _takes(values: tuple[str, ...] | None, value: str | None) -> bool:
    return value is None or values is None or value in values


def facts_of(model: str, base_url: str = "", own: tuple[Entry, ...] = ()) -> ModelFacts:
    """What is known of ``model`` at ``base_url``, from ``own`` entries first.

    Of the entries with the model's name the first counts that has the host in ``at``; else the
    first without ``at``; else the first. The last is served elsewhere than its owner does: its
    formula holds there, its limits may not.
    """
    host = (urllib.parse.urlsplit(base_url).hostname or "").lower()
    return _found(model, host, own) or _shipped_facts(model, host) or ModelFacts(model)


@lru_cache(maxsize=256)
def _shipped_facts(model: str, host: str) -> ModelFacts | None:
    """Kept, because the price of each call asks for it."""
    return _found(model, host, shipped())


def _found(model: str, host: str, entries: tuple[Entry, ...]) -> ModelFacts | None:
    name = model.lower().rpartition("/")[2]
    found = _find([entry for entry in entries if entry.is_named(name)], host)
    return None if found is None else ModelFacts(model, found, not found.at or found.is_at(host))


@dataclass(frozen=True, slots=True)
class OwnModels:
    """The entries of a person's file, which come before ours."""

    path: Path
    entries: tuple[Entry, ...]

    def __str__(self) -> str:
        names = ", ".join(entry.names[0] for entry in self.entries)
        return f"{self.path} ({names})"


def _find(named: list[Entry], host: str) -> Entry | None:
    near = [entry for entry in named if entry.is_at(host)]
    anywhere = [entry for entry in named if not entry.at]
    return next(iter([*near, *anywhere, *named]), None)


@lru_cache(maxsize=1)
def shipped() -> tuple[Entry, ...]:
    """The entries of models.toml, read once and only when a model is looked up."""
    import tomllib

    text = resources.files(__package__).joinpath(FILE).read_text("utf-8")
    return tuple(_entry(table) for table in tomllib.loads(text)["model"])


def _entry(table: Mapping[str, Any]) -> Entry:
    """An entry of our own file, whose form a test checks (tests/unit/test_facts.py)."""
    fields: dict[str, Any] = {name: _tuple(value) for name, value in table.items()}
    for name, kind in (("examples", Example), ("sources", Source), ("prices", Price)):
        if name in table:
            fields[name] = tuple(kind(**part) for part in table[name])
    return Entry(**fields)


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value
