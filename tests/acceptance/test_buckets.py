"""The command itself over a bucket and an archive: its workers are forked processes."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.bucket import People, bucket, people
from tests.support.command import Endpoint, Person

__all__ = ["bucket", "people"]

pytestmark = pytest.mark.acceptance

MakeImages = Callable[..., Path]


def test_a_bucket_and_an_archive_are_asked_about_once(
    person: Person, endpoint: Endpoint, make_images: MakeImages, people: People
) -> None:
    files = sorted(make_images(6).iterdir())
    people.objects |= {f"/pics/t/{path.name}": path.read_bytes() for path in files[:4]}
    archive = person.folder / "rest.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in files[3:]:  # one is in both
            packed.write(path, f"in/{path.name}")
    words = ("run", "s3://pics/t/", archive, "--ask", "What is there?", "--json")
    found = person.say(*words).result
    assert found["status"] == "completed"
    assert found["coverage"]["included"] == 7
    asked = len(endpoint.image_counts())
    people.asked.clear()
    again = person.say(*words).result
    assert again["job"] == found["job"]
    assert len(endpoint.image_counts()) == asked
    assert all("list-type" in request for request in people.asked)
