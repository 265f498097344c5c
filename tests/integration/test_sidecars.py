"""Files beside pictures: what is written, what is left alone, and with which rights."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update

from clients.local_files import Place
from clients.sidecar_files import Outcome, SidecarFiles, may_write
from core.errors import WrongUsage
from core.job_options import JobOptions
from models.engine import Database
from models.reads import pipeline
from models.reads.pipeline import JobRow
from models.tables import Image, Job, Unit
from overstory.export.captions import Captions
from overstory.export.sidecars import Tally, Wanted, write_sidecars
from tests.support import shell
from tests.support.strangers import as_nobody, needs_root

TAGS = {"type": "array", "items": {"type": "string"}}
SCHEMA = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "kind": {"type": "string", "enum": ["a", "b"]},
        "says": {"type": "string"},
        "tags": TAGS,
        "damaged": {"type": "boolean"},
        "shop": {"type": "object", "properties": {"name": {"type": "string"}}},
    },
}
ANSWER = {"title": "T", "kind": "a", "says": "A red\nbarn ", "tags": ["barn", "red;", "barn"]}
ANSWER |= {"damaged": True, "shop": {"name": "Hof"}}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg"):
        (folder / name).write_bytes(b"\xff\xd8\xff picture")
    return folder


def asked(database: Database, images: list[dict[str, Any]], **options: Any) -> JobRow:
    """A job of these images: ``location`` and what else their rows have."""
    job = {"id": "j", "key": "j", "status": "partial", "ask": "?", "model": "m", "provider": "p"}
    job |= {"endpoint": "e", "account": "a", "detail": "low", "created_at": 1.0}
    with database.write() as connection:
        connection.execute(
            insert(Job).values(**job, options=JobOptions(**options), submitted=len(images))
        )
        for number, image in enumerate(images, start=1):
            row = {"job_id": "j", "position": number, "name": "n", "updated_at": 1.0}
            connection.execute(insert(Image).values(**row | {"status": "included"} | image))
        found = pipeline.job(connection, "j")
    assert found is not None
    return found


def written(
    database: Database, job: JobRow, home: Path, kind: str = "txt", **options: Any
) -> Tally:
    named = options.pop("caption", None), options.pop("keywords", ())
    captions = Captions(job, *named, plain=kind == "txt")
    wanted = Wanted(kind, **options)
    return write_sidecars(database, job, captions, wanted, home)


def of_schema(database: Database, photos: Path) -> JobRow:
    images = [{"location": f"{photos}/a.jpg", "answer": ANSWER, "note": "[1] a line"}]
    return asked(database, images, each="?", schema=json.dumps(SCHEMA))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "A red barn"),
        ({"caption": "note"}, "a line"),
        ({"caption": "shop.name"}, "Hof"),
        ({"caption": "answer.tags"}, "barn, red;, barn"),
        ({"keywords": ["tags", "damaged", "kind"]}, "A red barn, barn, red;, damaged, a"),
    ],
)
def test_a_caption_is_one_line_of_the_field_that_is_named(
    own: Database, home: Path, photos: Path, options: dict[str, Any], text: str
) -> None:
    written(own, of_schema(own, photos), home, **options)
    assert (photos / "a.txt").read_text() == text + "\n"


def test_a_title_is_not_said_twice_and_a_named_field_has_no_stand_in(
    own: Database, home: Path, photos: Path
) -> None:
    rows = [
        {"location": f"{photos}/a.jpg", "answer": ANSWER, "note": "[1] a line"},
        {"location": f"{photos}/b.jpg", "answer": ANSWER | {"says": ""}, "note": "[2] a line"},
    ]
    job = asked(own, rows, each="?", schema=json.dumps(SCHEMA))
    written(own, job, home, "xmp", caption="title")
    assert (photos / "a.xmp").read_text().count(">T<") == 1
    written(own, job, home)
    assert (photos / "b.txt").read_text() == "a line\n"
    assert written(own, job, home, caption="says").outcomes == {Outcome.UNCHANGED: 1}


def test_a_field_that_the_job_has_not_is_refused(own: Database, home: Path, photos: Path) -> None:
    job = of_schema(own, photos)
    for options in ({"caption": "name"}, {"keywords": ["unit"]}):
        with pytest.raises(WrongUsage, match=r"no such field, but title, kind, says, tags"):
            written(own, job, home, **options)


def test_a_unit_is_a_keyword_of_its_images(own: Database, home: Path, photos: Path) -> None:
    images = [{"location": f"{photos}/a.jpg", "note": "[1] a bed", "unit": 1}]
    job = asked(own, images, each="?", by="folder", each_only=True)
    with own.write() as connection:
        connection.execute(insert(Unit).values(job_id="j", number=1, name="Room, 4"))
    written(own, job, home, "xmp")
    text = (photos / "a.xmp").read_text()
    assert "<rdf:li>Room, 4</rdf:li>" in text
    assert ">a bed<" in text


def test_who_has_no_caption_has_no_file_and_a_duplicate_has_the_first_ones(
    own: Database, home: Path, photos: Path
) -> None:
    rows: list[dict[str, Any]] = [
        {"note": "[1] a barn"},
        {"location": f"{photos}/b.jpg", "status": "duplicate", "duplicate_of": 1},
        {"location": f"{photos}/c.jpg", "status": "failed", "note": "[3] old"},
        {"location": f"{photos}/d.jpg", "status": "skipped"},
        {"location": f"{photos}/e.jpg"},
        {"location": f"{photos}/gone.jpg", "note": "[6] was here"},
        {"location": "https://h.org/f.jpg", "note": "[7] far"},
    ]
    rows[0]["location"] = f"{photos}/a.jpg"
    tally = written(own, asked(own, rows), home)
    assert {path.name: path.read_text() for path in photos.glob("*.txt")} == {
        "a.txt": "a barn\n",
        "b.txt": "a barn\n",
    }
    assert tally.speechless == {"failed": 1, "skipped": 1, "of which the job says nothing": 1}
    assert (tally.outcomes[Outcome.GONE], tally.elsewhere) == (1, 1)
    assert not tally.is_whole


def test_a_file_that_is_not_ours_or_was_changed_is_left(
    own: Database, home: Path, photos: Path
) -> None:
    (photos / "b.txt").write_text("mine\n")
    rows = [{"location": f"{photos}/{name}.jpg", "note": f"[1] {name}"} for name in "ab"]
    job = asked(own, rows)
    tally = written(own, job, home)
    assert (photos / "b.txt").read_text() == "mine\n"
    assert tally.outcomes == {Outcome.WRITTEN: 1, Outcome.LEFT: 1}
    with own.write() as connection:
        connection.execute(update(Image).values(note="[1] better"))
    photos.rename(photos.with_name("moved"))
    photos.with_name("moved").rename(photos)
    assert written(own, job, home).outcomes == {Outcome.WRITTEN: 1, Outcome.LEFT: 1}
    assert (photos / "a.txt").read_text() == "better\n"
    assert written(own, job, home).outcomes == {Outcome.UNCHANGED: 1, Outcome.LEFT: 1}
    (photos / "a.txt").write_text("better, by hand\n")
    assert written(own, job, home).outcomes == {Outcome.LEFT: 2}
    assert written(own, job, home, overwrite=True).outcomes == {Outcome.WRITTEN: 2}
    assert (photos / "a.txt_original").read_text() == "better, by hand\n"
    assert (photos / "b.txt_original").read_text() == "mine\n"


def test_no_link_is_followed_and_no_picture_or_folder_is_replaced(
    home: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s")
    (tmp_path / "a.txt").symlink_to(secret)
    (tmp_path / "b.txt").write_bytes(b"\xff\xd8\xff picture")
    (tmp_path / "c.txt").mkdir()
    home.mkdir()
    place = Place(str(tmp_path))
    with SidecarFiles(home / "record") as files:
        for name in ("a.txt", "b.txt", "c.txt"):
            assert files.write(place, name, b"x", None, overwrite=False) is Outcome.LEFT
        assert files.write(place, "a.txt", b"x", None, overwrite=True) is Outcome.WRITTEN
        for name in ("b.txt", "c.txt"):
            assert files.write(place, name, b"x", None, overwrite=True) is Outcome.LEFT
    assert secret.read_text() == "s"
    assert (tmp_path / "a.txt_original").is_symlink()
    assert not (tmp_path / "a.txt").is_symlink()
    assert not list(tmp_path.glob(".*.part"))


def test_a_folder_that_became_a_link_out_of_its_root_is_not_written(
    own: Database, home: Path, photos: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.jpg").touch()
    (photos / "sub").symlink_to(elsewhere)
    row = {"location": f"{photos}/sub/a.jpg", "root": str(photos), "note": "[1] a"}
    with pytest.raises(WrongUsage, match="--into FOLDER"):
        written(own, asked(own, [row]), home)
    assert [path.name for path in elsewhere.iterdir()] == ["a.jpg"]


@needs_root
def test_a_folder_without_the_right_to_write_is_known_before(tmp_path: Path) -> None:
    def check() -> None:
        assert may_write(Place("/")) == "Permission denied"

    as_nobody(check)
    assert may_write(Place(str(tmp_path))) is None


def test_the_command_says_what_it_did(own: Database, home: Path, photos: Path) -> None:
    rows = [
        {"location": f"{photos}/a.jpg", "note": "[1] a barn"},
        {"location": "https://h.org/f.jpg", "note": "[2] far"},
    ]
    asked(own, rows)
    said = shell.say("export", "last", "--sidecar", "xmp")
    assert (said.returncode, said.stdout) == (3, "")
    first, second = said.stderr.splitlines()
    assert first == "sidecars: 1 .xmp file written"
    assert second.startswith("  1 image is not a file here (URLs")
    assert "--into FOLDER" in second
    before = os.umask(0)
    os.umask(before)
    assert stat.S_IMODE((photos / "a.xmp").stat().st_mode) == 0o666 & ~before
    into = photos.parent / "new" / "into"
    said = shell.say("export", "last", "--sidecar", "txt", "--into", str(into))
    assert (said.returncode, said.stderr) == (0, "sidecars: 2 .txt files written\n")
    assert (into / "a.txt").read_text() == "a barn\n"
    assert (into / "h.org" / "f.txt").read_text() == "far\n"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--sidecar", "txt", "--format", "csv"], "leave out --format, --rows and --out"),
        (["--into", "x"], "--into is about files beside the pictures"),
        (["--sidecar", "txt"], "no caption for any of its images (1 not answered yet)"),
    ],
)
def test_what_cannot_be_is_refused(
    own: Database, photos: Path, words: list[str], reason: str
) -> None:
    asked(own, [{"location": f"{photos}/a.jpg", "status": "pending"}])
    said = shell.say("export", "last", *words)
    assert said.returncode == 2
    assert reason in said.stderr
