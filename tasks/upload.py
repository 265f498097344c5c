"""upload: prepared bytes become something a request can refer to.

Reads: the image row, its blob. Does: one upload per distinct content, or nothing where images go
inline or the provider fetches the URL itself. Writes: the files row, then the image (uploaded),
which counts its leaf down. May raise ServiceAway (the image waits).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from celery import shared_task

from core.errors import (
    AccountPaused,
    FileStoreFull,
    KeyRefused,
    ProviderDown,
    RefusalCode,
    RequestRefused,
    SlowDown,
)
from core.outcomes import Done, Outcome, Postpone, Reject, Retry, Stop, backoff_seconds
from core.states import ImageStatus
from models import filestore, state
from models.claims import ImageWork, Lease
from models.engine import Connection
from models.filestore import Claim
from models.state import Moved
from tasks.account import pause_account
from tasks.base import StageTask
from tasks.files import FILE_PREFIX, delete_files
from tasks.pipeline import ImageStage, attempt, run_slice
from tasks.services import Services

BUSY_SECONDS = 1.0
ROOM_SECONDS = 2.0
SLOW_SECONDS = 5.0
EVICTED_AT_ONCE = 16
"""Files deleted when there is no room: a few at a time, so that others find room too."""


@dataclass(frozen=True, slots=True)
class Uploaded:
    """``file_id`` is a new file's; None where the content was there or goes inline."""

    file_id: str | None = None


def work(services: Services, images: Sequence[ImageWork]) -> list[Outcome[Uploaded]]:
    """Claim the slice's contents together, then upload those that are this worker's to upload."""
    lease = services.new_lease()
    claimed = claim_contents(services, images, lease)
    outcomes = []
    for image in images:
        claim = claimed.get(image.sha256 or "", Claim.STORED)
        outcomes.append(attempt(services, image, partial(upload_one, services, image, claim)))
        if claim is Claim.MINE:  # a second image of the same content finds it stored
            there = isinstance(outcomes[-1], Done)
            claimed[image.sha256 or ""] = Claim.STORED if there else Claim.BUSY
    give_back(services, images, outcomes, lease.token)
    return outcomes


def claim_contents(
    services: Services, images: Sequence[ImageWork], lease: Lease
) -> dict[str, Claim]:
    """What to do about each distinct content; empty where there is no file store."""
    if not services.profile.file_store:
        return {}
    sizes = {image.sha256 or "": image.prepared_bytes for image in images if image.prepared_bytes}
    with services.database.write() as connection:
        return filestore.claim_all(
            connection, services.account, sizes, lease, services.settings.files_max
        )


def upload_one(services: Services, image: ImageWork, claim: Claim) -> Outcome[Uploaded]:
    match claim:
        case Claim.STORED:
            return Done(Uploaded())
        case Claim.BUSY:
            return Postpone(BUSY_SECONDS, "another worker is uploading the same content")
        case Claim.FULL:
            return make_room(services, image)
        case Claim.MINE:
            return _sent(services, image, image.sha256 or "")


def give_back(
    services: Services,
    images: Sequence[ImageWork],
    outcomes: Sequence[Outcome[Uploaded]],
    token: str,
) -> None:
    """Free the places of contents that were claimed and not uploaded."""
    failed = {
        image.sha256 or ""
        for image, outcome in zip(images, outcomes, strict=True)
        if not isinstance(outcome, Done)
    }
    if failed and services.profile.file_store:
        with services.database.write() as connection:
            filestore.abandoned(connection, services.account, failed, token)


def make_room(services: Services, image: ImageWork) -> Outcome[Uploaded]:
    """Delete what has not been used for longest and nobody waits for; where everything is waited
    for, the last leaf gives way. Then it is worth trying again."""
    with services.database.write() as connection:
        files = filestore.evict(connection, services.account, EVICTED_AT_ONCE)
        if not files and state.unpin_later_leaf(connection, services.account, image.id, Moved()):
            files = filestore.evict(connection, services.account, EVICTED_AT_ONCE)
    delete_files(services, files)
    after = 0.0 if files else ROOM_SECONDS
    return Postpone(after, "the provider's file store is full: waiting for a leaf to be done")


def _sent(services: Services, image: ImageWork, sha256: str) -> Outcome[Uploaded]:
    data = services.blobs.get(sha256)
    if data is None:
        return Reject(RefusalCode.MISSING, "its prepared bytes have vanished from the blob store")
    ending = (image.mime or "image/jpeg").rpartition("/")[2].replace("jpeg", "jpg")
    try:
        name = f"{FILE_PREFIX}{sha256}.{ending}"
        return Done(Uploaded(services.provider.upload(name, data, image.mime or "image/jpeg")))
    except SlowDown as error:
        return Postpone(error.retry_after or SLOW_SECONDS, str(error))
    except AccountPaused as error:
        pause_account(services, error)
        return Postpone(SLOW_SECONDS, str(error))
    except KeyRefused as error:
        return Stop(str(error))
    except FileStoreFull:
        return make_room(services, image)
    except ProviderDown as error:
        if services.limiter.state().probe_seconds is not None:  # an outage fails no image
            return Postpone(SLOW_SECONDS, str(error))
        return Retry(backoff_seconds(image.attempts + 2, services.draw()), str(error))
    except RequestRefused as error:
        code = RefusalCode.BLOCKED if error.moderation else RefusalCode.UPLOAD_FAILED
        return Reject(code, str(error))


def record(
    connection: Connection,
    services: Services,
    done: Sequence[tuple[ImageWork, Uploaded]],
    token: str,
    moved: Moved,
) -> None:
    new = {image.sha256 or "": one.file_id for image, one in done if one.file_id is not None}
    filestore.stored_all(connection, services.account, new)
    state.images_uploaded(connection, token, [image.id for image, _ in done], moved)


STAGE = ImageStage("upload", ImageStatus.PREPARED, work, record)


@shared_task(name="overstory.upload", base=StageTask, bind=True)  # type: ignore[untyped-decorator]
def upload(self: StageTask, **shown: object) -> str:
    """A message says only that images may be due; which ones is decided when they are claimed."""
    return run_slice(self.services, STAGE)
