"""The form of a job's result, for the description of the API. Nothing is checked by it: what a
route returns is what ``overstory show --json`` prints."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from core.states import JobStatus


class UnitOutcome(BaseModel):
    """A unit of a job with `by`. `answer`: a text; `data`, in a job with a schema: an object; null
    where there is none. `coverage`: number of its images by status, and `submitted`. `images`:
    their positions. `duplicate_of`: the index, from 1, of an earlier unit with the same images.
    `cost`: of its calls, and its share of calls about several units."""

    unit: str
    answer: str | None = None
    data: Any = None
    coverage: dict[str, int]
    duplicate_of: int | None
    images: list[int]
    cost: float


class Outcome(BaseModel):
    """A job's result. `by` and `units` are there in a job by units; `data` and `data_error` where
    the answer is one object; `totals` where there is an object for each image or unit."""

    model_config = ConfigDict(extra="allow")

    job: str
    status: JobStatus
    answer: str | None
    reason: str | None
    coverage: dict[str, int]
    seen: dict[str, int]
    looks: dict[str, int]
    by: str | None = None
    units: list[UnitOutcome] | None = None
    data: Any = None
    data_error: str | None = None
    totals: dict[str, Any] | None = None
    images: list[dict[str, Any]]
    tree: dict[str, int]
    usage: dict[str, Any]
    follows: str | None
    budget: float | None
    model: str
    pack: int | None
    endpoint: str
    sandbox: bool
