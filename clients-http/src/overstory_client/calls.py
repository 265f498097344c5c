"""The requests of the API as values: what is sent, and how the reply is read. Nothing is sent here.

Both clients send the same calls, so a route is described once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx2
from pydantic import BaseModel, TypeAdapter

from overstory_client.values import Changed, Result, Share, Status, Submitted, schema_of

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """``repeatable``: doing it twice is like doing it once, so it is sent again after a cut."""

    method: str
    path: str
    parse: Callable[[httpx2.Response], T]
    json: Any = None
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True


def _as(kind: Any) -> Callable[[httpx2.Response], Any]:
    """Reads the body as ``kind``, a model or a type. Raises ValueError."""
    return lambda response: TypeAdapter(kind).validate_json(response.content)


def id_of(job: str | BaseModel) -> str:
    """The id of a job that is given by it, or by what a method has returned."""
    return str(getattr(job, "job", job))


def _path(job: str | BaseModel, rest: str = "") -> str:
    return f"/api/jobs/{quote(id_of(job), safe='')}{rest}"


def spec_of(images: Sequence[str], options: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a submission; options that are None are left out. ``with_`` is ``with``, which no
    keyword can be called."""
    given = {name.rstrip("_"): value for name, value in options.items() if value is not None}
    if "schema" in given:
        given["schema"] = schema_of(given["schema"])
    return {"images": list(images), **given}


def submit(spec: Mapping[str, Any]) -> Call[Submitted]:
    return Call("POST", "/api/jobs", _as(Submitted), json=spec)


def estimate(spec: Mapping[str, Any]) -> Call[dict[str, Any]]:
    return Call("POST", "/api/estimate", _as(dict[str, Any]), json=spec)


def jobs(status: Sequence[str], label: str | None, limit: int) -> Call[list[dict[str, Any]]]:
    params: dict[str, Any] = {"status": list(status), "limit": limit}
    if label is not None:
        params["label"] = label
    return Call("GET", "/api/jobs", _as(list[dict[str, Any]]), params=params)


def status(job: str | BaseModel) -> Call[Status]:
    return Call("GET", _path(job, "/status"), _as(Status))


def show(job: str | BaseModel) -> Call[dict[str, Any]]:
    return Call("GET", _path(job), _as(dict[str, Any]))


def result(job: str | BaseModel, model: Any) -> Call[Result[Any]]:
    read = _as(dict[str, Any])
    return Call("GET", _path(job), lambda response: Result(read(response), model))


def images(job: str | BaseModel, status: Sequence[str], unseen: bool) -> Call[list[dict[str, Any]]]:
    params = {"status": list(status), "unseen": unseen}
    return Call("GET", _path(job, "/images"), _as(list[dict[str, Any]]), params=params)


def events(job: str | BaseModel, after: int) -> Call[None]:
    headers = {"Last-Event-ID": str(after), "Accept": "text/event-stream"}
    return Call("GET", _path(job, "/events"), lambda _: None, headers=headers)


def report(job: str | BaseModel) -> Call[bytes]:
    return Call("GET", _path(job, "/report"), lambda response: response.content)


def export(job: str | BaseModel, kind: str, rows: str | None) -> Call[bytes]:
    params = {"format": kind} | ({} if rows is None else {"rows": rows})
    return Call("GET", _path(job, "/export"), lambda response: response.content, params=params)


def cancel(job: str | BaseModel) -> Call[Changed]:
    return Call("POST", _path(job, "/cancel"), _as(Changed))


def pause(job: str | BaseModel) -> Call[Changed]:
    return Call("POST", _path(job, "/pause"), _as(Changed))


def resume(job: str | BaseModel, budget: float | None) -> Call[Changed]:
    given = {} if budget is None else {"budget": budget}
    return Call("POST", _path(job, "/resume"), _as(Changed), json=given)


def retry(job: str | BaseModel) -> Call[Changed]:
    """Not sent again after a cut: it may have been done, and then the job is refused as running."""
    return Call("POST", _path(job, "/retry"), _as(Changed), repeatable=False)


def ask(
    job: str | BaseModel,
    question: str,
    images: Sequence[int],
    pack: int | None,
    budget: float | None,
) -> Call[Submitted]:
    """The service does not ask the same question twice in a row, so it may be sent again."""
    given = {"question": question, "images": list(images), "pack": pack, "budget": budget}
    given = {name: value for name, value in given.items() if value is not None}
    return Call("POST", _path(job, "/ask"), _as(Submitted), json=given)


def share(job: str | BaseModel, days: int) -> Call[Share]:
    """Not sent again after a cut: each time makes a link of its own."""
    return Call("POST", _path(job, "/share"), _as(Share), json={"days": days}, repeatable=False)


class Put(BaseModel):
    """Where an upload is sent. A ``url`` that begins with a slash is of the service; another one is
    of its bucket and signed."""

    url: str
    headers: dict[str, str] = {}


class Wanted(BaseModel):
    """An upload as an ``input`` of a job; ``put``: None if it is there."""

    input: str
    present: bool
    put: Put | None = None


class _WantedList(BaseModel):
    files: list[Wanted]


def uploads(files: Sequence[Mapping[str, Any]]) -> Call[list[Wanted]]:
    """Which of ``files`` (``sha256``, ``bytes``, ``name``) the service has, and what they are
    called in a submission."""
    return Call(
        "POST",
        "/api/uploads",
        lambda response: _WantedList.model_validate_json(response.content).files,
        json={"files": list(files)},
    )
