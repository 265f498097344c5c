"""upload: prepared bytes become something a request can refer to.

Reads: the image row, its blob. Does: one upload per distinct content, or nothing where images go
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

from core.account.adaptive_limit import asked_for
from core.errors import (
    AccountPaused,
    FileStoreFull,
    KeyRefused,
    OverstoryError,
    ProviderDown,
    RefusalCode,
    ReplyUnusable,
    RequestRefused,
    ServiceAway,
    SlowDown,
)
from core.outcomes import Back, Done, Outcome, Postpone, Reject, Retry, Stop, backoff_seconds
from core.states import ImageStatus
from models import provider_files, state
from models.claims import ImageWork, Lease
from models.engine import Connection
from models.provider_files import Claim
from models.reads import pipeline
from models.state import Moved
from tasks import upload_backoff
from tasks.account import pause_account
from tasks.file_store import FILE_PREFIX, delete_files, found_at_provider, reconcile_files
from tasks.image_slices import ImageStage, attempt, run_slice
from tasks.runtime.base import StageTask
from tasks.runtime.services import Services

log = structlog.get_logger()

BUSY_SECONDS = 1.0
SLOW_SECONDS = 5.0
"""How long an image waits that could not be sent because uploads rest."""
SENDS = 3
"""Times an upload is sent at once before it counts as a failed attempt: 5 attempts alone would
fail one image in 400 where 3 of 10 requests get lost."""
EVICTED_AT_ONCE, EVICTED_SHARE = 16, 20
"""Files deleted when there is no room, at least: so many, or that part of a large store. A few more
than needed spare the next a search; a small store emptied at once fills with halves of leaves."""

STORE_FULL = "the provider's file store is full: waiting for a leaf to be done"
STORE_REFUSES = (
    "the provider's file store is full, of files we do not know of too: waiting for room"
    " (overstory files gc)"
)


def run(services: Services) -> str:
    """Do one slice, unless uploads rest."""
    rest = upload_backoff.of(services.account)
    if not rest.start():
        return "uploads rest"
    try:
        return run_slice(services, STAGE)
    finally:
        if rest.end():
            services.send("upload")


@dataclass(frozen=True, slots=True)
class Uploaded:
    """``file_id`` is a new file's; None where the content was there or goes inline."""

    file_id: str | None = None
    refused: bool = False  # by a store that is full of others' files: it goes inline


def work(services: Services, images: Sequence[ImageWork]) -> list[Outcome[Uploaded]]:
    """Claim the slice's contents together, then upload those that are this worker's to upload."""
    lease = services.new_lease()
    with services.leases.hold(lease.token):
        claimed = claim_with_room(services, images, lease)
        lost = {sha for sha, claim in claimed.items() if claim is Claim.LOST}
        found = found_at_provider(services, lost) if lost else {}
        unknown = lost.copy()  # until they are stored: the look may have got no answer
        outcomes = []
        for image in images:
            sha = image.sha256 or ""
            claim = claimed.get(sha, Claim.STORED)
            upload = partial(upload_one, services, image, claim, found.get(sha), unknown)
            outcomes.append(attempt(services, image, upload))
            if claim in (Claim.MINE, Claim.LOST):  # a second image of the content finds it stored
                there = isinstance(outcomes[-1], Done)
                claimed[sha] = Claim.STORED if there else Claim.BUSY
    give_back(services, images, outcomes, unknown, lease.token)
    if any(isinstance(outcome, Done) for outcome in outcomes):
        upload_backoff.of(services.account).go()
    return outcomes


def claim_with_room(
    services: Services, images: Sequence[ImageWork], lease: Lease
) -> dict[str, Claim]:
    """The claims of a slice, after room was made for what found none."""
    claimed = claim_contents(services, images, lease)
    if services.settings.inline_when_full:  # a deletion and an upload each would cost more
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
    """What to do about each distinct content that we have prepared."""
    sizes = {image.sha256 or "": image.prepared_bytes for image in images if image.prepared_bytes}
    if not services.profile.file_store:
        return dict.fromkeys(sizes, Claim.INLINE)
    account, ours = services.account, {image.position for image in images}
    files_max = 0 if upload_backoff.of(account).is_full_elsewhere() else services.settings.files_max
    with services.database.write() as connection:
        before = provider_files.owed(connection, account, images[0].job_id, images[-1].position)
        others = [position for position in before if position not in ours]
        reserved = {
            image.sha256 or "": sum(position < image.position for position in others)
            for image in images
        }
        return provider_files.claim_all(
            connection,
            account,
            sizes,
            lease,
            files_max,
            reserved,
            images[0].job_id,
        )


def upload_one(
    services: Services, image: ImageWork, claim: Claim, found: str | None, unknown: set[str]
) -> Outcome[Uploaded]:
    """``found``: the id under which a content whose upload was lost is at the provider. Contents
    that may have got there without our being told are added to ``unknown``."""
    match claim:
        case Claim.LOST if found is not None:
            return Done(Uploaded(found))
        case Claim.STORED:
            return Done(Uploaded())
        case Claim.BUSY:
            return Postpone(BUSY_SECONDS, "another worker is uploading the same content")
        case Claim.FULL:
            return Postpone(0.0, STORE_FULL)  # due at once, so that the first in order are first
        case Claim.INLINE if services.blobs.size(image.sha256 or "") is None:
            return _vanished(services, image)
        case Claim.INLINE:
            return Done(Uploaded())
        case Claim.MINE | Claim.LOST if upload_backoff.of(services.account).is_full_elsewhere():
            return Done(Uploaded(refused=True))
        case Claim.MINE | Claim.LOST if upload_backoff.of(services.account).is_refused():
            return Postpone(SLOW_SECONDS, "uploads rest after a refusal")
        case Claim.MINE | Claim.LOST:
            return _sent(services, image, image.sha256 or "", unknown)


def give_back(
    services: Services,
    images: Sequence[ImageWork],
    outcomes: Sequence[Outcome[Uploaded]],
    unknown: set[str],
    token: str,
) -> None:
    """Free the places of contents that were claimed and not uploaded, as far as we know."""
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
    """Delete what has not been used for longest and nobody waits for; how many files went. Where
    all that is stored belongs to leaves that still wait for files, and none is on its way or one
    was ``refused`` by the provider, the last of them gives way."""
    account, files_max = services.account, services.settings.files_max
    count = max(places, EVICTED_AT_ONCE, files_max // EVICTED_SHARE)
    try:
        with services.database.write() as connection:
            # asked before: what is under way and ends meanwhile is found by the next
            stuck = provider_files.is_stuck(connection, account, None if refused else files_max)
            files = provider_files.evict(connection, account, count)
            gives_way = stuck and not files
            if gives_way and state.unpin_later_leaf(connection, account, image.id, Moved()):
                files = provider_files.evict(connection, account, count)
    except ServiceAway:  # or PostgreSQL chose this one of two that waited for each other
        return 0
    return delete_files(services, files)


def _sent(
    services: Services, image: ImageWork, sha256: str, unknown: set[str]
) -> Outcome[Uploaded]:
    data = services.blobs.get(sha256)
    if data is None:
        return _vanished(services, image)
    try:
        return Done(Uploaded(_send(services, sha256, data, image.mime or "image/jpeg", unknown)))
    except SlowDown as error:
        return _rest(services, asked_for(error.retry_after), str(error))
    except AccountPaused as error:
        pause_account(services, error)
        return _rest(services, SLOW_SECONDS, str(error))
    except KeyRefused as error:
        return Stop(str(error))
    except FileStoreFull as error:  # of more than we know of: uploads that were never recorded
        log.warning("store.refused", error=str(error))
        if services.settings.inline_when_full:
            upload_backoff.of(services.account).full_elsewhere()
            return Done(Uploaded(refused=True))
        return _refused_a_place(services, image)
    except ProviderDown as error:
        if _is_down(services):  # an outage fails no image
            return _rest(services, 0.0, str(error))
        return Retry(backoff_seconds(image.attempts + 2, services.draw()), str(error))
    except RequestRefused as error:
        return _refused(error)


def _refused(error: RequestRefused) -> Outcome[Uploaded]:
    if not error.of_content:
        return Stop(str(error))
    code = RefusalCode.BLOCKED if error.moderation else RefusalCode.UPLOAD_FAILED
    return Reject(code, str(error))


def _refused_a_place(services: Services, image: ImageWork) -> Outcome[Uploaded]:
    """Look what else is there, and make room. A provider that does not say is asked by the next."""
    try:
        reconcile_files(services, time.time())
    except OverstoryError as error:
        log.warning("files.not_listed", error=str(error))
    rest = upload_backoff.of(services.account)
    if make_room(services, image, refused=True):
        rest.full()
    else:
        rest.refused(0.0, upload_backoff.NO_ROOM_SECONDS_MAX)
    return Postpone(0.0, STORE_REFUSES)


def _vanished(services: Services, image: ImageWork) -> Outcome[Uploaded]:
    """An earlier job had prepared it, and its bytes were pruned since: it is prepared again. Where
    this job has, our blob store is not the one that they were put into."""
    with services.database.read() as connection:
        is_ours = pipeline.has_prepared(connection, image.job_id, image.id)
    if is_ours:
        return Reject(RefusalCode.MISSING, "its prepared bytes have vanished from the blob store")
    return Back("its prepared bytes are no longer in the blob store")


def _send(services: Services, sha256: str, data: bytes, mime: str, unknown: set[str]) -> str:
    """The new file's id. A request that gets lost is sent again at once, SENDS times in all; where
    it may have arrived, only if its file is not there: it would be a second, that nobody knows."""
    for tries in range(SENDS - 1):
        try:
            return _send_once(services, sha256, data, mime, unknown)
        except ProviderDown:
            services.stopping.wait(backoff_seconds(tries, services.draw(), base=0.2, cap=2.0))
        if sha256 in unknown and (found := found_at_provider(services, {sha256})):
            return found[sha256]
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


def _rest(services: Services, at_least: float, reason: str) -> Outcome[Uploaded]:
    upload_backoff.of(services.account).refused(at_least)
    return Postpone(max(at_least, upload_backoff.REST_SECONDS), reason)


def _is_down(services: Services) -> bool:
    """Whether the provider answers nobody, or this one upload is to blame."""
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
    new = {image.sha256 or "": one.file_id for image, one in done if one.file_id is not None}
    provider_files.stored_all(connection, services.account, new)
    state.images_uploaded(connection, token, [image.id for image, _ in done], moved)


STAGE = ImageStage("upload", ImageStatus.PREPARED, work, record)


@shared_task(name="overstory.upload", base=StageTask, bind=True)  # type: ignore[untyped-decorator]
def upload(self: StageTask, **shown: object) -> str:
    """A message says only that images may be due; which ones is decided when they are claimed."""
    return run(self.services)
