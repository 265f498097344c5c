"""What the methods of the clients return."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter

T = TypeVar("T")


class _Value(BaseModel):
    """Fields that a newer service adds are kept, so that they are there in ``model_dump()``."""

    model_config = ConfigDict(frozen=True, extra="allow")


class Submitted(_Value):
    """A job that was submitted.

    ``job``: its id. ``created``: False if it was there before. ``ignored``: files that are not
    images; ``passed_over``: folders and files of systems and photo programs.
    """

    job: str
    status: str
    created: bool
    ignored: list[str] = []
    passed_over: list[str] = []


class Changed(_Value):
    """A job after a change. ``changed``: False if it was so before."""

    job: str
    status: str
    changed: bool


class Status(_Value):
    """The state of a job.

    ``status``: running, paused, completed, partial, failed or cancelled. ``reason``: why it is
    paused or failed. ``coverage``: number of images by status, and ``submitted`` for all of them.
    ``over``: it has ended, or is paused for its budget with nothing in flight.
    """

    job: str
    status: str
    reason: str | None
    coverage: dict[str, int]
    over: bool

    @property
    def ended(self) -> bool:
        """Whether the job is completed, partial, failed or cancelled."""
        return self.status in ("completed", "partial", "failed", "cancelled")


class Event(_Value):
    """Something that happened to a job, to its image at ``position`` (from 1), or to a node of its
    tree. ``at``: Unix time in seconds."""

    id: int
    at: float
    name: str
    position: int | None = None
    node_id: int | None = None
    detail: str | None = None


class Share(_Value):
    """A link to a job's report, which anybody may open until ``expires_at`` (Unix time)."""

    url: str
    expires_at: float


@dataclass(frozen=True)
class Unit(Generic[T]):
    """A unit of a job (``by``).

    ``name``: of its folder, document or day, or the value of its column. ``answer``: an object with
    a schema, else a text; None where there is none. ``coverage``: number of its images by status,
    and ``submitted``; ``images``: their positions. ``cost``: of its calls, and its share of calls
    about several units. ``duplicate_of``: the index, from 1, of an earlier unit with the same
    images.
    """

    name: str
    answer: T | None
    coverage: dict[str, int]
    images: list[int]
    cost: float
    duplicate_of: int | None


@dataclass(frozen=True)
class Result(Generic[T]):
    """The result of a job so far. ``raw``: the object of ``overstory run --json``."""

    raw: dict[str, Any]
    model: Any = None

    @property
    def job(self) -> str:
        """The job's id."""
        return str(self.raw["job"])

    @property
    def status(self) -> str:
        """running, paused, completed, partial, failed or cancelled."""
        return str(self.raw["status"])

    @property
    def answer(self) -> str | None:
        """The answer about the set, with ``[17]`` for the image at position 17; None until there
        is one, and for a job that asks about every image alone."""
        answer: str | None = self.raw["answer"]
        return answer

    @property
    def coverage(self) -> dict[str, int]:
        """Number of images by status, and ``submitted`` for all of them."""
        return dict(self.raw["coverage"])

    @property
    def images(self) -> list[dict[str, Any]]:
        """The images: ``position``, ``name``, ``status``, ``error``, ``note``, ``answer``, ..."""
        return list(self.raw["images"])

    @property
    def usage(self) -> dict[str, Any]:
        """``requests``, ``prompt_tokens``, ``completion_tokens``, ``cost``, ``currency``, ..."""
        return dict(self.raw["usage"])

    @property
    def data_error(self) -> str | None:
        """How ``data`` violates the schema; None if it does not."""
        error: str | None = self.raw.get("data_error")
        return error

    @cached_property
    def data(self) -> T | None:
        """The object that answers a question about the set (``ask`` with ``schema``).

        Raises pydantic.ValidationError if the model refuses it, which says more than its schema.
        """
        value = self.raw.get("data")
        return None if value is None else self._parse(value)

    @cached_property
    def answers(self) -> dict[int, T]:
        """Position -> answer, of a question about every image (``each``): an object with a schema,
        else a text. Images without an answer are missing.

        Raises pydantic.ValidationError, as ``data`` does.
        """
        given = {image["position"]: image.get("answer") for image in self.raw["images"]}
        return {at: self._parse(value) for at, value in given.items() if value is not None}

    @cached_property
    def units(self) -> list[Unit[T]]:
        """The units of a job that asks about units (``by``), in order; empty for another job.

        Raises pydantic.ValidationError, as ``data`` does.
        """
        return [self._unit(unit) for unit in self.raw.get("units", [])]

    def _unit(self, given: dict[str, Any]) -> Unit[T]:
        answer = given.get("data", given.get("answer"))
        return Unit(
            name=given["unit"],
            answer=None if answer is None else self._parse(answer),
            coverage=dict(given["coverage"]),
            images=list(given["images"]),
            cost=given["cost"],
            duplicate_of=given["duplicate_of"],
        )

    def _parse(self, value: Any) -> T:
        parsed: T = value
        if self.model is not None:
            parsed = TypeAdapter(self.model).validate_json(json.dumps(value))
        return parsed


def schema_of(model: Any) -> Any:
    """The JSON Schema of a pydantic model, or of what pydantic takes as one (a dataclass, a
    TypedDict, ``list[Model]``); a dict is one already."""
    if model is None or isinstance(model, dict):
        return model
    if isinstance(model, type) and issubclass(model, BaseModel):
        return model.model_json_schema()
    return TypeAdapter(model).json_schema()
