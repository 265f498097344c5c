"""preprocess: turn a source into the bytes that will be sent.

Reads: the image row, the file or URL. Does: fetch, decode, normalise. Writes: the blob, then the
row (prepared). May raise ImageRefused (the image fails), ServiceAway (the image waits).
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import tempfile
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from itertools import zip_longest
from pathlib import Path

from celery import shared_task

from clients import local_files
from clients.local_files import AnyPlace
from clients.sources import location
from clients.sources.documents import Documents, fetch_rules, names_document
from clients.sources.download import fetch
from clients.sources.location import is_url
from core import stages
from core.catalog.tokens import Detail, detail_at, image_tokens
from core.errors import RequestForm, ServiceAway
from core.outcomes import Done, Outcome
from core.tree.capacity import expected_tokens
from models import state
from models.claims import ImageWork
from models.endpoint_limits import forms_of
from models.engine import Connection
from models.reads import pipeline
from models.state import Moved, PreparedImage
from tasks.image_slices import ImageStage, attempt, run_slice
from tasks.runtime.base import StageTask
from tasks.runtime.services import Services

FIRST_PAGE = re.compile(r"first of .* pages")


def work(services: Services, images: Sequence[ImageWork]) -> list[Outcome[PreparedImage]]:
    """Prepare one image after another, while the disk reads the next file. Files that were not in
    the page cache before are dropped from it again."""
    outcomes = []
    with services.database.read() as connection:
        forms = forms_of(connection, images[0].job_id)
    ahead = _read_ahead(images[0])
    for image, following in zip_longest(images, images[1:]):
        was_read, ahead = ahead, following is not None and _read_ahead(following)
        outcomes.append(attempt(services, image, partial(prepared_image, services, image, forms)))
        if was_read and (following is None or following.location != image.location):
            local_files.let_go(location.place_of(image.location, image.root))
    return outcomes


def _read_ahead(image: ImageWork) -> bool:
    """Start reading the image's file. True if it was not in the page cache."""
    return not is_url(image.location) and local_files.read_ahead(
        location.place_of(image.location, image.root)
    )


def prepared_image(
    services: Services, image: ImageWork, forms: Collection[RequestForm] = ()
) -> Outcome[PreparedImage]:
    """``forms``: how the job's endpoint takes requests. One that fetches no URL gets the bytes."""
    detail = detail_at(image.detail)
    if is_url(image.location) and _is_fetched_there(image, forms):
        return Done(passed_through(image.location, detail))
    limits = services.settings.image_limits
    with (
        local_file(services, image) as place,
        local_files.opened(place, limits.max_file_bytes) as (file, size),
    ):
        prepared = services.decoder.prepare(
            file,
            size,
            detail=detail,
            limits=limits,
            page=image.page,
            accelerator=services.settings.accelerator,
            no_webp=RequestForm.JPEG in forms,
            still_wanted=partial(_is_wanted, services, image.job_id),
        )
    services.blobs.put(prepared.sha256, prepared.data)
    return Done(
        PreparedImage(
            sha256=prepared.sha256,
            source_sha256=prepared.source_sha256,
            mime=prepared.mime,
            width=prepared.width,
            height=prepared.height,
            prepared_bytes=len(prepared.data),
            tokens=image_tokens(prepared.width, prepared.height, detail),
            remarks="; ".join(remarks_of(image, prepared.remarks)) or None,
        )
    )


def _is_fetched_there(image: ImageWork, forms: Collection[RequestForm]) -> bool:
    """Whether the provider fetches the image's URL. It draws no pages of documents."""
    is_document = image.page is not None or names_document(image.location)
    return not (image.options.fetch or RequestForm.INLINE in forms or is_document)


def remarks_of(image: ImageWork, remarks: Sequence[str]) -> list[str]:
    """If the pages of a document behind a URL were not counted when the job was planned, only its
    first page is in the job."""
    told = list(remarks)
    if is_url(image.location) and any(FIRST_PAGE.match(remark) for remark in remarks):
        told.append("to ask about all pages, download the document and give the file")
    return told


def _is_wanted(services: Services, job_id: str) -> bool:
    """Whether the job has not ended; also while the database does not tell."""
    with contextlib.suppress(ServiceAway), services.database.read() as connection:
        status = pipeline.job_status(connection, job_id)
        return status is not None and not status.ended
    return True


def passed_through(url: str, detail: Detail) -> PreparedImage:
    """A URL that the provider fetches: hashed by its address, counted at the largest size."""
    return PreparedImage(
        sha256=hashlib.sha256(url.encode()).hexdigest(),
        source_sha256=None,
        mime="",
        width=None,
        height=None,
        prepared_bytes=0,
        tokens=expected_tokens(detail),
        remarks="fetched by the provider",
    )


@contextlib.contextmanager
def local_file(services: Services, image: ImageWork) -> Iterator[AnyPlace]:
    """The image's file. A downloaded image is deleted after the block; a document is kept for its
    other pages."""
    settings = services.settings
    if not is_url(image.location):
        yield location.place_of(image.location, image.root, settings.private_folders)
    elif image.page is not None:
        yield Documents.of(settings, services.decoder).copy(image.location)
    else:
        with tempfile.TemporaryDirectory(prefix="overstory-") as folder:
            yield fetch(image.location, into=Path(folder), rules=fetch_rules(settings))


def record(
    connection: Connection,
    services: Services,
    done: Sequence[tuple[ImageWork, PreparedImage]],
    token: str,
    moved: Moved,
) -> None:
    state.images_prepared(
        connection, token, {image.id: prepared for image, prepared in done}, moved
    )


STAGE = ImageStage(stages.PREPROCESS, work, record, shares=True)


@shared_task(name=stages.PREPROCESS.task, base=StageTask, bind=True)  # type: ignore[untyped-decorator]
def preprocess(self: StageTask, **shown: object) -> str:
    """The message says only that images may be due. The claim decides which."""
    return run_slice(self.services, STAGE)
