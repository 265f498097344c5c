"""What a claim gives: images or a node as a stage needs them, and the lease on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    and_,
)

from core.job_options import JobOptions
from core.states import JobStatus
from models.tables import Job


@dataclass(frozen=True, slots=True)
class ImageWork:
    """A claimed image, as a stage needs it."""

    id: int
    job_id: str
    position: int
    name: str
    location: str
    page: int | None
    root: str | None
    version: str | None
    sha256: str | None
    mime: str | None
    prepared_bytes: int | None
    attempts: int
    look: int
    endpoint: str
    model: str
    detail: str
    options: JobOptions
    facts: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class NodeWork:
    """A node to ask, as a stage needs it."""

    id: int
    job_id: str
    parent_id: int | None
    kind: str
    level: int
    first_position: int
    last_position: int
    tokens: int
    attempts: int
    look: int
    ask: str
    model: str
    provider: str
    endpoint: str
    detail: str
    options: JobOptions
    started_at: float | None
    owner: str | None
    unit: int | None = None  # its number, where the node is about a part of one unit alone


@dataclass(frozen=True, slots=True)
class Claimed:
    """A slice of one job; ``due``: images that waited, with these, counted a little beyond them."""

    images: list[ImageWork]
    due: int


@dataclass(frozen=True, slots=True)
class Lease:
    """A claim's token and its length in seconds. Only the token's holder may record results."""

    token: str
    seconds: float


def served_by(account: str | BindParameter[str]) -> ColumnElement[bool]:
    return and_(Job.status == JobStatus.RUNNING, Job.account == account)


def model_at(look: int, model: str, options: JobOptions) -> str:
    """The model of a job's first or second look."""
    return (options.second_model if look > 1 else None) or model
