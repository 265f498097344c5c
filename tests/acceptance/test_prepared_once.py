"""Another question about the same pictures reuses the prepared images."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import pytest

from tests.support.command import Endpoint, Person
from tests.support.pictures import draw_image

pytestmark = pytest.mark.acceptance

OTHER = "Which of these would you print?"


def asked(person: Person, *words: object, ask: str) -> dict[str, Any]:
    ran = person.run(*words, "--keep-files", "--json", ask=ask)
    assert ran.status == 0, ran.err
    assert ran.result["coverage"]["included"] == ran.result["coverage"]["submitted"]
    return ran.result


def prepared(person: Person, job: str) -> list[str]:
    """Names of the images that a job prepared itself, in order."""
    with closing(sqlite3.connect(person.home / "overstory.db")) as database:
        rows = database.execute(
            "SELECT images.name FROM events JOIN images ON images.id = events.image_id"
            " WHERE events.job_id = ? AND events.name = 'image.prepared' ORDER BY position",
            [job],
        )
        return [name for (name,) in rows]


def shas(person: Person, job: str) -> list[str]:
    with closing(sqlite3.connect(person.home / "overstory.db")) as database:
        rows = database.execute(
            "SELECT sha256 FROM images WHERE job_id = ? ORDER BY position", [job]
        )
        return [sha for (sha,) in rows]


def test_another_question_prepares_and_uploads_nothing(
    person: Person, endpoint: Endpoint, make_images
):
    photos = make_images(70)
    first = asked(person, photos, ask="What is in these pictures?")
    second = asked(person, photos, ask=OTHER)
    assert len(prepared(person, first["job"])) == 70
    assert prepared(person, second["job"]) == []
    assert shas(person, second["job"]) == shas(person, first["job"])
    assert endpoint.stats()["uploads"] == 70
    assert second["usage"]["requests"] == first["usage"]["requests"] == 3
    again = asked(person, photos, "--fresh", ask="And which is the oldest?")
    assert len(prepared(person, again["job"])) == 70
    finer = asked(person, photos, "--detail", "high", ask="And which is the newest?")
    assert len(prepared(person, finer["job"])) == 70


def test_only_new_changed_or_lost_images_are_prepared(person: Person, make_images):
    photos = make_images(6)
    first = asked(person, photos, ask="What is in these pictures?")
    draw_image(photos / "0001.jpg", 901)
    draw_image(photos / "0003b.jpg", 902)
    lost = shas(person, first["job"])[4]
    (person.home / "blobs" / lost[:2] / lost).unlink()
    second = asked(person, photos, ask=OTHER)
    assert prepared(person, second["job"]) == ["0001.jpg", "0003b.jpg", "0004.jpg"]
