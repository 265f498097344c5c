"""The options of a job: the one place that knows what the column ``jobs.options`` holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question that was asked before in a conversation, and its answer."""

    ask: str
    answer: str


@dataclass(frozen=True, slots=True)
class JobOptions:
    """How a job is to be done and what form its answers take.

    ``from_json`` and ``to_json`` keep the JSON of existing rows: the same names in the same order,
    and what is optional only where it is used.
    """

    fetch: bool = False  # download URLs here, instead of letting the provider do it
    fresh: bool = False  # do not take paid replies of other jobs
    keep_files: bool = False  # leave the files at the provider after the job
    fail_fast: bool = False  # end the job when the first image fails
    min_coverage: float | None = None  # 0 to 1: end the job once it cannot reach this share
    budget: float | None = None  # the most the job may cost, in the account's currency
    prompts: Mapping[str, str] = field(default_factory=dict)  # the job's own prompt texts, by name
    each: str | None = None  # the question that is asked about every image
    schema: str | None = None  # JSON Schema of the answers, as text: its order matters
    each_only: bool = False  # the set as a whole is not asked about
    bare: bool = False  # take replies as they are: images count as seen because they were sent
    canary: bool = False  # prove by pictures of our own that all images of a request were seen
    pack: int | None = None  # images a request at most; None: as many as the model takes
    history: tuple[Exchange, ...] | None = None  # of a further question; None: a first question
    look: tuple[int, ...] = ()  # positions whose leaves a further question shows again
    second_look: float | None = None  # the share of images that may be looked at twice
    second_model: str | None = None  # the model that looks again; None: the job's own
    by: str | None = None  # what makes a unit: folder, document, date, or a column
    facts: tuple[str, ...] = ()  # names of the facts that are shown beside each image
    similar: bool = False  # of images that are nearly the same, one is asked about
    watch: str | None = None  # the watched folder whose budget counts the job's calls
    watch_budget: str | None = None  # that budget, such as 5/month
    inputs: str | None = None  # hash of the inputs as they were named, if the job was given a key

    @property
    def is_follow_up(self) -> bool:
        """Whether the job is a further question about another job's images."""
        return self.history is not None

    @property
    def is_object(self) -> bool:
        """Whether the answer is one JSON object about the set."""
        return self.schema is not None and self.each is None

    @property
    def asked(self) -> dict[str, Any]:
        """What is part of the question, as keys hash it: answer form, prompt texts, pack, the
        second look, units and facts. The answers of one pack do not stand for another: how far they
        can be trusted differs. ``similar`` is not: a job without it goes on from one with it."""
        return {
            **self._answer_form(),
            **self._own_prompts(),
            **self._packed(),
            **self._second(),
            **self._sorted(),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> JobOptions:
        """The options of a row. Names that this version does not know are left out."""
        known = {name: values[name] for name in _NAMES if name in values}
        if "history" in known:
            known["history"] = tuple(Exchange(**exchange) for exchange in known["history"])
        known["look"] = tuple(known.get("look", ()))
        known["facts"] = tuple(known.get("facts", ()))
        return cls(**known)

    def to_json(self) -> dict[str, Any]:
        """The options as their row keeps them."""
        values: dict[str, Any] = {
            "fetch": self.fetch,
            "fresh": self.fresh,
            "keep_files": self.keep_files,
            "fail_fast": self.fail_fast,
            "min_coverage": self.min_coverage,
            "budget": self.budget,
            **self._own_prompts(),
            **self._answer_form(),
            **self._packed(),
            **self._second(),
            **self._sorted(),
        }
        if self.similar:
            values["similar"] = True
        if self.watch is not None:
            values |= {"watch": self.watch, "watch_budget": self.watch_budget}
        if self.history is not None:
            values["history"] = [{"ask": e.ask, "answer": e.answer} for e in self.history]
            values["look"] = list(self.look)
        if self.inputs is not None:
            values["inputs"] = self.inputs
        return values

    def _own_prompts(self) -> dict[str, Any]:
        return {"prompts": dict(self.prompts)} if self.prompts else {}

    def _packed(self) -> dict[str, Any]:
        return {} if self.pack is None else {"pack": self.pack}

    def _second(self) -> dict[str, Any]:
        values = {"second_look": self.second_look, "second_model": self.second_model}
        return {name: value for name, value in values.items() if value is not None}

    def _sorted(self) -> dict[str, Any]:
        values: dict[str, Any] = {"by": self.by, "facts": list(self.facts)}
        return {name: value for name, value in values.items() if value}

    def _answer_form(self) -> dict[str, Any]:
        values: dict[str, Any] = {"each": self.each, "schema": self.schema}
        used = {name: value for name, value in values.items() if value is not None}
        flags = ("each_only", "bare", "canary")
        return used | {name: True for name in flags if getattr(self, name)}


_NAMES = tuple(JobOptions.__dataclass_fields__)
