"""preprocess: turn a source into the bytes that will be sent.

Reads: the image row, the file, upload or URL. Does: fetch, decode, normalise. Writes: the blob,
then the row (prepared). May raise ImageRefused (the image fails), ServiceAway (the image waits).
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path

from celery import shared_task

from clients import local_files, uploads
from clients.local_files import AnyPlace
from clients.object_failures import ObjectAway
from clients.sources import location, original
from clients.sources.ahead import Ahead
from clients.sources.documents import Documents, fetch_rules, names_document
from clients.sources.download import fetch
from clients.sources.location import is_url
from clients.sources.refused_rows import check_row
from core import stages
from core.catalog.formulas import STEPFUN_SIZES, SentSizes
from core.catalog.image_tokens import GUESS, ImageTokens, image_tokens_of, most_fetched
from core.catalog.tokens import detail_at
from core.errors import ImageRefused, RefusalCode, RequestForm, ServiceAway
from core.images.objects import is_object
from core.images.uploaded import is_upload, parse_location
from core.outcomes import Done, Outcome, Postpone, Retry, backoff_seconds
from models import endpoint_limits, state
from models.claims import ImageWork
from models.engine import Connection
from models.reads import pipeline
from models.state import Moved, PreparedImage
from tasks.comparing import compare_next
from tasks.image_slices import ImageStage, attempt, run_slice
from tasks.runtime.base import StageTask
from tasks.runtime.services import Services

AWAY_BASE_SECONDS = 5.0
"""Of the waits for a bucket that does not answer: five attempts take a minute or two."""
NO_COPIES = Ahead({})
FIRST_PAGE = re.compile(r"first of .* pages")


@dataclass(frozen=True, slots=True)
class Rules:
    """How a model takes its images: in which sizes and forms, and how it counts them."""

    sizes: SentSizes = STEPFUN_SIZES
    tokens: ImageTokens = GUESS
    forms: frozenset[RequestForm] = frozenset()


def work(services: Services, images: Sequence[ImageWork]) -> list[Outcome[PreparedImage]]:
    """Prepare one image after another, while the disk reads the next file, or a bucket gives the
    next ones. Files that were not in the page cache before are dropped from it again.

    If a service of ours does not answer for one image, the slice ends, and the others are due at
    once: each would wait for the timeouts, and other machines may reach the service.
    """
    outcomes: list[Outcome[PreparedImage]] = []
    ahead = _read_ahead(services, images[0])
    wanted = {image.look: image for image in images}  # two looks may be at two models
    rules = {look: _rules(services, image) for look, image in wanted.items()}
    with _copies(services, images) as copies:
        for image, following in zip_longest(images, images[1:]):
            was_read, ahead = ahead, following is not None and _read_ahead(services, following)
            tried = partial(_tried, services, image, rules[image.look], copies)
            outcomes.append(attempt(services, image, tried))
            if isinstance(last := outcomes[-1], Postpone):
                return outcomes + [Postpone(0.0, last.reason)] * (len(images) - len(outcomes))
            place = original.on_disk(image.location, image.root, services.uploads)
            is_last = following is None or following.location != image.location
            if was_read and is_last and place is not None:
                local_files.let_go(place)
    return outcomes


def _copies(services: Services, images: Sequence[ImageWork]) -> Ahead:
    """The objects among the images, without the pages of documents."""
    most = services.settings.max_file_bytes
    objects = [image for image in images if image.page is None and is_object(image.location)]
    return Ahead({image.id: partial(_save, image, most) for image in objects})


def _save(image: ImageWork, most: int, path: Path) -> None:
    original.save(image.location, image.root, path, most, image.version)


def _read_ahead(services: Services, image: ImageWork) -> bool:
    """Start reading the image's file. True if it was not in the page cache."""
    place = original.on_disk(image.location, image.root, services.uploads)
    return place is not None and local_files.read_ahead(place)


def _rules(services: Services, image: ImageWork) -> Rules:
    with services.database.read() as connection:
        learned = endpoint_limits.learned(connection, image.endpoint, image.model)
    facts = services.settings.facts_of(image.model)
    return Rules(facts.sizes, image_tokens_of(facts, learned.image_tokens), learned.forms)


def _tried(
    services: Services, image: ImageWork, rules: Rules, copies: Ahead
) -> Outcome[PreparedImage]:
    """A bucket that does not answer costs an attempt, unlike a service of ours: it may be gone for
    good."""
    try:
        return prepared_image(services, image, rules, copies)
    except ObjectAway as away:
        return Retry(
            backoff_seconds(image.attempts, services.draw(), base=AWAY_BASE_SECONDS), str(away)
        )


def prepared_image(
    services: Services, image: ImageWork, rules: Rules, copies: Ahead
) -> Outcome[PreparedImage]:
    """An endpoint that fetches no URL gets the bytes."""
    detail = detail_at(image.detail)
    if is_url(image.location) and _is_fetched_there(image, rules.forms):
        return Done(passed_through(image, most_fetched(rules.tokens, detail)))
    limits = services.settings.image_limits
    with (
        local_file(services, image, copies) as place,
        local_files.opened(place, limits.max_file_bytes) as (file, size),
    ):
        prepared = services.decoder.prepare(
            file,
            size,
            detail=detail,
            limits=limits,
            sizes=rules.sizes,
            page=image.page,
            accelerator=services.settings.accelerator,
            no_webp=RequestForm.JPEG in rules.forms,
            compares=image.options.similar,
            still_wanted=partial(_is_wanted, services, image.job_id),
        )
    check_name(image.location, prepared.source_sha256)
    services.blobs.put(prepared.sha256, prepared.data)
    return Done(
        PreparedImage(
            sha256=prepared.sha256,
            source_sha256=prepared.source_sha256,
            mime=prepared.mime,
            width=prepared.width,
            height=prepared.height,
            prepared_bytes=len(prepared.data),
            tokens=rules.tokens.of(prepared.width, prepared.height, detail),
            remarks="; ".join(remarks_of(image, prepared.remarks)) or None,
            facts={**prepared.facts, **(image.facts or {})} or None,
            likeness=None if prepared.likeness is None else prepared.likeness.to_json(),
        )
    )


def check_name(location: str, sha256: str) -> None:
    """Raises ImageRefused for an upload whose bytes are not those of its name: it came by a
    presigned PUT, which nobody has checked. ``sha256``: of the bytes."""
    if is_upload(location) and parse_location(location)[1] != sha256:
        raise ImageRefused(
            RefusalCode.CORRUPT,
            f"the uploaded bytes have the hash {sha256[:12]}..., not that of their name: upload the"
            " file again under its own hash",
        )


def _is_fetched_there(image: ImageWork, forms: frozenset[RequestForm]) -> bool:
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


def passed_through(image: ImageWork, tokens: int) -> PreparedImage:
    """A URL that the provider fetches: hashed by its address, counted at the largest size."""
    return PreparedImage(
        sha256=hashlib.sha256(image.location.encode()).hexdigest(),
        source_sha256=None,
        mime="",
        width=None,
        height=None,
        prepared_bytes=0,
        tokens=tokens,
        remarks="fetched by the provider",
        facts=image.facts,
    )


@contextlib.contextmanager
def local_file(
    services: Services, image: ImageWork, copies: Ahead = NO_COPIES
) -> Iterator[AnyPlace]:
    """The image's file, of a bucket one of ``copies``. A downloaded image is deleted after the
    block; a document is kept for its other pages."""
    settings = services.settings
    check_row(image.location)
    if is_upload(image.location):
        with _uploaded_file(services, image) as path:
            yield path
    elif image.id in copies:
        with copies.file(image.id) as path:
            yield path
    elif original.is_kept_apart(image.location):
        with _copied_file(services, image) as path:
            yield path
    elif not is_url(image.location):
        yield location.place_of(image.location, image.root, settings.private_folders)
    elif image.page is not None:
        yield Documents.of(settings, services.decoder).copy(image.location)
    else:
        with tempfile.TemporaryDirectory(prefix="overstory-") as folder:
            yield fetch(image.location, into=Path(folder), rules=fetch_rules(settings))


@contextlib.contextmanager
def _uploaded_file(services: Services, image: ImageWork) -> Iterator[Path]:
    """The upload. A document of a bucket is copied once for all its pages."""
    settings, store = services.settings, services.uploads
    owner, sha256 = parse_location(image.location)
    most = settings.max_file_bytes
    if image.page is not None and store.path(owner, sha256) is None:
        documents = Documents.of(settings, services.decoder)
        yield documents.copy(image.location, partial(store.save, owner, sha256, max_bytes=most))
    else:
        with uploads.local(store, owner, sha256, most) as path:
            yield path


@contextlib.contextmanager
def _copied_file(services: Services, image: ImageWork) -> Iterator[Path]:
    """A file of an archive, or a page in a bucket. A document is copied once for all its pages."""
    settings, where = services.settings, (image.location, image.root)
    if image.page is not None:
        documents = Documents.of(settings, services.decoder)
        yield documents.kept_apart(*where, image.version)
    else:
        most, private = settings.max_file_bytes, settings.private_folders
        with original.copied(*where, most, image.version, private) as path:
            yield path


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


STAGE = ImageStage(stages.PREPROCESS, work, record, shares=True, after=compare_next)


@shared_task(name=stages.PREPROCESS.task, base=StageTask, bind=True)  # type: ignore[untyped-decorator]
def preprocess(self: StageTask, **shown: object) -> str:
    """The message says only that images may be due. The claim decides which."""
    return run_slice(self.services, STAGE)
