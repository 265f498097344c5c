"""One suite over both blob stores: a folder, and a bucket behind the S3 protocol."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from clients.blobs import Blobs, open_blobs
from core.errors import ServiceAway, WrongUsage
from tests.support.bucket import bucket

__all__ = ["bucket"]

DATA = os.urandom(200_000)
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(params=["folder", "bucket"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    if request.param == "folder":
        return open_blobs(f"file://{tmp_path / 'blobs'}", tmp_path)
    request.getfixturevalue("bucket")
    return open_blobs("s3://photos/prepared/images", tmp_path)


def test_get_returns_what_was_put(blobs: Blobs) -> None:
    blobs.put(SHA, DATA)
    blobs.put(SHA, DATA)
    assert blobs.get(SHA) == DATA


def test_get_of_an_unknown_blob_returns_none(blobs: Blobs) -> None:
    assert blobs.get("0" * 64) is None


def test_a_blob_is_dropped_only_if_it_is_old_enough(blobs: Blobs) -> None:
    blobs.put(SHA, DATA)
    assert blobs.size(SHA) == len(DATA)
    assert blobs.drop(SHA, 1e9) is None
    assert blobs.get(SHA) == DATA
    assert blobs.drop(SHA, 0.0) == len(DATA)
    assert blobs.get(SHA) is None
    assert blobs.size(SHA) is None
    assert blobs.drop(SHA, 0.0) is None


def test_putting_a_blob_again_resets_its_age(tmp_path: Path) -> None:
    blobs = open_blobs(None, tmp_path)
    blobs.put(SHA, DATA)
    path = next((tmp_path / "blobs").glob("*/*"))
    os.utime(path, (0, 0))
    blobs.put(SHA, DATA)
    assert blobs.drop(SHA, 3_600.0) is None


def test_a_store_that_works_passes_its_check(blobs: Blobs) -> None:
    blobs.check()


def test_objects_are_stored_under_the_prefix(bucket: dict[str, bytes], tmp_path: Path) -> None:
    open_blobs("s3://photos/prepared", tmp_path).put(SHA, DATA)
    assert list(bucket) == [f"/photos/prepared/{SHA[:2]}/{SHA}"]
    open_blobs("s3://photos/prepared", tmp_path).check()
    assert len(bucket) == 1  # the check deleted its probe


def test_an_unavailable_store_raises_service_away_with_its_address(
    bucket: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    away = open_blobs("s3://photos/prepared", tmp_path)
    for ask in (lambda: away.put(SHA, DATA), lambda: away.get(SHA), away.check):
        with pytest.raises(ServiceAway, match="s3://photos/prepared"):
            ask()


def test_other_schemes_are_refused(tmp_path: Path) -> None:
    for url in ("ftp://x/y", "s3://", "gopher:z"):
        with pytest.raises(WrongUsage, match="OVERSTORY_BLOB_URL"):
            open_blobs(url, tmp_path)


def test_only_a_bucket_imports_its_client() -> None:
    script = "import sys, pathlib; from clients.blobs import open_blobs;"
    script += "open_blobs(None, pathlib.Path('x')); assert 'obstore' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
