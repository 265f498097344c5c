"""Small pictures of a job's images, one at a time, for pages of the service."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import Annotated

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Header, Query, Response

from models.engine import Database
from models.reads import inspect
from models.reads.inspect import ImageLine
from overstory.api.caller import Caller, Calling, find_job
from overstory.api.problems import PROBLEMS, NotFound, TooBusy
from overstory.report.pictures import THREADS, PictureSize, picture
from tasks.runtime.services import Services

SIZES = (PictureSize(144, 60), PictureSize(400, 66), PictureSize(1024, 74), PictureSize(1600, 78))
"""Few sizes, so that browsers share what they keep."""
WAITING_MAX = 300
"""Pictures that wait to be drawn. A page asks for those near its window, six at a time."""
KEPT_SECONDS = 3_600


def size_of(side: int) -> PictureSize:
    """The least size that is at least ``side`` pixels, or the largest."""
    return next((size for size in SIZES if size.side >= side), SIZES[-1])


def pictures(services: Services) -> APIRouter:
    routes = APIRouter(prefix="/api/jobs", tags=["jobs"], responses=PROBLEMS)
    drawing = CapacityLimiter(THREADS)

    @routes.get("/{job}/images/{position}/picture", response_class=Response)
    async def shown(
        job: str,
        position: int,
        caller: Calling,
        side: Annotated[int, Query(ge=1, le=1600)] = 400,
        if_none_match: Annotated[str, Header()] = "",
    ) -> Response:
        """A JPEG of one image as it was sent, of at least `side` pixels if it has so many. 404: its
        content is not stored (any more)."""
        if drawing.statistics().tasks_waiting >= WAITING_MAX:
            raise TooBusy("too many pictures are asked for at once: try again in a few seconds")
        size = size_of(side)
        work = partial(_drawn, services, job, position, caller, size, if_none_match)
        return await to_thread.run_sync(work, limiter=drawing)

    return routes


def _drawn(
    services: Services, job: str, position: int, caller: Caller, size: PictureSize, known: str
) -> Response:
    row = find_job(services.database, job, caller)
    image = _pictured(services.database, row.id, position)
    tag = f'"{image.sha256}-{size.side}"'
    headers = {"ETag": tag, "Cache-Control": f"private, max-age={KEPT_SECONDS}"}
    if known == tag:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    settings = services.settings
    data = picture(
        image, services.blobs, services.uploads, settings.image_limits, services.decoder, size
    )
    if data is None:
        raise _none(position)
    return Response(data, media_type="image/jpeg", headers=headers)


def _pictured(database: Database, job: str, position: int) -> ImageLine:
    """The image at ``position``; for a duplicate, the one that it is a copy of."""
    with database.read() as connection:
        image = inspect.image(connection, job, position)
        if image is not None and image.duplicate_of is not None:
            image = inspect.image(connection, job, image.duplicate_of)
    if image is None or not image.sha256 or not image.prepared_bytes:
        raise _none(position)
    return image


def _none(position: int) -> NotFound:
    return NotFound(f"no picture of image {position} is stored")
