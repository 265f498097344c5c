"""Files at the provider: one upload per content, and safe evictions."""

from __future__ import annotations

import random

import pytest
from sqlalchemy import update

from core.states import ImageStatus
from models import provider_files
from models.provider_files import Claim
from models.state import Moved
from models.tables import File, Image
from tests.support import jobs

SHA = "5" * 64


def claim(database, sha256=SHA, *, account=jobs.ACCOUNT, files_max=10, lease=None):
    with database.write() as connection:
        told = provider_files.claim_all(
            connection, account, {sha256: 100}, lease or jobs.lease(), files_max
        )
    return told[sha256]


def store(database, sha256=SHA, file_id="file-1", account=jobs.ACCOUNT):
    assert claim(database, sha256, account=account) is Claim.MINE
    with database.write() as connection:
        provider_files.stored_all(connection, account, {sha256: file_id})


def ids(database, *shas, account=jobs.ACCOUNT):
    with database.read() as connection:
        return provider_files.ids_of(connection, account, shas or (SHA,))


def evict(database, count=1):
    with database.write() as connection:
        return [file.file_id for file in provider_files.evict(connection, jobs.ACCOUNT, count)]


def test_one_content_is_uploaded_by_one_worker(database):
    told = jobs.at_once(lambda _: claim(database), range(16))
    assert sorted(told) == [Claim.BUSY] * 15 + [Claim.MINE]
    with database.write() as connection:
        provider_files.stored_all(connection, jobs.ACCOUNT, {SHA: "file-1"})
    assert claim(database) is Claim.STORED
    assert ids(database) == {SHA: "file-1"}


def test_a_slice_gets_a_result_for_each_content(database):
    store(database, "stored", "file-1")
    claim(database, "busy")
    with database.write() as connection:
        sizes = dict.fromkeys(["stored", "busy", "new", "newer", "too much"], 100)
        told = provider_files.claim_all(connection, jobs.ACCOUNT, sizes, jobs.lease(), 4)
    assert told == {
        "stored": Claim.STORED,
        "busy": Claim.BUSY,
        "new": Claim.MINE,
        "newer": Claim.MINE,
        "too much": Claim.FULL,
    }


def test_racing_slices_over_the_same_contents_upload_each_once(database):
    contents = [f"sha-{number}" for number in range(12)]

    def claim_some(seed: int) -> dict[str, Claim]:
        sizes = dict.fromkeys(random.Random(seed).sample(contents, 8), 100)
        with database.write() as connection:
            return provider_files.claim_all(connection, jobs.ACCOUNT, sizes, jobs.lease(), 99)

    told = jobs.at_once(claim_some, range(24))
    mine = [sha for slice_ in told for sha, claim in slice_.items() if claim is Claim.MINE]
    assert sorted(mine) == sorted(contents)


def test_each_account_has_its_own_files(database):
    store(database)
    assert claim(database, account="other") is Claim.MINE
    assert ids(database, account="other") == {}


@pytest.mark.parametrize("how", ["its worker is lost", "it is given up", "the provider lost it"])
def test_an_upload_that_failed_is_done_by_the_next_worker(database, how):
    lease = jobs.lease(0.0 if how == "its worker is lost" else jobs.LONG)
    assert claim(database, lease=lease) is Claim.MINE
    with database.write() as connection:
        if how == "it is given up":
            provider_files.abandoned(connection, jobs.ACCOUNT, [SHA], lease.token)
        if how == "the provider lost it":
            provider_files.stored_all(connection, jobs.ACCOUNT, {SHA: "file-1"})
            provider_files.gone(connection, jobs.ACCOUNT, ["file-1"])
    assert ids(database) == {}
    lost = how == "its worker is lost"  # then the file may already be at the provider
    assert claim(database) is (Claim.LOST if lost else Claim.MINE)
    assert claim(database) is Claim.BUSY


def test_a_worker_that_lost_the_upload_cannot_release_it(database):
    lost = jobs.lease(0.0)
    assert claim(database, lease=lost) is Claim.MINE
    assert claim(database) is Claim.LOST
    with database.write() as connection:
        provider_files.abandoned(connection, jobs.ACCOUNT, [SHA], lost.token)
    assert claim(database) is Claim.BUSY


def test_a_full_store_is_reported_and_an_eviction_makes_room(database):
    store(database, "a", "file-a")
    assert claim(database, "b", files_max=2) is Claim.MINE
    assert claim(database, "c", files_max=2) is Claim.FULL
    assert claim(database, "a", files_max=2) is Claim.STORED
    with database.write() as connection:
        files = provider_files.evict(connection, jobs.ACCOUNT, 1)
    assert [file.file_id for file in files] == ["file-a"]
    assert claim(database, "c", files_max=2) is Claim.FULL  # not yet deleted by the provider
    assert claim(database, "a", files_max=9) is Claim.BUSY
    with database.write() as connection:
        provider_files.deleted(connection, files)
    assert claim(database, "c", files_max=2) is Claim.MINE


def test_a_file_whose_deletion_failed_keeps_its_place_and_is_deleted_later(database):
    store(database, "a", "file-a")
    with database.write() as connection:
        files = provider_files.evict(connection, jobs.ACCOUNT, 1)
        assert not provider_files.any_undeleted(connection, jobs.ACCOUNT)  # it is being deleted
        provider_files.not_deleted(connection, files)
        assert provider_files.any_undeleted(connection, jobs.ACCOUNT)
    assert claim(database, "b", files_max=1) is Claim.FULL
    with database.write() as connection:
        assert provider_files.undeleted(connection, jobs.ACCOUNT, 9) == files
        assert provider_files.undeleted(connection, jobs.ACCOUNT, 9) == []
        provider_files.deleted(connection, files)
        assert not provider_files.any_undeleted(connection, jobs.ACCOUNT)
    assert claim(database, "b", files_max=1) is Claim.MINE


def test_a_content_whose_deletion_failed_is_searched_before_it_is_uploaded(database):
    store(database)
    with database.write() as connection:
        files = provider_files.evict(connection, jobs.ACCOUNT, 1)
        provider_files.not_deleted(connection, files)
    assert claim(database) is Claim.LOST
    with database.write() as connection:
        provider_files.deleted(connection, files)  # by a slow worker
    assert claim(database) is Claim.BUSY


def test_the_least_recently_used_files_are_evicted_first(database):
    for number, name in enumerate("abc"):
        store(database, name, f"file-{name}")
        with database.write() as connection:
            connection.execute(update(File).where(File.sha256 == name).values(used_at=number))
    claim(database, "a")  # uses it
    assert evict(database, 2) == ["file-b", "file-c"]
    assert ids(database, "a", "b", "c") == {"a": "file-a"}


def test_a_file_that_a_waiting_leaf_needs_is_never_evicted(database):
    job = jobs.submit(database, [2])
    jobs.upload_all(database, job)
    pinned = [image.sha256 for image in jobs.look(database, Image, job)]
    for name in (*pinned, "free"):
        store(database, name, f"file-{name}")
    assert evict(database, 9) == ["file-free"]
    with database.write() as connection:
        done = update(Image).where(Image.job_id == job).values(status=ImageStatus.INCLUDED)
        connection.execute(done)
    assert sorted(evict(database, 9)) == [f"file-{name}" for name in sorted(pinned)]


def test_parallel_evictions_never_choose_the_same_file(database):
    for number in range(10):
        store(database, f"sha-{number}", f"file-{number}")
    evicted = jobs.at_once(lambda _: evict(database, 2), range(8))
    chosen = [file for files in evicted for file in files]
    assert len(chosen) == len(set(chosen))
    assert sorted([*chosen, *evict(database, 10)]) == [f"file-{n}" for n in range(10)]


@pytest.mark.parametrize(
    ("ready", "whose", "told"),
    [
        (True, "the large one's", Claim.FULL),
        (True, "another's", Claim.MINE),
        (False, "the large one's", Claim.MINE),  # a leaf of this job may need this file
    ],
)
def test_a_job_that_fills_the_store_leaves_places_for_others(database, ready, whose, told):
    large, small = jobs.submit(database, [4, 4]), jobs.submit(database, [1])
    if ready:
        jobs.upload_all(database, large)
    else:
        with database.write() as connection:
            connection.execute(
                update(Image).where(Image.job_id == large).values(status=ImageStatus.UPLOADED)
            )
    for number in range(6):
        store(database, f"sha-{number}", f"file-{number}")
    job = large if whose == "the large one's" else small
    with database.write() as connection:
        sizes = {SHA: 100}
        claims = provider_files.claim_all(
            connection, jobs.ACCOUNT, sizes, jobs.lease(), 8, job_id=job
        )
    assert claims == {SHA: told}


@pytest.fixture
def missing(database):
    """A store of two places holds the first halves of two leaves, so no file can be evicted.
    Returns the id of the image that the first leaf lacks."""
    job, moved = jobs.submit(database, [2, 2]), Moved()
    images = [image.id for image in jobs.look(database, Image, job)]
    with database.write() as connection:
        for image in images:
            held = jobs.hold(connection, Image, image)
            assert jobs.record_prepared(connection, image, held, moved)
    for image in images[::2]:
        store(database, f"sha-{image}", f"file-{image}")
        with database.write() as connection:
            held = jobs.hold(connection, Image, image)
            assert jobs.record_uploaded(connection, image, held, moved)
    return images[1]


def is_stuck(database, files_max=2):
    with database.read() as connection:
        return provider_files.is_stuck(connection, jobs.ACCOUNT, files_max)


def test_a_store_full_of_incomplete_leaves_is_detected(database, missing):
    assert evict(database, 9) == []
    assert is_stuck(database)
    assert is_stuck(database, None)
    assert not is_stuck(database, files_max=3)  # a free place is kept for an earlier image
    assert is_stuck(database, None)  # unless the provider reports a full store


def test_a_leaf_that_waits_for_its_call_will_free_its_places(database, missing):
    with database.write() as connection:
        held = jobs.hold(connection, Image, missing)
        assert jobs.record_uploaded(connection, missing, held, Moved())
    assert not is_stuck(database)
    assert not is_stuck(database, None)


def test_an_upload_in_flight_may_complete_a_leaf(database, missing):
    assert claim(database, f"sha-{missing}") is Claim.MINE
    assert not is_stuck(database, files_max=3)
    assert is_stuck(database, None)  # the provider refuses the uploads in flight too


def test_an_upload_with_a_lost_worker_is_not_waited_for(database, missing):
    assert claim(database, f"sha-{missing}", lease=jobs.lease(0.0)) is Claim.MINE
    assert is_stuck(database)


def test_a_stored_content_not_yet_recorded_may_complete_a_leaf(database, missing):
    store(database, f"sha-{missing}", "file-2")
    assert is_stuck(database)
    with database.write() as connection:
        jobs.hold(connection, Image, missing)
    assert not is_stuck(database)
    assert not is_stuck(database, None)


@pytest.mark.parametrize("seconds", [0.0, provider_files.DELETED_SOON_SECONDS + 1.0])
def test_a_place_under_deletion_is_waited_for_a_limited_time(database, missing, seconds):
    store(database, "old", "file-old")
    with database.write() as connection:
        [old] = provider_files.evict(connection, jobs.ACCOUNT, 9)
        given_up = update(File).where(File.sha256 == "old")
        connection.execute(given_up.values(used_at=File.used_at - seconds))
    assert claim(database, "new", files_max=3) is Claim.FULL  # counted in both cases
    assert is_stuck(database, files_max=3) == (seconds > 0.0)
    with database.write() as connection:
        provider_files.deleted(connection, [old])
    assert not is_stuck(database, files_max=3)
