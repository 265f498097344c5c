"""One suite over both stores of uploads: a folder, and a bucket behind the S3 protocol."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from clients import uploads as stores
from clients.uploads import Uploads, local, open_uploads
from clients.uploads.folder import ABANDONED_SECONDS
from core.errors import ImageRefused, RefusalCode, ServiceAway, WrongUsage
from tests.support.bucket import bucket

__all__ = ["bucket"]

DATA = os.urandom(300_000)
SHA = hashlib.sha256(DATA).hexdigest()
LATER = 4e9


@pytest.fixture(params=["folder", "bucket"])
def uploads(request: pytest.FixtureRequest, tmp_path: Path) -> Uploads:
    if request.param == "folder":
        return open_uploads(None, tmp_path)
    request.getfixturevalue("bucket")
    return open_uploads("s3://photos/prepared", tmp_path)


def send(uploads: Uploads, owner: str, *pieces: bytes) -> stores.Upload:
    incoming = uploads.begin(owner)
    for piece in pieces:
        incoming.write(piece)
    return incoming.finish()


def read(uploads: Uploads, owner: str, sha256: str) -> bytes:
    with local(uploads, owner, sha256) as path:
        return path.read_bytes()


def test_pieces_become_one_upload(uploads: Uploads) -> None:
    sent = send(uploads, "ann", DATA[:100_000], b"", DATA[100_000:])
    assert (sent.sha256, sent.bytes, sent.fresh) == (SHA, len(DATA), True)
    assert read(uploads, "ann", SHA) == DATA
    assert uploads.size("ann", SHA) == len(DATA)
    assert not uploads.put("ann", DATA).fresh


def test_nothing_is_visible_before_the_end(uploads: Uploads) -> None:
    incoming = uploads.begin("ann")
    incoming.write(DATA)
    assert uploads.size("ann", SHA) is None
    assert list(uploads.kept(LATER)) == []
    incoming.abort()
    incoming.abort()
    assert uploads.size("ann", SHA) is None


def test_another_hash_than_announced_leaves_nothing(uploads: Uploads) -> None:
    incoming = uploads.begin("ann")
    incoming.write(DATA)
    with pytest.raises(WrongUsage, match=SHA):
        incoming.finish("0" * 64)
    assert uploads.size("ann", SHA) is None
    assert list(uploads.kept(LATER)) == []


def test_an_upload_is_its_owners_alone(uploads: Uploads) -> None:
    uploads.put("Ann", DATA)
    for other in ("ann", "bob", "Ann ", "an"):
        assert uploads.size(other, SHA) is None
        with pytest.raises(ImageRefused) as refused, local(uploads, other, SHA):
            pass
        assert refused.value.code is RefusalCode.MISSING


def test_sizes_and_first_bytes_are_read_together(uploads: Uploads) -> None:
    small = uploads.put("ann", b"ab").sha256
    empty = uploads.put("ann", b"").sha256
    uploads.put("ann", DATA)
    keys = [("ann", SHA), ("ann", small), ("ann", empty), ("bob", SHA)]
    heads = uploads.heads(keys, 10)
    assert {key: (head.size, head.first) for key, head in heads.items()} == {
        ("ann", SHA): (len(DATA), DATA[:10]),
        ("ann", small): (2, b"ab"),
        ("ann", empty): (0, b""),
    }


def test_uploads_are_listed_and_dropped_by_age(uploads: Uploads) -> None:
    uploads.put("Ann's app", DATA)
    (kept,) = uploads.kept(LATER)
    assert (kept.owner, kept.sha256, kept.bytes) == ("Ann's app", SHA, len(DATA))
    assert list(uploads.kept(kept.changed)) == []
    assert not uploads.drop(kept, kept.changed)
    assert uploads.drop(kept, LATER)
    assert not uploads.drop(kept, LATER)
    assert uploads.size("Ann's app", SHA) is None


def test_a_store_that_works_passes_its_check(uploads: Uploads) -> None:
    uploads.check()
    assert list(uploads.kept(LATER)) == []


# --- a folder


def test_a_killed_process_leaves_nothing_visible(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, signal; from clients.uploads import open_uploads;"
        f"incoming = open_uploads(None, pathlib.Path({str(tmp_path)!r})).begin('ann');"
        "incoming.write(b'x' * 1_000_000); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == -9
    uploads = open_uploads(None, tmp_path)
    assert list(uploads.kept(LATER)) == []
    (left,) = (tmp_path / "uploads" / "_parts").iterdir()
    assert uploads.delete_parts() == 0  # it may still be written
    long_ago = time.time() - ABANDONED_SECONDS - 1
    os.utime(left, (long_ago, long_ago))
    assert uploads.delete_parts() == 1
    assert not left.exists()


def test_files_are_for_their_owner_alone(tmp_path: Path, usual_umask: None) -> None:
    open_uploads(None, tmp_path).put("ann", DATA)
    made = [tmp_path / "uploads", *(tmp_path / "uploads").rglob("*")]
    assert not [path for path in made if path.stat().st_mode & 0o077]


def test_asking_for_an_upload_makes_it_new(tmp_path: Path) -> None:
    uploads = open_uploads(None, tmp_path)
    uploads.put("ann", DATA)
    (kept,) = uploads.kept(LATER)
    path = uploads.path("ann", SHA)
    assert path is not None
    os.utime(path, (0, 0))
    assert uploads.size("ann", SHA) == len(DATA)
    assert not uploads.drop(kept, kept.changed)


def test_a_full_disk_is_a_service_that_is_away(tmp_path: Path) -> None:
    (tmp_path / "uploads").write_text("in the way")
    with pytest.raises(ServiceAway, match="uploads"):
        open_uploads(None, tmp_path).begin("ann")


def test_beside_the_blobs_of_a_folder_url(tmp_path: Path) -> None:
    open_uploads(f"file://{tmp_path}/blobs", tmp_path / "home").put("ann", DATA)
    assert (tmp_path / "blobs" / "uploads" / "ann" / SHA[:2] / SHA).read_bytes() == DATA


# --- a bucket


def test_a_signed_url_takes_the_upload(bucket: dict[str, bytes], tmp_path: Path) -> None:
    uploads = open_uploads("s3://photos/prepared", tmp_path)
    url = uploads.signed_put("ann", SHA, 60)
    assert url is not None
    urllib.request.urlopen(urllib.request.Request(url, DATA, method="PUT")).close()
    assert read(uploads, "ann", SHA) == DATA
    assert list(bucket) == [f"/photos/prepared/uploads/ann/{SHA[:2]}/{SHA}"]
    assert open_uploads(None, tmp_path).signed_put("ann", SHA, 60) is None


def test_a_large_upload_goes_to_the_bucket_in_parts(
    bucket: dict[str, bytes], tmp_path: Path
) -> None:
    uploads = open_uploads("s3://photos", tmp_path)
    large = os.urandom(1_000_000) * 10
    sent = send(uploads, "ann", large[:4_000_000], large[4_000_000:])
    assert sent.sha256 == hashlib.sha256(large).hexdigest()
    assert read(uploads, "ann", sent.sha256) == large


def test_a_file_that_is_too_large_is_not_copied(bucket: dict[str, bytes], tmp_path: Path) -> None:
    uploads = open_uploads("s3://photos", tmp_path)
    uploads.put("ann", DATA)
    with pytest.raises(ImageRefused) as refused, local(uploads, "ann", SHA, 1_000):
        pass
    assert refused.value.code is RefusalCode.TOO_LARGE_FILE


def test_other_objects_below_the_prefix_are_no_uploads(
    bucket: dict[str, bytes], tmp_path: Path
) -> None:
    bucket["/photos/uploads/x"] = bucket["/photos/uploads/ann/ab/short"] = b"foreign"
    assert list(open_uploads("s3://photos", tmp_path).kept(LATER)) == []


def test_a_bucket_that_is_away_says_so(bucket: dict[str, bytes], tmp_path: Path,
                                       monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    away = open_uploads("s3://photos", tmp_path)
    for ask in (lambda: away.put("ann", DATA), lambda: away.heads([("ann", SHA)], 1)):
        with pytest.raises(ServiceAway, match="s3://photos"):
            ask()
