"""Account faults: every stage and the reconciler in threads, with the sandbox as the provider.

The tests check the sandbox's own counts and ledger.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import func, select, text

from clients.provider.client import Provider
from core.errors import FileGone, LimitKind, ProviderDown, RefusalCode, RequestRefused, SlowDown
from core.states import JobStatus
from models import ledger, provider_files, state
from models.claims import Lease
from models.engine import now
from models.state import Moved
from models.tables import Image, Node
from overstory.sandbox.process import SandboxProcess
from tasks import aggregate, file_store, image_slices, infer, preprocess, upload, upload_backoff
from tasks.calls.node_request import CallStage
from tasks.calls.run import run
from tasks.file_store import FILE_PREFIX
from tasks.upkeep.reconciler import Reconciler
from tests.support.account import UPLOADERS, Account, on_one_database, prepare_and_upload
from tests.support.pictures import draw_image
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow


def refusals(sandbox: SandboxProcess) -> list[float]:
    """The times at which the sandbox answered a call with 429."""
    lines = sandbox.ledger()
    return [x["time"] for x in lines if x["event"] == "reply" and x["status"] == 429]


def check_files(sandbox: SandboxProcess, most: int) -> None:
    """Check that each content was uploaded once and the store held at most ``most`` files."""
    held: set[str] = set()
    for line in sandbox.ledger():
        if line["event"] == "upload":
            held.add(line["id"])
        elif line["event"] == "delete":
            held.discard(line["id"])
        assert len(held) <= most
    seen = sandbox.stats()
    assert seen["uploads"] == seen["distinct_uploads"]


# --- lost prepared bytes


def test_images_prepared_by_a_job_that_is_pruned_meanwhile_are_prepared_again(
    open_account, make_images
):
    photos, first = make_images(4), open_account()
    first.ended(first.submit(photos))
    second = open_account(start=False)
    job = second.submit(photos, "Which is the brightest?")
    assert second.statuses(job) == {"prepared": 4}
    drop_blob(second, job, 2)
    second.start()
    [ended] = second.ended(job)
    assert ended.status == JobStatus.COMPLETED
    assert second.statuses(job) == {"included": 4}
    assert events(second, job, 2) == ["pending", "prepared", "uploaded", "included"]
    assert events(second, job, 1) == ["uploaded", "included"]


def test_an_image_whose_own_prepared_bytes_are_lost_fails_with_that_reason(
    open_account, make_images
):
    account = open_account(start=False)
    job = account.submit(make_images(2))
    while account.statuses(job)["pending"]:
        image_slices.run_slice(account.services, preprocess.STAGE)
    drop_blob(account, job, 2)
    account.start()
    [ended] = account.ended(job)
    assert ended.status == JobStatus.PARTIAL
    assert account.statuses(job) == {"included": 1, "failed": 1}
    assert events(account, job, 2) == ["prepared", "failed"]


def uploads_of(account: Account) -> list[float]:
    """The times of upload attempts from now on."""
    asked: list[float] = []
    send = account.services.provider.upload

    def spy(*words: Any) -> str:
        asked.append(time.time())
        return send(*words)

    account.services.provider.upload = spy  # type: ignore[method-assign]
    return asked


def drop_blob(account: Account, job: str, position: int) -> None:
    """Delete an image's prepared bytes."""
    words = "SELECT sha256 FROM images WHERE job_id = :job AND position = :position"
    with account.services.database.read() as connection:
        sha = connection.execute(text(words), {"job": job, "position": position}).scalar_one()
    assert account.services.blobs.drop(sha, fresh_seconds=0.0) is not None


def events(account: Account, job: str, position: int) -> list[str]:
    """The events of an image, in order."""
    words = (
        "SELECT events.name FROM events JOIN images ON images.id = events.image_id"
        " WHERE images.job_id = :job AND images.position = :position ORDER BY events.id"
    )
    with account.services.database.read() as connection:
        rows = connection.execute(text(words), {"job": job, "position": position})
        return [name.removeprefix("image.") for name in rows.scalars()]


# --- unusable replies


def test_a_paid_answer_of_an_earlier_attempt_is_kept_if_the_last_gets_nothing(
    open_account, make_images
):
    account = open_account(start=False)
    job = account.submit(make_images(7))
    prepare_and_upload(account, job)
    asked: list[tuple[CallStage, dict[str, Any]]] = [
        (infer.STAGE, {"false_citations": True}),
        (infer.STAGE, {"false_citations": False, "rates": {"empty": 1.0}}),
        (infer.STAGE, {}),
        (infer.STAGE, {"rates": {}}),
        (aggregate.STAGE, {"false_citations": True}),
        (aggregate.STAGE, {"false_citations": False, "rates": {"empty": 1.0}}),
        (aggregate.STAGE, {}),
    ]
    for stage, changes in asked:
        account.sandbox.configure(**changes)
        run(account.services, stage)
    paid = account.sandbox.stats()["paid"]
    for stage in (infer.STAGE, aggregate.STAGE):
        run(account.services, stage)
    assert account.statuses(job) == {"included": 7}
    assert account.job(job).status == JobStatus.COMPLETED
    assert account.sandbox.stats()["paid"] == paid == len(asked)
    with account.services.database.read() as connection:
        texts = connection.execute(text("SELECT text FROM nodes")).scalars().all()
    assert len(texts) == 3
    assert all(words and "9999" not in words for words in texts)


@on_one_database
def test_a_tree_whose_branches_get_empty_replies_answers_with_its_notes(open_account, make_images):
    account = open_account(start=False, context_tokens=4096)
    job = account.submit(make_images(30))
    prepare_and_upload(account, job)
    while account.statuses(job)["uploaded"]:
        run(account.services, infer.STAGE)
    account.sandbox.configure(rates={"empty": 1.0})
    account.start()
    [ended] = account.ended(job)
    assert ended.status == JobStatus.COMPLETED
    assert account.statuses(job) == {"included": 30}
    assert ended.answer is not None
    assert ended.answer.startswith(aggregate.AS_THEY_ARE)
    with account.services.database.read() as connection:
        notes = connection.execute(text("SELECT text FROM nodes WHERE kind = 'leaf'")).scalars()
        assert all(note in ended.answer for note in notes)


def test_a_paid_reply_that_the_ledger_cannot_store_is_settled_from_disk(
    open_account, make_images, monkeypatch
):
    account = open_account(start=False)
    job = account.submit(make_images(4))
    prepare_and_upload(account, job)
    with monkeypatch.context() as patched:
        patched.setattr(ledger, "settle", lambda *words: {}["a bug"])
        with pytest.raises(KeyError):
            run(account.services, infer.STAGE)
    lose_workers(account)
    Reconciler(account.services).tick()
    run(account.services, infer.STAGE)
    assert account.statuses(job) == {"included": 4}
    assert account.sandbox.stats()["paid"] == 1
    assert not list(account.services.spool.waiting())


def lose_workers(account: Account) -> None:
    """Expire all leases, as if their workers were lost."""
    with account.services.database.write() as connection:
        for table in ("nodes", "calls"):
            connection.execute(text(f"UPDATE {table} SET lease_until = 0"))


# --- answered 429


@on_one_database
def test_while_everything_is_refused_probes_are_sent_and_no_image_fails(open_account, make_images):
    account = open_account(gate_wait_seconds=60.0)
    account.sandbox.configure(always_429=True)
    job = account.submit(make_images(60))
    eventually(lambda: account.services.limiter.state().probe_seconds is not None)
    since = time.time()
    eventually(lambda: sum(at > since for at in refusals(account.sandbox)) >= 2)
    account.sandbox.configure(always_429=False)
    [ended] = account.ended(job)
    assert ended.status == JobStatus.COMPLETED
    assert account.statuses(job) == {"included": 60}
    assert account.attempts() <= 1


@on_one_database
def test_uploads_that_are_refused_for_being_early_rest_and_then_one_slice_tries(
    open_account, make_images, monkeypatch
):
    now = time.monotonic()
    monkeypatch.setattr(upload_backoff, "time", SimpleNamespace(monotonic=lambda: now))
    account = open_account(start=False)
    job = account.submit(make_images(60))
    while account.statuses(job)["pending"]:
        image_slices.run_slice(account.services, preprocess.STAGE)
    account.sandbox.configure(faults_on=["files"], rates={"429": 1.0})
    asked = uploads_of(account)
    for tries in range(1, 4):
        ends = [upload.run(account.services) for _ in range(5)]
        assert [end == "uploads are paused" for end in ends] == [False, True, True, True, True]
        assert len(asked) == tries
        now += upload_backoff.REST_SECONDS_MAX
        with account.services.database.write() as connection:
            connection.execute(text("UPDATE images SET due_at = 0"))
    account.sandbox.configure(rates={})
    account.start()
    [ended] = account.ended(job)
    assert account.statuses(job) == {"included": 60}
    assert ended.status == JobStatus.COMPLETED


@on_one_database
@pytest.mark.parametrize("at", ["the upload", "the call"])
@pytest.mark.parametrize(("told", "kept"), [(7.0, 7.0), (86_400.0, 60.0), (1_795_766_000.0, 60.0)])
def test_a_429_delays_no_row_longer_than_a_minute(
    open_account, make_images, monkeypatch, at, told, kept
):
    account = open_account(start=False)
    answer = raising(SlowDown(LimitKind.RPM, None, "429", told))
    name = "upload" if at == "the upload" else "chat"
    monkeypatch.setattr(account.services.provider, name, answer)
    job = account.submit(make_images(2))
    with account.services.database.read() as connection:
        before = connection.execute(select(now())).scalar_one()
    if at == "the upload":
        image_slices.run_slice(account.services, preprocess.STAGE)
        upload.run(account.services)
    else:
        prepare_and_upload(account, job)
        run(account.services, infer.STAGE)
    table = Image if at == "the upload" else Node
    with account.services.database.read() as connection:
        after, due = connection.execute(select(now(), func.max(table.due_at))).one()
    assert before + kept <= due <= after + kept


# --- an outage


def break_provider(account: Account) -> None:
    """Let so many calls fail that the account starts probing."""
    for n in range(9):
        account.services.limiter.acquire(f"call {n}", 1, 60.0)
        account.services.limiter.provider_down(f"call {n}", ProviderDown("503", True, 503))


@pytest.mark.parametrize("outage", [True, False])
@pytest.mark.parametrize("asked", ["long ago", "now"])
def test_a_job_ends_if_the_provider_never_answered_since_its_first_call(
    open_account, make_images, asked, outage
):
    account = open_account(start=False, outage_max_seconds=1.0)
    job = account.submit(make_images(4))
    prepare_and_upload(account, job)
    account.sandbox.configure(rates={"503": 1.0})
    run(account.services, infer.STAGE)
    if outage:
        break_provider(account)
        eventually(lambda: account.services.limiter.state().outage_seconds > 1.0)
    with account.services.database.write() as connection:
        age = 30_000.0 if asked == "long ago" else -30_000.0  # however slow this machine is
        words = "UPDATE nodes SET due_at = 0, started_at = started_at - :age"
        connection.execute(text(words), {"age": age})
    run(account.services, infer.STAGE)
    ended = account.job(job)
    if asked == "long ago" and outage:
        assert ended.status == JobStatus.FAILED
        assert "has not answered" in (ended.reason or "")
    else:
        assert ended.status == JobStatus.RUNNING


# --- the balance and the key


@on_one_database
def test_an_empty_balance_pauses_the_job_and_a_probe_resumes_it(open_account, make_images):
    account = open_account(concurrency=2)
    account.sandbox.configure(hold=True)
    job = account.submit(make_images(60))
    eventually(lambda: account.sandbox.stats()["in_flight"] == 2)
    account.sandbox.configure(no_balance=True, hold=False)
    eventually(lambda: account.job(job).status == JobStatus.PAUSED)
    assert (account.job(job).reason or "").startswith("no balance: the provider wants payment")
    assert account.services.limiter.paused() == "no balance"
    assert account.statuses(job)["failed"] == 0
    account.sandbox.configure(no_balance=False)
    [ended] = account.ended(job)
    assert ended.status == JobStatus.COMPLETED
    assert account.statuses(job) == {"included": 60}
    assert account.sandbox.stats()["repeated_paid"] == 0


@on_one_database
def test_a_job_submitted_with_an_empty_balance_is_shown_as_paused(open_account, make_images):
    account = open_account()
    account.sandbox.configure(no_balance=True)
    first = account.submit(make_images(6))
    eventually(lambda: account.job(first).status == JobStatus.PAUSED)
    second = account.submit(make_images(6, folder="more", start=50))
    eventually(lambda: account.job(second).status == JobStatus.PAUSED)
    account.sandbox.configure(no_balance=False)
    assert {job.status for job in account.ended(first, second)} == {JobStatus.COMPLETED}


@on_one_database
def test_a_pause_lost_by_redis_still_ends(open_account, make_images, valkey):
    account = open_account()
    account.sandbox.configure(no_balance=True)
    job = account.submit(make_images(6))
    eventually(lambda: account.job(job).status == JobStatus.PAUSED)
    with valkey.client() as client:
        client.flushall()
    account.sandbox.configure(no_balance=False)
    [ended] = account.ended(job)
    assert ended.status == JobStatus.COMPLETED


@on_one_database
@pytest.mark.parametrize("at", ["the upload", "the call"])
def test_a_refused_key_stops_the_job_with_a_sentence(open_account, make_images, at):
    account = open_account()
    if at == "the call":
        account.sandbox.configure(hold=True)
    else:
        account.sandbox.configure(refuse_keys=True)
    job = account.submit(make_images(60))
    if at == "the call":
        eventually(lambda: account.sandbox.stats()["in_flight"] >= 1)
        account.sandbox.configure(refuse_keys=True, hold=False)
    [ended] = account.ended(job)
    assert ended.status == JobStatus.FAILED
    assert "API key was refused" in (ended.reason or "")
    assert "OVERSTORY_API_KEY" in (ended.reason or "")
    assert sum(account.statuses(job).values()) == 60


@on_one_database
@pytest.mark.parametrize("status", [302, 404, 405, 407])
@pytest.mark.parametrize("at", ["the upload", "the call"])
def test_a_reply_from_another_server_stops_the_job_and_fails_no_image(
    open_account, make_images, monkeypatch, at, status
):
    """A captive portal or a proxy in the middle of a job."""
    account = open_account(start=False)
    job = account.submit(make_images(12))
    answer = raising(RequestRefused(status, f"http_{status}", "sign in to go on"))
    if at == "the call":
        prepare_and_upload(account, job)
        run(account.services, infer.STAGE)
        monkeypatch.setattr(account.services.provider, "chat", answer)
        run(account.services, infer.STAGE)
    else:
        monkeypatch.setattr(account.services.provider, "upload", answer)
        image_slices.run_slice(account.services, preprocess.STAGE)
        upload.run(account.services)
    ended = account.job(job)
    assert ended.status == JobStatus.FAILED
    assert "sign in to go on" in (ended.reason or "")
    with account.services.database.read() as connection:
        codes = connection.execute(text("SELECT error_code FROM images")).scalars()
        assert set(codes) <= {None, RefusalCode.JOB_FAILED}


@on_one_database
@pytest.mark.parametrize("kind", ["451", "content_filter"])
def test_only_the_image_that_moderation_refuses_fails(open_account, make_images, tmp_path, kind):
    from PIL import Image

    account = open_account()
    photos = make_images(11)
    Image.new("RGB", (64, 48), "magenta").save(photos / "0005x.jpg")
    account.sandbox.configure(keyed=[{"match": "colour:pink", "kind": kind}])
    job = account.submit(photos)
    [ended] = account.ended(job)
    assert ended.status == JobStatus.PARTIAL
    assert account.statuses(job) == {"included": 11, "failed": 1}


# --- the file store


def test_a_quota_far_below_the_set_refuses_no_upload_and_sends_each_content_once(
    open_account, make_images
):
    account = open_account(files_max=40, concurrency=20)
    account.sandbox.configure(max_files=40)
    job = account.submit(make_images(160))
    [ended] = account.ended(job)
    assert ended.status == JobStatus.COMPLETED
    assert account.statuses(job) == {"included": 160}
    check_files(account.sandbox, 40)


def test_parallel_jobs_that_fill_a_small_store_all_end(open_account, make_images):
    account = open_account(files_max=12, rpm=1000)
    account.sandbox.configure(max_files=12, rpm=1000)
    jobs = [account.submit(make_images(18, f"set {n}", start=20 * n)) for n in range(5)]
    assert {job.status for job in account.ended(*jobs)} == {JobStatus.COMPLETED}
    assert all(account.statuses(job) == {"included": 18} for job in jobs)


def test_a_store_smaller_than_configured_is_used_by_leaves_in_turn(open_account, make_images):
    """The provider refuses uploads within our quota while leaves have half of their files there."""
    account = open_account(start=False, files_max=1000)
    account.sandbox.configure(max_files=8)
    job = account.submit(make_images(18))
    while account.statuses(job)["pending"]:
        image_slices.run_slice(account.services, preprocess.STAGE)
    account.start()  # eight parallel uploads
    [ended] = account.ended(job)
    assert ended.status == JobStatus.COMPLETED
    assert account.statuses(job) == {"included": 18}
    assert account.sandbox.stats()["repeated_paid"] == 0


def test_a_job_paused_by_a_person_does_not_keep_the_store_from_others(open_account, make_images):
    account = open_account(files_max=12, concurrency=1, rpm=1000)
    account.sandbox.configure(max_files=12, hold=True, rpm=1000)
    held = account.submit(make_images(60))
    # it leaves a quarter of the places to others once a leaf of it is called
    eventually(lambda: account.statuses(held)["uploaded"] >= 9)
    with account.services.database.write() as connection:
        assert state.job_moved(connection, held, JobStatus.PAUSED, "on request")
    account.sandbox.configure(hold=False)
    other = account.submit(make_images(12, "other", start=100))
    [ended] = account.ended(other)
    assert ended.status == JobStatus.COMPLETED
    with account.services.database.write() as connection:
        assert state.job_moved(connection, held, JobStatus.RUNNING)
    [ended] = account.ended(held)
    assert account.statuses(held) == {"included": 60}


def test_files_that_vanish_are_uploaded_again(open_account, make_images):
    account = open_account(concurrency=1)
    account.sandbox.configure(hold=True)
    job = account.submit(make_images(18))
    eventually(lambda: account.statuses(job)["uploaded"] == 18)
    with closing(Provider(account.services.settings)) as somebody:
        for file in somebody.files():
            somebody.delete_file(file.id)
    account.sandbox.configure(hold=False)
    [ended] = account.ended(job)
    assert ended.status == JobStatus.COMPLETED
    assert account.statuses(job) == {"included": 18}
    assert account.sandbox.stats()["repeated_paid"] == 0


def test_a_wiped_store_is_detected_by_one_refusal(open_account, make_images):
    account = open_account(start=False, images_per_request=20)
    job = account.submit(make_images(20))
    prepare_and_upload(account, job)
    for file in account.services.provider.files():
        account.services.provider.delete_file(file.id)
    run(account.services, infer.STAGE)
    assert account.statuses(job) == {"prepared": 20}
    prepare_and_upload(account, job)
    run(account.services, infer.STAGE)
    assert account.statuses(job) == {"included": 20}
    with account.services.database.read() as connection:
        calls = connection.execute(text("SELECT status FROM calls ORDER BY id")).scalars().all()
    assert calls == ["failed", "settled"]


@on_one_database
@pytest.mark.parametrize("named", ["file-1", None])
def test_a_lost_file_is_known_from_the_refusal_if_the_store_cannot_be_listed(
    open_account, make_images, monkeypatch, named
):
    account = open_account(start=False)
    job = account.submit(make_images(3))
    prepare_and_upload(account, job)
    stored = [file.id for file in account.services.provider.files()]
    provider, name = account.services.provider, named and stored[0]
    monkeypatch.setattr(provider, "files", raising(ProviderDown("503", True, 503)))
    monkeypatch.setattr(provider, "chat", raising(FileGone("no such file", name)))
    run(account.services, infer.STAGE)
    assert account.statuses(job)["prepared"] == (1 if named else 3)


@pytest.mark.parametrize("keep", [True, False])
def test_kept_files_are_reused_and_others_are_deleted_with_the_job(open_account, make_images, keep):
    account = open_account()
    photos = make_images(12)
    account.ended(account.submit(photos, "What is there?", keep_files=keep))
    if not keep:
        eventually(lambda: account.sandbox.stats()["files"] == 0)
    account.ended(account.submit(photos, "And what is missing?", keep_files=keep))
    seen = account.sandbox.stats()
    assert (seen["uploads"], seen["distinct_uploads"]) == ((12, 12) if keep else (24, 12))
    if keep:
        assert seen["files"] == 12
    else:
        eventually(lambda: account.sandbox.stats()["files"] == 0)


def test_orphans_are_adopted_or_deleted_and_foreign_files_are_kept(open_account, make_images):
    account = open_account()
    account.ended(account.submit(make_images(3), keep_files=True))
    jpeg = draw_image(make_images(0) / "x.jpg", 9).read_bytes()
    provider = account.services.provider
    with account.services.database.read() as connection:
        kept = provider_files.listed(connection, account.services.account)
    provider.upload(f"{FILE_PREFIX}{'a' * 64}.jpg", jpeg, "image/jpeg")
    provider.upload(f"{FILE_PREFIX}{kept[0].sha256}.jpg", jpeg, "image/jpeg")
    provider.upload("holiday.jpg", jpeg, "image/jpeg")
    provider.delete_file(kept[1].file_id or "")
    young = file_store.reconcile_files(account.services, time.time())
    assert (young.adopted, young.doubled) == (0, 0)
    found = file_store.reconcile_files(account.services, time.time() + 3600)
    assert (found.adopted, found.doubled, found.foreign) == (1, 1, 1)
    assert young.vanished + found.vanished == 1
    eventually(lambda: {f.filename for f in provider.files()} >= {"holiday.jpg"})
    eventually(lambda: len(provider.files()) == 3)  # two kept and the foreign one


@on_one_database
def test_orphans_that_fill_the_store_do_not_stop_the_uploads(
    open_account, make_images, monkeypatch
):
    monkeypatch.setattr(file_store, "YOUNG_SECONDS", -1.0)
    account = open_account(start=False, files_max=12)
    account.sandbox.configure(max_files=12)
    jpeg = draw_image(make_images(0) / "x.jpg", 9).read_bytes()
    for n in range(11):
        account.services.provider.upload(f"{FILE_PREFIX}{n:064x}.jpg", jpeg, "image/jpeg")
    account.start()
    [ended] = account.ended(account.submit(make_images(12, "set", start=30)))
    assert ended.status == JobStatus.COMPLETED


@on_one_database
@pytest.mark.parametrize(
    "error", [SlowDown(LimitKind.UNKNOWN, None, "429"), ProviderDown("503", True, 503)]
)
def test_a_full_store_that_cannot_be_listed_costs_no_image_an_attempt(
    open_account, make_images, monkeypatch, error
):
    account = open_account(start=False)
    account.sandbox.configure(max_files=0)
    monkeypatch.setattr(account.services.provider, "files", raising(error))
    job = account.submit(make_images(1))
    image_slices.run_slice(account.services, preprocess.STAGE)
    upload.run(account.services)
    with account.services.database.read() as connection:
        words = "SELECT status, attempts, error FROM images WHERE job_id = :job"
        row = connection.execute(text(words), {"job": job}).one()
    assert row == ("prepared", 0, upload.STORE_REFUSES)


@on_one_database
def test_a_store_full_of_unknown_files_refuses_one_upload_per_slice(
    open_account, make_images, monkeypatch
):
    account = open_account(start=False)
    account.sandbox.configure(max_files=0)
    account.submit(make_images(5))
    while image_slices.run_slice(account.services, preprocess.STAGE) != "nothing was due":
        pass
    looked = []
    real = account.services.provider.files
    monkeypatch.setattr(account.services.provider, "files", lambda: looked.append(1) or real())
    assert "5 of 5" not in upload.run(account.services)
    assert upload.run(account.services) == "uploads are paused"
    assert len(looked) == 1


def raising(error: Exception) -> Callable[..., Any]:
    """A function that only raises ``error``."""

    def fails(*words: Any, **more: Any) -> None:
        raise error

    return fails


@on_one_database
def test_a_machine_without_a_way_to_the_provider_tries_one_upload_of_a_slice(
    open_account, make_images, monkeypatch
):
    """Each try waits for the whole time limit, and keeps the slice from other machines so long."""
    monkeypatch.setattr(upload, "LONG_SECONDS", 0.0)
    account = open_account(start=False)
    job = account.submit(make_images(5))
    while image_slices.run_slice(account.services, preprocess.STAGE) != "nothing was due":
        pass
    tried = []
    lost = raising(ProviderDown("no way there", sent=False))
    provider = account.services.provider
    monkeypatch.setattr(provider, "upload", lambda *words: tried.append(1) or lost())
    monkeypatch.setattr(provider, "balance", raising(AssertionError("it cannot be reached either")))
    upload.run(account.services)
    assert len(tried) == 1
    with account.services.database.read() as connection:
        words = "SELECT DISTINCT status, attempts FROM images WHERE job_id = :job"
        assert connection.execute(text(words), {"job": job}).all() == [("prepared", 0)]


@on_one_database
@pytest.mark.parametrize("sends", [upload.SENDS, 1])
def test_an_upload_with_a_lost_reply_is_searched_before_it_is_sent_again(
    open_account, make_images, monkeypatch, sends
):
    """By the worker that sent it, or by one that retries later."""
    monkeypatch.setattr(upload, "SENDS", sends)
    account = open_account(start=False)
    send, lost = account.services.provider.upload, [ProviderDown("it broke", True)] * 2

    def losing(*words: Any) -> str:
        stored = send(*words)
        if lost:
            raise lost.pop()
        return stored

    monkeypatch.setattr(account.services.provider, "upload", losing)
    job = account.submit(make_images(3))
    account.start()
    account.ended(job)
    assert account.statuses(job) == {"included": 3}
    seen = account.sandbox.stats()
    assert (seen["uploads"], seen["distinct_uploads"]) == (3, 3)
    eventually(lambda: account.sandbox.stats()["files"] == 0)


@on_one_database
def test_a_failed_deletion_is_retried(open_account, make_images, monkeypatch):
    account = open_account(start=False)
    delete, down = account.services.provider.delete_file, [ProviderDown("503", True, 503)] * 3

    def failing(file_id: str) -> bool:
        if down:
            raise down.pop()
        return delete(file_id)

    monkeypatch.setattr(account.services.provider, "delete_file", failing)
    account.start()
    account.ended(account.submit(make_images(4)))
    eventually(lambda: not down and account.sandbox.stats()["files"] == 0)


def test_a_lost_upload_that_no_image_needs_is_deleted(open_account, make_images, monkeypatch):
    monkeypatch.setattr(file_store, "YOUNG_SECONDS", -1.0)
    services = open_account(start=False).services
    jpeg = draw_image(make_images(0) / "x.jpg", 9).read_bytes()
    with services.database.write() as connection:
        sizes = {"a" * 64: 100, "b" * 64: 100}
        provider_files.claim_all(connection, services.account, sizes, Lease("lost", 0.0), 10)
    for sha in ("a" * 64, "c" * 64):
        services.provider.upload(f"{FILE_PREFIX}{sha}.jpg", jpeg, "image/jpeg")
    assert [file_store.tidy(services) for _ in range(3)] == [0, 1, 0]
    assert [file_store.content_of(file.filename) for file in services.provider.files()] == [
        "c" * 64
    ]
    monkeypatch.setattr(services.provider, "files", raising(AssertionError("nothing is lost")))
    assert file_store.tidy(services) == 0


def test_images_without_a_place_in_the_store_go_inline_if_configured(open_account, make_images):
    """The store is filled to its limit, no image waits for it, and keys equal those of file ids."""
    account = open_account(start=False, files_max=12, inline_when_full=True)
    account.sandbox.configure(max_files=12)
    photos = make_images(60)
    job = account.submit(photos)
    prepare_and_upload(account, job)
    assert account.statuses(job) == {"uploaded": 60}
    account.start()
    [ended] = account.ended(job)
    assert ended.status == JobStatus.COMPLETED
    assert account.statuses(job) == {"included": 60}
    seen = account.sandbox.stats()
    assert 9 <= seen["uploads"] <= 12  # a job leaves a quarter of the store to others
    check_files(account.sandbox, 12)
    eventually(lambda: account.sandbox.stats()["files"] == 0)
    [again] = account.ended(account.submit(photos, key="again"))
    assert again.id != job
    assert account.sandbox.stats()["paid"] == seen["paid"]


@on_one_database
def test_leaves_are_sent_inline_if_only_the_upload_workers_are_configured_for_it(
    open_account, make_images
):
    """OVERSTORY_INLINE_WHEN_FULL is set only for the upload workers."""
    told = {"start": False, "files_max": 12, "api_key": "told-apart"}
    uploads, infers = open_account(inline_when_full=True, **told), open_account(**told)
    uploads.sandbox.configure(max_files=12)
    job = uploads.submit(make_images(36))

    def has_ended() -> bool:
        prepare_and_upload(uploads, job)
        for stage in (infer.STAGE, aggregate.STAGE):
            run(infers.services, stage)
        return infers.job(job).status.ended

    eventually(has_ended)
    assert infers.job(job).status == JobStatus.COMPLETED
    assert infers.statuses(job) == {"included": 36}
    check_files(uploads.sandbox, 12)
    assert uploads.sandbox.stats()["repeated_paid"] == 0


@on_one_database
def test_a_store_filled_by_others_is_tried_again_from_time_to_time(open_account, make_images):
    account = open_account(start=False, files_max=50, inline_when_full=True)
    account.sandbox.configure(max_files=1)
    jpeg = draw_image(make_images(0) / "x.jpg", 9).read_bytes()
    account.services.provider.upload("holiday.jpg", jpeg, "image/jpeg")
    asked = uploads_of(account)
    account.start()
    job = account.submit(make_images(60, "set", start=30))
    [ended] = account.ended(job)
    assert ended.status == JobStatus.COMPLETED
    assert account.statuses(job) == {"included": 60}
    assert 1 <= len(asked) <= UPLOADERS
    assert [file.filename for file in account.services.provider.files()] == ["holiday.jpg"]
    with account.services.database.read() as connection:
        assert provider_files.counts(connection, account.services.account) == (0, 0)


@pytest.mark.parametrize("settings", [{"provider": "openai"}, {"inline_when_full": True}])
def test_bytes_lost_before_an_inline_request_fail_only_that_image(
    open_account, make_images, settings
):
    account = open_account(start=False, files_max=1, **settings)
    job = account.submit(make_images(6))
    prepare_and_upload(account, job)
    drop_blob(account, job, 3)
    account.start()
    [ended] = account.ended(job)
    assert ended.status == JobStatus.PARTIAL
    assert account.statuses(job) == {"included": 5, "failed": 1}
    assert events(account, job, 3) == ["prepared", "uploaded", "prepared", "failed"]
    assert account.sandbox.stats()["repeated_paid"] == 0


@on_one_database
def test_two_accounts_side_by_side_keep_their_own_limits_and_files(open_account, make_images):
    one = open_account(rpm=20)
    two = open_account(
        rpm=20, concurrency=2
    )  # 21 requests per account: the last waits for the window
    one.sandbox.configure(rpm=20)
    photos = make_images(120)
    jobs = [one.submit(photos, key="one"), two.submit(photos, key="two", fresh=True)]
    for account, job in zip((one, two), jobs, strict=True):
        [ended] = account.ended(job)
        assert ended.status == JobStatus.COMPLETED
    seen = one.sandbox.stats()
    assert seen["refused_429"] == {"concurrency": 0, "rpm": 0, "tpm": 0}
    heights = sorted(account["max_in_flight"] for account in seen["accounts"].values())
    assert heights[0] <= 2
    assert [account["distinct_uploads"] for account in seen["accounts"].values()] == [120, 120]


def test_a_store_full_of_contents_another_account_needs_can_be_emptied(open_account, make_images):
    """The same pictures wait at another account; that does not keep them at this one."""
    one, two = open_account(files_max=12), open_account(start=False, files_max=12)
    photos = make_images(12)
    other = two.submit(photos, key="two", fresh=True)
    with two.services.database.write() as connection:
        connection.execute(
            text(
                "UPDATE images SET status = 'uploaded', sha256 = :sha, prepared_bytes = 9"
                " WHERE job_id = :job"
            ),
            {"job": other, "sha": "0" * 64},
        )
        state.coverage(connection, other)
    one.ended(one.submit(photos, key="one", keep_files=True))
    with two.services.database.write() as connection:
        connection.execute(
            text(
                "UPDATE images SET sha256 = (SELECT max(i.sha256) FROM images i"
                " WHERE i.position = images.position AND i.job_id <> :job) WHERE job_id = :job"
            ),
            {"job": other},
        )
    [ended] = one.ended(one.submit(make_images(12, "next", start=50), key="next"))
    assert ended.status == JobStatus.COMPLETED
    with two.services.database.write() as connection:
        state.job_cancelled(connection, other, Moved())
