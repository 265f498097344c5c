"""What follows a call without a text: ask later, ask in halves, fail the image, or stop the job."""

from __future__ import annotations

import re
from collections.abc import Collection

import structlog

from clients.provider.body import file_id_of
from core.account.budget import spent_on
from core.errors import (
    BytesGone,
    EndpointRefused,
    FileGone,
    FormRefused,
    OverstoryError,
    ProviderDown,
    RefusalCode,
    ReplyUnusable,
    RequestForm,
    RequestPart,
    RequestRefused,
    TooMuch,
)
from core.outcomes import backoff_seconds
from core.reply import Usage
from core.requests.forms import cure_of
from core.requests.request import Body, image_urls
from core.requests.review import ATTEMPTS_MAX, NotSeen
from core.stages import stage_of
from core.states import CallStatus, NodeKind
from core.tree.capacity import base64_bytes
from models import endpoint_limits, ledger, provider_files, state
from models.claims import NodeWork
from models.engine import Connection
from models.reads import pipeline
from models.reads.pipeline import Silence
from models.state import Moved
from tasks.calls.node_request import Admission, AnyCall, CallStage
from tasks.calls.trace import call_ended
from tasks.image_slices import announce
from tasks.runtime.services import Services

log = structlog.get_logger()

REFUSALS_WITHOUT_ANSWER = 12
"""After so many refusals without one answer, the request is wrong and not the images."""
BLIND_REPLIES, BLIND_ALONE = 8, 3
"""After so many replies, and so many of them to requests with one image, a job is given up in which
no image was seen."""
BLIND = (
    "{} replies, and none shows that an image was seen: check with 'overstory doctor' that {} takes"
    " images; with --bare an answer is taken as it comes"
)

EMPTY_REPLIES, NODES_IN_VAIN = 5, 3
"""After so many replies without a text a job whose model has written nothing is given up, once one
node had all attempts that come before its division, or so many nodes were asked again: where the
context leaves no more room, a node has fewer attempts."""


LASTING_ERRORS, ERRORS_READ = 3, 30
"""After so many equal errors that do not look passing, among so many last calls and without one
answer, a job is given up: no repetition cures them."""
_VARIES = re.compile(r"\b[0-9a-fA-F-]{8,64}\b|\d{1,20}")
"""What differs between two equal errors: ids, times and numbers."""


def close(
    services: Services,
    admission: Admission,
    status: CallStatus,
    error: object,
    http_status: int | None = None,
    usage: Usage | None = None,
) -> None:
    money = spent_on(services.settings.price_of(admission.node.model), usage)
    with services.database.write() as connection:
        held = admission.call_id, status, str(error), http_status, usage, money
        ledger.close(connection, *held, admission.lease.token)
    call_ended(services.traces, admission, status, usage, http_status, error)


def postpone(
    services: Services,
    admission: Admission,
    after_seconds: float,
    error: object,
    costs_attempt: bool,
) -> None:
    with services.database.write() as connection:
        state.node_postponed(
            connection,
            admission.node.id,
            admission.lease.token,
            after_seconds,
            str(error),
            costs_attempt,
        )
    if after_seconds <= 0:
        node = admission.node
        services.send(stage_of(node.kind).name, job=node.job_id, node=node.id)


def retry_or_give_up(
    services: Services, stage: CallStage, admission: Admission, error: ProviderDown
) -> None:
    """A call that failed on the way: ask again later. While the provider as a whole is down this
    costs no attempt, so an outage fails no image; an outage that does not end, ends the job. A call
    that was not sent costs none either: it shows only that this machine does not reach it."""
    if error.lasting and stop_if_same(services, admission, error.message, LASTING_ERRORS):
        return
    outage = services.limiter.state().outage_seconds
    silent = _silent_for(services, admission, outage)
    if silent > services.settings.outage_max_seconds:
        stop_job(services, admission, f"the provider has not answered for {silent / 3600:.1f} h")
        return
    attempts = admission.node.attempts + 1
    is_blamed = outage is None and error.sent
    if is_blamed and attempts >= services.settings.call_attempts_max:
        fail_or_halve(services, stage, admission, RefusalCode.POISON, str(error))
        return
    after = backoff_seconds(min(attempts, 6), services.draw())
    postpone(services, admission, after, error, costs_attempt=is_blamed)


def _silent_for(services: Services, admission: Admission, outage: float | None) -> float:
    """Seconds for which the provider has not answered this node. The node's first try alone says
    nothing: since then others were answered, the job was paused, or the service was off."""
    if outage is None:
        return 0.0
    with services.database.read() as connection:
        return min(outage, pipeline.seconds_since(connection, admission.node.started_at))


def refused(
    services: Services, stage: CallStage, admission: Admission, error: RequestRefused
) -> None:
    """A refused request: find the image that causes it, or stop the job if no image does."""
    if isinstance(error, TooMuch) and learn_limit(services, admission, error):
        if error.part is RequestPart.IMAGES and admission.call.images > 1:
            postpone(services, admission, 0.0, error, costs_attempt=False)  # planned anew, smaller
        else:
            code = RefusalCode.REFUSED_BY_PROVIDER
            fail_or_halve(services, stage, admission, code, str(error))
        return
    if isinstance(error, FormRefused):
        postpone(services, admission, 0.0, error, costs_attempt=False)  # asked in that form
        return
    with services.database.read() as connection:
        settled, refusals = pipeline.settled_and_refused(connection, admission.node.job_id)
    concerns_all = not error.of_content or (
        settled == 0 and refusals >= REFUSALS_WITHOUT_ANSWER and not error.moderation
    )
    if concerns_all:
        stop_job(services, admission, str(error))
        return
    code = RefusalCode.BLOCKED if error.moderation else RefusalCode.REFUSED_BY_PROVIDER
    fail_or_halve(services, stage, admission, code, str(error))


def learn_limit(services: Services, admission: Admission, error: TooMuch) -> bool:
    """Record what the endpoint takes in one request. Every job plans with it from now on, and
    leaves that are too large are divided before they are asked. Always less than was sent, so that
    it ends. False for a request that cannot be made smaller."""
    call, node = admission.call, admission.node
    with services.database.read() as connection:
        images = pipeline.look_images(connection, node.id) if call.images else []
    sent = {
        RequestPart.IMAGES: call.images,
        RequestPart.TOKENS: call.prompt_tokens + call.max_tokens,
        RequestPart.BYTES: sum(base64_bytes(image.prepared_bytes) for image in images),
    }[error.part]
    if sent < 2:
        return False
    named = error.most is not None and 0 < error.most < sent
    most = error.most if named and error.most else sent // 2
    with services.database.write() as connection:
        new = endpoint_limits.learn(
            connection, node.endpoint, node.model, error.part, most, named, error.message
        )
    if new:
        log.info("endpoint.limit", part=error.part, most=most, named=named, model=node.model)
    return True


def as_learned(services: Services, admission: Admission, error: RequestRefused) -> RequestRefused:
    """``error``, after the form that it asks for is recorded: every job writes its requests so from
    now on. Another error if no form helps, because the request has no such part or was sent so
    already: it is about an image then, or about every request."""
    if not isinstance(error, FormRefused):
        return error
    call, node = admission.call, admission.node
    form = cure_of(error.form, call.body, call.request.shared().forms)
    is_of_images = error.form in (RequestForm.INLINE, RequestForm.JPEG)
    too_high = (
        error.form is RequestForm.REPLY_TOKENS and not 0 < (error.most or 0) < call.max_tokens
    )
    if form is None or too_high or (is_of_images and not call.sends(form)):
        kind = RequestRefused if is_of_images else EndpointRefused
        return kind(error.status, error.kind, error.message)
    with services.database.write() as connection:
        new = endpoint_limits.learn(
            connection,
            node.endpoint,
            node.model,
            form,
            error.most or 0,
            named=True,
            message=error.message,
        )
    if new:
        log.info("endpoint.form", form=form, model=node.model, message=error.message)
    return error


def unusable(
    services: Services, stage: CallStage, admission: Admission, error: ReplyUnusable
) -> None:
    """A 200 without a usable reply: it may have been paid, so the ledger has it as unknown."""
    usage = error.reply.usage if error.reply else None
    close(services, admission, CallStatus.UNKNOWN, error, 200, usage)
    enough = LASTING_ERRORS if error.lasting else EMPTY_REPLIES
    if stop_if_same(services, admission, error.message, enough):
        return
    if admission.node.attempts + 1 >= services.settings.call_attempts_max:
        fail_or_halve(services, stage, admission, RefusalCode.POISON, str(error))
        return
    after = backoff_seconds(admission.node.attempts, services.draw())
    postpone(services, admission, after, error, costs_attempt=True)


def stop_if_same(services: Services, admission: Admission, message: str, enough: int) -> bool:
    """Stop a job that was told the same ``enough`` times, and nothing else."""
    with services.database.read() as connection:
        errors = pipeline.failed_without_answer(connection, admission.node.job_id, ERRORS_READ)
    same = sum(_VARIES.sub("", error) == _VARIES.sub("", message) for error in errors)
    if same < enough:
        return False
    says_what_to_do = "OVERSTORY_" in message
    reason = f"{same} calls were answered the same, and none otherwise: {message}"
    if not says_what_to_do:
        reason += "; check OVERSTORY_MODEL, OVERSTORY_BASE_URL and the server's own log"
    stop_job(services, admission, reason)
    return True


def not_seen(services: Services, stage: CallStage, admission: Admission, result: NotSeen) -> None:
    """A paid reply shows that the model did not see its images: they are shown again in smaller
    requests, or fail if they were shown alone."""
    node = admission.node
    disbelieve(services, admission.call, result)
    if stop_if_blind(services, node):
        return
    if result.room is not None:
        postpone(services, admission, 0.0, result.reason, costs_attempt=False)  # planned anew
    else:
        fail_or_halve(services, stage, admission, RefusalCode.UNSEEN, result.reason)


def disbelieve(services: Services, call: AnyCall, result: NotSeen) -> None:
    """Let the reply answer no later request, and record how many images a request may show."""
    node = call.node
    with services.database.write() as connection:
        ledger.disbelieve(connection, call.key)
        if result.room is None:
            return
        new = endpoint_limits.learn(
            connection,
            node.endpoint,
            node.model,
            RequestPart.PROVEN if result.by_canary else RequestPart.IMAGES,
            result.room,
            named=False,
            message=result.reason,
            measured=not result.by_canary,
        )
    if new:
        log.warning("endpoint.room", images=result.room, model=node.model, reason=result.reason)


def stop_if_blind(services: Services, node: NodeWork) -> bool:
    """Stop a job of which no image was seen in many replies, some to requests with one image: more
    would be paid for nothing."""
    with services.database.read() as connection:
        proof = pipeline.proof(connection, node.job_id)
    if proof.included or proof.replies < BLIND_REPLIES or proof.alone < BLIND_ALONE:
        return False
    moved = Moved()
    with services.database.write() as connection:
        endpoint_limits.forget_unseen(connection, node.endpoint, node.model, proof.since)
        state.job_failed(connection, node.job_id, BLIND.format(proof.replies, node.model), moved)
    announce(services, node.job_id, moved)
    return True


def silence_of(services: Services, call: AnyCall) -> Silence | None:
    """The job's empty replies to requests of this kind, if its model has written nothing although
    it was given more room: then ``call`` is not repeated, and nothing is divided."""
    with services.database.read() as connection:
        silence = pipeline.silence(connection, call.node.job_id, call.images > 0)
    if silence is None or silence.replies < EMPTY_REPLIES:
        return None
    is_enough = silence.most >= ATTEMPTS_MAX or silence.asked_again >= NODES_IN_VAIN
    return silence if is_enough else None


def stop_silent(services: Services, admission: Admission, silence: Silence, why: str) -> None:
    """Stop a job whose model writes nothing. A later job asks again: the model may be mended."""
    with services.database.write() as connection:
        ledger.disbelieve_empty(connection, admission.node.job_id)
    stop_job(services, admission, f"{silence.replies} replies, and none has a text: {why}")


def fail_or_halve(
    services: Services, stage: CallStage, admission: Admission, code: RefusalCode, reason: str
) -> None:
    node, token = admission.node, admission.lease.token
    moved = Moved()
    with services.database.write() as connection:
        halve_or_fail(services, stage, connection, node, token, code, reason, moved)
    announce(services, node.job_id, moved)


def halve_or_fail(
    services: Services,
    stage: CallStage,
    connection: Connection,
    node: NodeWork,
    token: str,
    code: RefusalCode,
    reason: str,
    moved: Moved,
) -> None:
    """Ask the node's halves; fail what holds only one thing."""
    if not stage.halve(services, connection, node, token, moved):
        state.node_failed(connection, node.id, code, reason, moved, token)


def stop_job(services: Services, admission: Admission, reason: str) -> None:
    moved = Moved()
    with services.database.write() as connection:
        state.job_failed(connection, admission.node.job_id, reason, moved)
    announce(services, admission.node.job_id, moved)


def reupload(
    services: Services,
    stage: CallStage,
    admission: Admission,
    error: FileGone | BytesGone,
    body: Body,
) -> None:
    """Images of the sent ``body`` are gone: a file id that the provider does not know, or prepared
    bytes that were to go inside the request. They go back to upload."""
    node = admission.node
    if node.attempts >= services.settings.attempts_max or not admission.call.images:
        reason = f"its images keep vanishing: {error}"
        fail_or_halve(services, stage, admission, RefusalCode.UPLOAD_FAILED, reason)
        return
    gone: set[str] = set()
    if isinstance(error, FileGone):
        gone = _missing_files(services, body, error.file_id)
    moved = Moved()
    with services.database.write() as connection:
        send_back_to_upload(services, node, connection, admission.lease.token, moved, gone=gone)
    log.info("files.healed", job=node.job_id, node=node.id, files=len(gone))
    announce(services, node.job_id, moved)


def send_back_to_upload(
    services: Services,
    node: NodeWork,
    connection: Connection,
    token: str,
    moved: Moved,
    *,
    gone: Collection[str],
) -> None:
    """Send the images behind the file ids ``gone`` back to upload; if empty, all without a file."""
    images = pipeline.look_images(connection, node.id)
    hashes = {image.sha256 for image in images if image.prepared_bytes}
    lost = provider_files.lost(connection, services.account, hashes, set(gone))
    missing = [image.id for image in images if image.sha256 in lost]
    if missing:
        state.node_waits_again(connection, node.id, token, missing, moved)
    else:  # another worker has uploaded them meanwhile
        state.node_postponed(connection, node.id, token, 0.0, "files are back", False)
        moved.ready(node.id, NodeKind.LEAF)


def _missing_files(services: Services, body: Body, named: str | None) -> set[str]:
    """File ids in ``body`` that the provider does not list, and the one it ``named``: of several
    missing files it names one. All of them, if neither says anything."""
    ids = map(file_id_of, image_urls(body))
    used = {file_id for file_id in ids if file_id is not None}
    gone = {named} if named else set()
    try:
        listed = {file.id for file in services.provider.files()}
    except OverstoryError:
        return gone or used
    return gone | (used - listed) or used


def total(usage: Usage | None) -> int:
    return 0 if usage is None else usage.prompt_tokens + usage.completion_tokens
