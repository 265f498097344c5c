"""upload: prepared bytes become something a request can refer to.

Reads: the image row, its blob. Does: one upload per distinct content, or nothing where images go
inline or the provider fetches the URL itself. Writes: the files row, then the image (uploaded),
which counts its leaf down. May raise ServiceAway (the image waits).
"""

from __future__ import annotations

from typing import Any

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
from models.claims import ImageWork
from models.engine import Connection
from models.filestore import Claim
from models.state import Moved
from tasks.account import pause_account
from tasks.base import StageTask
from tasks.files import FILE_PREFIX, delete_files
from tasks.pipeline import ImageStage, run_slice
from tasks.services import Services

BUSY_SECONDS = 1.0
ROOM_SECONDS = 2.0
SLOW_SECONDS = 5.0
EVICTED_AT_ONCE = 16
"""Files deleted when there is no room: a few at a time, so that others find room too."""


def ensure_uploaded(services: Services, image: ImageWork) -> Outcome[None]:
    if not services.profile.file_store or not image.prepared_bytes:
        return Done(None)
    sha256 = image.sha256 or ""
    lease = services.new_lease()
    with services.database.write() as connection:
        claim = filestore.claim(
            connection,
            services.account,
            sha256,
            image.prepared_bytes,
            lease,
            services.settings.files_max,
        )
    match claim:
        case Claim.STORED:
            return Done(None)
        case Claim.BUSY:
            return Postpone(BUSY_SECONDS, "another worker is uploading the same content")
        case Claim.FULL:
            return make_room(services, image)
        case Claim.MINE:
            return send(services, image, sha256, lease.token)


def send(services: Services, image: ImageWork, sha256: str, token: str) -> Outcome[None]:
    """Upload one content that this worker has claimed."""
    outcome = _sent(services, image, sha256)
    with services.database.write() as connection:
        if isinstance(outcome, Done):
            filestore.stored(connection, services.account, sha256, outcome.value)
            return Done(None)
        filestore.abandoned(connection, services.account, sha256, token)
    return outcome


def make_room(services: Services, image: ImageWork) -> Outcome[None]:
    """Delete what has not been used for longest and nobody waits for; where everything is waited
    for, the last leaf gives way. Then it is worth trying again."""
    with services.database.write() as connection:
        files = filestore.evict(connection, services.account, EVICTED_AT_ONCE)
        if not files and state.unpin_later_leaf(connection, services.account, image.id, Moved()):
            files = filestore.evict(connection, services.account, EVICTED_AT_ONCE)
    delete_files(services, files)
    after = 0.0 if files else ROOM_SECONDS
    return Postpone(after, "the provider's file store is full: waiting for a leaf to be done")


def _sent(services: Services, image: ImageWork, sha256: str) -> Outcome[Any]:
    data = services.blobs.get(sha256)
    if data is None:
        return Reject(RefusalCode.MISSING, "its prepared bytes have vanished from the blob store")
    ending = (image.mime or "image/jpeg").rpartition("/")[2].replace("jpeg", "jpg")
    try:
        return Done(
            services.provider.upload(
                f"{FILE_PREFIX}{sha256}.{ending}", data, image.mime or "image/jpeg"
            )
        )
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
    connection: Connection, image: ImageWork, nothing: None, token: str, moved: Moved
) -> bool:
    return state.image_uploaded(connection, image.id, token, moved)


STAGE = ImageStage("upload", ImageStatus.PREPARED, ensure_uploaded, record)


@shared_task(name="overstory.upload", base=StageTask, bind=True)  # type: ignore[untyped-decorator]
def upload(self: StageTask, **shown: object) -> str:
    """A message says only that images may be due; which ones is decided when they are claimed."""
    return run_slice(self.services, STAGE)
