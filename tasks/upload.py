"""upload: make prepared bytes available to a request.

Reads: the image row, its blob. Does: one upload per distinct content, or nothing if images go
inline or the provider fetches the URL itself. Writes: the files row, then the image (uploaded),
which counts its leaf down. May raise ServiceAway (the image waits).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import structlog
from celery import shared_task

from core import stages
from core.account.adaptive_limit import asked_for
from core.errors import (
    AccountPaused,
    FileStoreFull,
    KeyRefused,
    OverstoryError,
    ProviderDown,
    RefusalCode,
    ReplyUnusable,
    RequestForm,
    RequestRefused,
    ServiceAway,
    SlowDown,
)
from core.outcomes import Back, Done, Outcome, Postpone, Reject, Retry, Stop, backoff_seconds
from models import provider_files, state
from models.claims import ImageWork, Lease
from models.endpoint_limits import forms_of, is_refused_by
from models.engine import Connection
from models.provider_files import Claim
from models.reads import pipeline
from models.state import Moved
from tasks import store_choice, upload_backoff
from tasks.account import pause_account
from tasks.file_store import FILE_PREFIX, delete_files, found_at_provider, reconcile_files
from tasks.image_slices import ImageStage, attempt, run_slice
from tasks.runtime.base import StageTask
from tasks.runtime.services import Services

log = structlog.get_logger()

BUSY_SECONDS = 1.0
SLOW_SECONDS = 5.0
"""How long an image waits while uploads are paused."""
LONG_SECONDS = 3.0
"""If an upload could not be sent for so long, others cannot either: there is no way from here."""
SENDS = 3
"""Sends of an upload before it counts as a failed attempt. With 5 attempts of one send, one image
in 400 would fail if 3 of 10 requests get lost."""
LASTING_TRIES = 3
"""Tries of one image after which a job ends, if a web page answers instead of the file store."""
REPREPARED = (RequestForm.INLINE, RequestForm.JPEG)
"""Forms that are about the images themselves."""
PREPARED_ANEW = "the endpoint takes it in another form"
EVICTED_AT_ONCE, EVICTED_SHARE = 16, 20
"""The least number of files deleted when there is no room: this many, or this part of a large
store. A few more than needed save the next search. A small store emptied at once would fill with
halves of leaves."""

STORE_FULL = "the provider's file store is full: waiting for a leaf to be done"
STORE_REFUSES = (
    "the provider's file store is full, also of files that this database does not know: waiting for"
    " room (overstory files gc)"
)


def run(services: Services) -> str:
    """Do one slice, unless uploads are paused."""
    backoff = upload_backoff.of(services.account)
    if not backoff.start():
        return "uploads are paused"
    try:
        return run_slice(services, STAGE)
    finally:
        if backoff.end():
            services.send(stages.UPLOAD.name)


@dataclass(frozen=True, slots=True)
class Uploaded:
    """``file_id``: the new file; None if the content was stored before or goes inline."""

    file_id: str | None = None
    refused: bool = False  # the store is full of unknown files: goes inline


def work(services: Services, images: Sequence[ImageWork]) -> list[Outcome[Uploaded]]:
    """Claim the slice's contents together, then upload those that this worker has claimed."""
    if again := prepared_anew(services, images):
        others = iter(work(services, [i for i in images if i.id not in again]))
        return [Back(PREPARED_ANEW) if i.id in again else next(others) for i in images]
    if not images:
        return []
    lease = services.new_lease()
    with services.leases.hold(lease.token):
        claimed = claim_with_room(services, images, lease)
        lost = {sha for sha, claim in claimed.items() if claim is Claim.LOST}
        stored = found_at_provider(services, lost) if lost else {}
        unknown = lost.copy()  # until they are stored: the list may not have been read
        outcomes = []
        for image in images:
            sha = image.sha256 or ""
            claim = claimed.get(sha, Claim.STORED)
            upload = partial(upload_one, services, image, claim, stored.get(sha), unknown)
            outcomes.append(attempt(services, image, upload))
            if claim in (Claim.MINE, Claim.LOST):  # for a second image of this content
                is_stored = isinstance(outcomes[-1], Done)
                claimed[sha] = Claim.STORED if is_stored else Claim.BUSY
    give_back(services, images, outcomes, unknown, lease.token)
    if any(isinstance(outcome, Done) for outcome in outcomes):
        upload_backoff.of(services.account).go()
    return outcomes


def prepared_anew(services: Services, images: Sequence[ImageWork]) -> set[int]:
    """Ids of the images that the endpoint does not take as they were prepared."""
    if not any(is_refused_by(REPREPARED, i.prepared_bytes or 0, i.mime or "") for i in images):
        return set()
    with services.database.read() as connection:
        forms = forms_of(connection, images[0].job_id)
    return {i.id for i in images if is_refused_by(forms, i.prepared_bytes or 0, i.mime or "")}


def claim_with_room(
    services: Services, images: Sequence[ImageWork], lease: Lease
) -> dict[str, Claim]:
    """The claims of a slice, after room was made for contents that found none."""
    claimed = claim_contents(services, images, lease)
    if not services.settings.waits_for_room:  # cheaper than a deletion and an upload for each
        return {sha: Claim.INLINE if c is Claim.FULL else c for sha, c in claimed.items()}
    full = [image for image in images if claimed.get(image.sha256 or "") is Claim.FULL]
    if full and make_room(services, full[0], len(full)):
        claimed |= claim_contents(services, full, lease)
    if claimed and all(claim is Claim.FULL for claim in claimed.values()):
        upload_backoff.of(services.account).full()
    return claimed


def claim_contents(
    services: Services, images: Sequence[ImageWork], lease: Lease
) -> dict[str, Claim]:
    """What to do with each distinct content that we have prepared."""
    sizes = {image.sha256 or "": image.prepared_bytes for image in images if image.prepared_bytes}
    stored = store_choice.by_file(services, images)
    inside = {sha: Claim.INLINE for sha in sizes if sha not in stored}
    if not stored:
        return inside
    account, ours = services.account, {image.position for image in images}
    files_max = 0 if upload_backoff.of(account).is_full_elsewhere() else services.settings.files_max
    with services.database.write() as connection:
        before = provider_files.owed(connection, account, images[0].job_id, images[-1].position)
        others = [position for position in before if position not in ours]
        reserved = {
            image.sha256 or "": sum(position < image.position for position in others)
            for image in images
        }
        return inside | provider_files.claim_all(
            connection,
            account,
            {sha: size for sha, size in sizes.items() if sha in stored},
            lease,
            files_max,
            reserved,
            images[0].job_id,
        )


def upload_one(
    services: Services, image: ImageWork, claim: Claim, file_id: str | None, unknown: set[str]
) -> Outcome[Uploaded]:
    """``file_id``: the file of a lost upload, if it is at the provider. Adds to ``unknown`` the
    contents whose upload may have arrived without a reply."""
    match claim:
        case Claim.LOST if file_id is not None:
            return Done(Uploaded(file_id))
        case Claim.STORED:
            return Done(Uploaded())
        case Claim.BUSY:
            return Postpone(BUSY_SECONDS, "another worker is uploading the same content")
        case Claim.FULL:
            return Postpone(0.0, STORE_FULL)  # due at once, to keep the order
        case Claim.INLINE if services.blobs.size(image.sha256 or "") is None:
            return _vanished(services, image)
        case Claim.INLINE:
            return Done(Uploaded())
        case Claim.MINE | Claim.LOST if upload_backoff.of(services.account).is_full_elsewhere():
            return Done(Uploaded(refused=True))
        case Claim.MINE | Claim.LOST if upload_backoff.of(services.account).is_refused():
            return Postpone(SLOW_SECONDS, "uploads are paused after a refusal")
        case Claim.MINE | Claim.LOST:
            return _upload(services, image, image.sha256 or "", unknown)


def give_back(
    services: Services,
    images: Sequence[ImageWork],
    outcomes: Sequence[Outcome[Uploaded]],
    unknown: set[str],
    token: str,
) -> None:
    """Release the claims of contents that were not uploaded, or not as far as we know."""
    without = {
        image.sha256 or ""
        for image, outcome in zip(images, outcomes, strict=True)
        if not isinstance(outcome, Done) or outcome.value.refused
    }
    if without and services.profile.file_store:
        with services.database.write() as connection:
            provider_files.abandoned(connection, services.account, without - unknown, token)
            provider_files.unknown(connection, services.account, without & unknown, token)


def make_room(services: Services, image: ImageWork, places: int = 1, refused: bool = False) -> int:
    """Delete the least recently used files that no leaf waits for; returns how many.

    If every stored file belongs to a leaf that still waits for others, and none is being uploaded
    or the provider ``refused`` one, the last of these leaves loses its files.
    """
    account, files_max = services.account, services.settings.files_max
    count = max(places, EVICTED_AT_ONCE, files_max // EVICTED_SHARE)
    try:
        with services.database.write() as connection:
            # checked first: the next call sees uploads that end meanwhile
            stuck = provider_files.is_stuck(connection, account, None if refused else files_max)
            files = provider_files.evict(connection, account, count)
            if (
                stuck
                and not files
                and state.unpin_later_leaf(connection, account, image.id, Moved())
            ):
                files = provider_files.evict(connection, account, count)
    except ServiceAway:  # or a deadlock that PostgreSQL resolved against us
        return 0
    return delete_files(services, files)


def _upload(
    services: Services, image: ImageWork, sha256: str, unknown: set[str]
) -> Outcome[Uploaded]:
    data = services.blobs.get(sha256)
    if data is None:
        return _vanished(services, image)
    try:
        return Done(Uploaded(_send(services, sha256, data, image.mime or "image/jpeg", unknown)))
    except SlowDown as error:
        return _pause(services, asked_for(error.retry_after), str(error))
    except AccountPaused as error:
        pause_account(services, error)
        return _pause(services, SLOW_SECONDS, str(error))
    except KeyRefused as error:
        return Stop(str(error))
    except FileStoreFull as error:  # it has files that we do not know, such as unrecorded uploads
        log.warning("store.refused", error=str(error))
        if not services.settings.waits_for_room:
            upload_backoff.of(services.account).full_elsewhere()
            return Done(Uploaded(refused=True))
        return _make_room_after_refusal(services, image)
    except ProviderDown as error:
        if not error.sent or _is_down(services):  # an outage fails no image
            return _pause(services, 0.0, str(error))
        return Retry(backoff_seconds(image.attempts + 2, services.draw()), str(error))
    except (RequestRefused, ReplyUnusable) as error:
        return _refused(services, image, error)


def _refused(
    services: Services, image: ImageWork, error: RequestRefused | ReplyUnusable
) -> Outcome[Uploaded]:
    if isinstance(error, ReplyUnusable):
        if error.lasting and image.attempts + 1 >= LASTING_TRIES:
            return Stop(str(error))
        return Retry(backoff_seconds(image.attempts, services.draw()), str(error))
    if not error.of_content:
        return Stop(str(error))
    code = RefusalCode.BLOCKED if error.moderation else RefusalCode.UPLOAD_FAILED
    return Reject(code, str(error))


def _make_room_after_refusal(services: Services, image: ImageWork) -> Outcome[Uploaded]:
    """Read the provider's list, then make room. If it cannot be read, the next refusal retries."""
    try:
        reconcile_files(services, time.time())
    except OverstoryError as error:
        log.warning("files.not_listed", error=str(error))
    backoff = upload_backoff.of(services.account)
    if make_room(services, image, refused=True):
        backoff.full()
    else:
        backoff.refused(0.0, upload_backoff.NO_ROOM_SECONDS_MAX)
    return Postpone(0.0, STORE_REFUSES)


def _vanished(services: Services, image: ImageWork) -> Outcome[Uploaded]:
    """The prepared bytes are gone. If an earlier job prepared them, they were pruned since: prepare
    them again. If this job did, its workers do not share one blob store: reject the image."""
    with services.database.read() as connection:
        is_ours = pipeline.has_prepared(connection, image.job_id, image.id)
    if is_ours:
        return Reject(RefusalCode.MISSING, "its prepared bytes have vanished from the blob store")
    return Back("its prepared bytes are no longer in the blob store")


def _send(services: Services, sha256: str, data: bytes, mime: str, unknown: set[str]) -> str:
    """The new file's id. A lost request is sent again at once, up to SENDS times in all. If it may
    have arrived, look for its file first: a second file would be an orphan."""
    for tries in range(SENDS - 1):
        began = time.monotonic()
        try:
            return _send_once(services, sha256, data, mime, unknown)
        except ProviderDown as error:
            if not error.sent and time.monotonic() - began > LONG_SECONDS:
                raise
            services.stopping.wait(backoff_seconds(tries, services.draw(), base=0.2, cap=2.0))
        if sha256 in unknown and (stored := found_at_provider(services, {sha256})):
            return stored[sha256]
    return _send_once(services, sha256, data, mime, unknown)


def _send_once(services: Services, sha256: str, data: bytes, mime: str, unknown: set[str]) -> str:
    name = f"{FILE_PREFIX}{sha256}.{mime.rpartition('/')[2].replace('jpeg', 'jpg')}"
    try:
        return services.provider.upload(name, data, mime)
    except ProviderDown as error:
        if error.sent:
            unknown.add(sha256)
        raise
    except ReplyUnusable:
        unknown.add(sha256)
        raise


def _pause(services: Services, at_least: float, reason: str) -> Outcome[Uploaded]:
    upload_backoff.of(services.account).refused(at_least)
    return Postpone(max(at_least, upload_backoff.REST_SECONDS), reason)


def _is_down(services: Services) -> bool:
    """Whether the provider is down, rather than this one upload at fault."""
    try:
        services.provider.balance()
    except (ProviderDown, SlowDown):
        return True
    except OverstoryError:
        return False
    return False


def record(
    connection: Connection,
    services: Services,
    done: Sequence[tuple[ImageWork, Uploaded]],
    token: str,
    moved: Moved,
) -> None:
    new = {image.sha256 or "": up.file_id for image, up in done if up.file_id is not None}
    provider_files.stored_all(connection, services.account, new)
    state.images_uploaded(connection, token, [image.id for image, _ in done], moved)


STAGE = ImageStage(stages.UPLOAD, work, record)


@shared_task(name=stages.UPLOAD.task, base=StageTask, bind=True)  # type: ignore[untyped-decorator]
def upload(self: StageTask, **shown: object) -> str:
    """The message says only that images may be due. The claim decides which."""
    return run(self.services)
