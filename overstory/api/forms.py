"""Submissions as multipart/form-data: the images come in the request itself.

The files go to the store of uploads while they arrive. What is left is the same submission as JSON,
which the route then reads.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException

from clients.uploads import Incoming
from core.errors import WrongUsage
from core.jobs import JobSpec
from core.text.printable import quotable
from overstory.api.bodies import Writers
from overstory.api.caller import known_caller
from overstory.api.uploads import bounded, input_of
from tasks.runtime.services import Services

FORM = "multipart/form-data"
FIELD_BYTES_MAX = 1_000_000
FIELDS_MAX = 100
"""Form fields beside the images."""
HEADER_BYTES_MAX = 8_192
HEADERS_MAX = 16
SHOWN = 60
JSON_FIELDS = ("schema", "prompts")
LIST_FIELDS = ("with",)
"""Names between commas, as on the command line; such a field may also be repeated."""
WHOLE = "job"
IMAGES = ("images", "images[]")
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class FormReader:
    """Reads a form piece by piece. ``begin``: a new upload; ``most``: bytes of a file; ``images``:
    the most of them."""

    def __init__(
        self, boundary: bytes, begin: Callable[[], Incoming], most: int, images: int
    ) -> None:
        self._begin, self._most, self._images_max = begin, most, images
        self._fields: dict[str, Any] = {}
        self._images: list[str] = []
        self._header = bytearray(), bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._name = self._file = ""
        self._text = bytearray()
        self._incoming: Incoming | None = None
        self._write: Callable[[bytes], None] = self._text.extend
        self._is_whole = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._headers.clear,
                    "on_header_field": lambda data, start, end: self._header[0].extend(
                        data[start:end]
                    ),
                    "on_header_value": lambda data, start, end: self._header[1].extend(
                        data[start:end]
                    ),
                    "on_header_end": self._header_ended,
                    "on_headers_finished": self._part_begun,
                    "on_part_data": lambda data, start, end: self._write(data[start:end]),
                    "on_part_end": self._part_ended,
                    "on_end": self._ended,
                },
                max_header_count=HEADERS_MAX,
                max_header_size=HEADER_BYTES_MAX,
            )
        except FormParserError as error:
            raise WrongUsage(f"the form cannot be read: {error}") from None

    def feed(self, data: bytes) -> None:
        """Raises WrongUsage, FileTooLarge, ServiceAway."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise WrongUsage(f"the form cannot be read: {error}") from None

    def finish(self) -> dict[str, Any]:
        """The submission. Raises WrongUsage if the form was cut."""
        if not self._is_whole:
            raise WrongUsage("the form ends before its last boundary: send it again")
        whole = self._fields.pop(WHOLE, {})
        if not isinstance(whole, dict):
            raise WrongUsage(f"{WHOLE}: it must be a JSON object, as in a submission by JSON")
        if twice := sorted(whole.keys() & self._fields.keys()):
            raise WrongUsage(f"{twice[0]}: it is given twice, as a form field and in {WHOLE!r}")
        named = whole.get("images", [])
        images = [*named, *self._images] if isinstance(named, list) else named
        return {**whole, **self._fields, "images": images}

    def abort(self) -> None:
        """Forget the file that is arriving. Those before it are kept for a day."""
        if self._incoming is not None:
            self._incoming.abort()

    # --- what the parser calls

    def _header_ended(self) -> None:
        name, value = (bytes(part) for part in self._header)
        self._headers[name.lower()] = value
        self._header[0].clear()
        self._header[1].clear()

    def _part_begun(self) -> None:
        disposition = self._headers.get(b"content-disposition", b"").decode("latin-1")
        _, options = parse_options_header(disposition)
        self._name, file = _text(options.get(b"name", b"")), options.get(b"filename")
        self._file = "" if file is None else _text(file)
        if self._name not in IMAGES and file is not None:
            raise WrongUsage(
                f"{quotable(self._name, SHOWN)}: a file: send the images as fields called 'images'"
            )
        self._check_count()
        self._text.clear()
        if self._file:
            self._incoming = self._begin()
            self._write = bounded(self._incoming, self._file, self._most)
        else:
            self._write = self._write_text

    def _check_count(self) -> None:
        if self._name in IMAGES and len(self._images) >= self._images_max:
            raise WrongUsage(
                f"images: more than {self._images_max:,}, which is the most of one submission"
                " (OVERSTORY_MAX_INPUTS)"
            )
        if len(self._fields) >= FIELDS_MAX:
            raise WrongUsage(f"the form has more than {FIELDS_MAX} fields beside the images")

    def _write_text(self, data: bytes) -> None:
        self._text.extend(data)
        if len(self._text) > FIELD_BYTES_MAX:
            raise WrongUsage(
                f"{quotable(self._name, SHOWN)}: more than {FIELD_BYTES_MAX:,} bytes: send files as"
                " files, with a file name"
            )

    def _part_ended(self) -> None:
        if self._incoming is not None:
            upload, self._incoming = self._incoming.finish(), None
            self._images.append(input_of(upload.sha256, self._file))
        elif self._text:  # an empty field of a page's form is not filled in
            self._take_field(_text(bytes(self._text)))

    def _take_field(self, text: str) -> None:
        if self._name in IMAGES:
            self._images.append(text)
        elif self._name in LIST_FIELDS:
            self._fields[self._name] = [*self._fields.get(self._name, ()), *text.split(",")]
        elif self._name in self._fields:
            raise WrongUsage(f"{quotable(self._name, SHOWN)}: it is given twice")
        elif self._name in (*JSON_FIELDS, WHOLE):
            try:
                self._fields[self._name] = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise WrongUsage(f"{self._name}: it is not JSON: {error}") from None
        else:
            self._fields[self._name] = text

    def _ended(self) -> None:
        self._is_whole = True


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def form_route(services: Services, writers: Writers) -> type[APIRoute]:
    """A kind of route that also takes its JSON body as a form with files."""

    class FormRoute(APIRoute):
        def get_route_handler(self) -> Handler:
            handle = super().get_route_handler()

            async def handler(request: Request) -> Response:
                kind, options = parse_options_header(request.headers.get("content-type"))
                if kind.decode() != FORM:
                    return await handle(request)
                if b"boundary" not in options:
                    raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, "the form has no boundary")
                spec = await _read(request, options[b"boundary"], services, writers)
                return await handle(_as_json(request, spec))

            return handler

    return FormRoute


async def _read(
    request: Request, boundary: bytes, services: Services, writers: Writers
) -> dict[str, Any]:
    caller, settings = known_caller(request), services.settings
    caller.check_changes()
    reader = FormReader(
        boundary,
        lambda: services.uploads.begin(caller.owner),
        settings.max_file_bytes,
        settings.max_inputs,
    )
    try:
        await writers.pour(request, reader.feed)
        return reader.finish()
    except BaseException:
        reader.abort()
        raise


def _as_json(request: Request, value: dict[str, Any]) -> Request:
    """The same request with ``value`` as its body."""
    body = json.dumps(value).encode()
    dropped = (b"content-type", b"content-length", b"transfer-encoding")
    headers = [header for header in request.scope["headers"] if header[0] not in dropped]
    headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request({**request.scope, "headers": headers}, receive)


def form_body() -> dict[str, Any]:
    """The form of a submission, for the description of the API."""
    fields = JobSpec.model_json_schema(by_alias=True)["properties"]
    binary = {"type": "string", "contentMediaType": "application/octet-stream"}
    objects = {
        name: {"type": "string", "description": "as JSON", "contentMediaType": "application/json"}
        for name in JSON_FIELDS
    }
    lists = {
        name: {"type": "string", "description": "names between commas"} for name in LIST_FIELDS
    }
    whole = "a submission as JSON; other fields add to it"
    properties = {
        "images": {"type": "array", "items": binary, "description": "files; texts are inputs"},
        **{name: field for name, field in fields.items() if name != "images"},
        **objects,
        **lists,
        WHOLE: {"type": "string", "description": whole, "contentMediaType": "application/json"},
    }
    schema = {"type": "object", "required": ["images"], "properties": properties}
    return {"requestBody": {"content": {FORM: {"schema": schema}}}}
