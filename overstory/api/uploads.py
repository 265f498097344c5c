"""Images that are sent to the service: which are here already, and where to send the others."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from clients.uploads import Incoming
from core.images.uploaded import SCHEME, clean_name
from core.text.printable import quotable
from overstory.api.bodies import Writers
from overstory.api.caller import Caller, Calling
from overstory.api.problems import FileTooLarge, Problem
from tasks.runtime.services import Services

FILES_MAX = 5_000
"""In one question: a bucket takes a request for each."""
SIGNED_SECONDS = 3_600.0
"""How long a URL of the bucket takes its file."""
NAME_SHOWN = 80
SHA256 = r"^[0-9a-f]{64}$"
NAME_CHARACTERS_MAX = 2_000


class Announced(BaseModel):
    """A file of the client. ``name``: what people see of it, perhaps with folders."""

    model_config = ConfigDict(extra="forbid")
    sha256: Annotated[str, Field(pattern=SHA256)]
    bytes: Annotated[int, Field(ge=0)] | None = None
    name: Annotated[str, Field(max_length=NAME_CHARACTERS_MAX)] = ""


class Announcement(BaseModel):
    """``direct``: false if the files shall go through the service, also where it keeps them in a
    bucket: a browser may be kept from the bucket, or a network."""

    model_config = ConfigDict(extra="forbid")
    files: Annotated[
        list[Announced],
        Field(
            min_length=1,
            max_length=FILES_MAX,
            description="each with `sha256`, and better with `bytes` and `name`",
        ),
    ]
    direct: Annotated[bool, Field(description="false: no URL of a bucket")] = True


class Put(BaseModel):
    """Where to PUT a file. A URL that begins with a slash is of this service, and needs its
    token."""

    url: str
    headers: dict[str, str]


class Place(BaseModel):
    """``input``: what names the file among the images of a job. ``put``: null if it is here."""

    input: str
    present: bool
    put: Put | None


class Places(BaseModel):
    files: list[Place]


class Sent(BaseModel):
    """A file that arrived. ``input``: what names it among the images of a job."""

    input: str
    sha256: str
    bytes: int


class Uploading:
    """``/api/uploads``."""

    def __init__(self, services: Services, writers: Writers) -> None:
        self._settings = services.settings
        self._uploads = services.uploads
        self._writers = writers

    def router(self) -> APIRouter:
        problems = {status: {"model": Problem} for status in (403, 408, 413, 422, 503)}
        routes = APIRouter(prefix="/api/uploads", tags=["uploads"], responses=problems)  # type: ignore[arg-type]
        routes.post("")(self.places)
        body = {"content": {"application/octet-stream": {"schema": {"format": "binary"}}}}
        extra = {"requestBody": body | {"required": True}}
        routes.put("/{sha256}", status_code=HTTPStatus.CREATED, openapi_extra=extra)(self.put)
        return routes

    def places(self, given: Announcement, caller: Calling) -> Places:
        """Ask which files are here already, and where to PUT the others.

        After a cut, ask again: only what is missing is sent. `input` of the answer is the image of
        a submission, which has to follow within a day.
        """
        caller.check_changes()
        for file in given.files:
            check_size(file.bytes or 0, file.name, self._settings.max_file_bytes)
        keys = [(caller.owner, file.sha256) for file in given.files]
        sizes = self._uploads.sizes(list(dict.fromkeys(keys)))
        return Places(
            files=[
                self._place(file, caller, sizes.get(key), given.direct)
                for file, key in zip(given.files, keys, strict=True)
            ]
        )

    def _place(self, file: Announced, caller: Caller, size: int | None, direct: bool) -> Place:
        """A file of another size than announced is sent again: it came by a presigned PUT, and was
        cut or mistaken."""
        is_here = size is not None and file.bytes in (None, size)
        named = input_of(file.sha256, file.name)
        return Place(
            input=named, present=is_here, put=None if is_here else self._put(file, caller, direct)
        )

    def _put(self, file: Announced, caller: Caller, direct: bool) -> Put:
        signed = None
        if direct:
            signed = self._uploads.signed_put(caller.owner, file.sha256, SIGNED_SECONDS)
        if signed is not None:
            return Put(url=signed, headers={})
        return Put(
            url=f"/api/uploads/{file.sha256}", headers={"Content-Type": "application/octet-stream"}
        )

    async def put(
        self,
        request: Request,
        response: Response,
        caller: Calling,
        sha256: Annotated[str, Path(pattern=SHA256)],
        name: Annotated[str, Query(max_length=NAME_CHARACTERS_MAX)] = "",
    ) -> Sent:
        """Send a file as it is. `sha256` is the hash of its bytes, `name` what people see.

        201: it is new; 200: it was here. 422: other bytes arrived, and nothing is kept.
        """
        caller.check_changes()
        most = self._settings.max_file_bytes
        length = request.headers.get("content-length", "0")
        check_size(int(length) if length.isdecimal() else 0, name, most)
        incoming = await self._writers.run(self._uploads.begin, caller.owner)
        try:
            write = bounded(incoming, name, most)
            await self._writers.pour(request, write)
            upload = await self._writers.run(incoming.finish, sha256)
        except BaseException:
            incoming.abort()
            raise
        if not upload.fresh:
            response.status_code = HTTPStatus.OK
        named = input_of(sha256, name)
        return Sent(input=named, sha256=sha256, bytes=upload.bytes)


def bounded(incoming: Incoming, name: str, most: int) -> Callable[[bytes], None]:
    """Writes to ``incoming``, and raises FileTooLarge above ``most`` bytes."""

    def write(data: bytes) -> None:
        check_size(incoming.bytes + len(data), name, most)
        incoming.write(data)

    return write


def check_size(size: int, name: str, most: int) -> None:
    """Raises FileTooLarge above ``most`` bytes."""
    if size > most:
        raise FileTooLarge(
            f"{quotable(clean_name(name), NAME_SHOWN)!r} has more than {most:,} bytes, which is the"
            " most for a file (OVERSTORY_MAX_FILE_BYTES)"
        )


def input_of(sha256: str, name: str) -> str:
    """An upload as an image of the caller's submission."""
    return f"{SCHEME}{sha256}/{clean_name(name)}"
