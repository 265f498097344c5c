"""The page in the browser: two documents, and static files that they load. Nothing else is loaded.

Every figure comes from the API, so the documents are the same for everybody and hold no secret.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from http import HTTPStatus
from importlib import resources
from typing import Annotated, Any, get_args

from fastapi import APIRouter, Header, Response

from core.catalog.tokens import JobDetail
from core.images.formats import IMAGE_ENDINGS
from core.settings import SANDBOX, Settings
from overstory import __version__
from overstory.api.answers import answers
from overstory.api.caller import Calling
from overstory.api.folders import folders
from overstory.api.pictures import pictures
from overstory.api.problems import NotFound
from overstory.api.progress import progress_routes
from overstory.report.page import parts_of_report
from tasks.runtime.services import Services

POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self';"
    " img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types overstory"
)
"""What a browser may do for the page. No text of a model or of a person can become a script."""
MEDIA_TYPES = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
_PLACE = re.compile(r"@@(\w+)@@")


@dataclass(frozen=True, slots=True)
class File:
    """A static file; its ``tag`` changes with its content."""

    content: bytes
    media_type: str
    tag: str


def page_routes(services: Services) -> APIRouter:
    """The page, and the parts of the API that were made for it."""
    routes = APIRouter()
    for part in (answers, folders, pictures, progress_routes):
        routes.include_router(part(services))
    files = static_files()
    documents = {name: _document(name) for name in ("new.html", "job.html")}

    @routes.get("/", include_in_schema=False)
    def new(if_none_match: Annotated[str, Header()] = "") -> Response:
        return _sent(documents["new.html"], if_none_match)

    @routes.get("/jobs/{job}", include_in_schema=False)
    def job(job: str, if_none_match: Annotated[str, Header()] = "") -> Response:
        return _sent(documents["job.html"], if_none_match)

    @routes.get("/static/{name}", include_in_schema=False)
    def file(name: str, if_none_match: Annotated[str, Header()] = "") -> Response:
        if name not in files:
            raise NotFound(f"there is no file {name!r}")
        return _sent(files[name], if_none_match)

    @routes.get("/api/choices", tags=["service"])
    def choices(caller: Calling) -> dict[str, Any]:
        """What a job may choose here: details, folders, file endings and limits."""
        return choices_of(services.settings)

    return routes


def choices_of(settings: Settings) -> dict[str, Any]:
    known = settings.find_price(settings.model)
    return {
        "version": __version__,
        "model": settings.model,
        "sandbox": settings.endpoint == SANDBOX,
        "priced": known is not None,
        "currency": settings.price_of(settings.model).currency,
        "details": [*get_args(JobDetail)],
        "detail": settings.detail,
        "budget": settings.budget,
        "folders": bool(settings.submitted_inputs.folders),
        "endings": sorted(IMAGE_ENDINGS),
        "max_inputs": settings.max_inputs,
        "max_file_bytes": settings.max_file_bytes,
    }


def static_files() -> dict[str, File]:
    """By name: the page's own files, and the report's style and modules, which it shares."""
    found = {}
    shared = [resources.files("overstory.report") / "report.css"]
    for package in ("overstory.report.script", "overstory.api.page"):
        shared += resources.files(package).iterdir()
    for entry in shared:
        ending = entry.name.rpartition(".")[2]
        if ending in MEDIA_TYPES:
            found[entry.name] = _file(entry.read_bytes(), MEDIA_TYPES[ending])
    return found


def _document(name: str) -> File:
    """A document, with the parts of a report where it has a place for them."""
    parts = {name.upper(): _text(f"{name}.html") for name in ("head", "top", "end")}
    parts |= parts_of_report()
    return _file(_PLACE.sub(lambda place: parts[place[1]], _text(name)).encode(), "text/html")


def _text(name: str) -> str:
    return (resources.files("overstory.api.page") / name).read_text("utf-8")


def _file(content: bytes, media_type: str) -> File:
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return File(content, f"{media_type}; charset=utf-8", tag)


def _sent(file: File, if_none_match: str) -> Response:
    headers = {
        "ETag": file.tag,
        "Cache-Control": "no-cache",  # asked for each time: a new version is used at once
        "Content-Security-Policy": POLICY,
    }
    if if_none_match == file.tag:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)
