"""What shows that the model saw an image: in lists, in the live progress and in the report."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy import update

from clients.blobs import open_blobs
from clients.images.decoder import Decoder
from clients.uploads import open_uploads
from core.errors import RefusalCode, RequestPart
from core.settings import load
from models import endpoint_limits
from models.engine import Database
from models.reads import pipeline
from models.state import Moved
from models.tables import Node
from overstory.local import wait
from overstory.output.learned import untold
from overstory.output.progress import Counts, Display
from overstory.report.data import report_data
from tests.support import jobs, shell
from tests.support.one_process import make_files, whole


@pytest.fixture
def proven(own: Database) -> str:
    """A job of five images: two with a line, two only sent, one failed as unseen."""
    job = jobs.submit(own, [5])
    with own.write() as connection:
        *_, last = jobs.rows(connection, jobs.Image, job)
        jobs.fail_image(connection, last.id, RefusalCode.UNSEEN, "no reply had a line", Moved())
    jobs.finish_all(own, jobs.upload_all(own, job))
    jobs.prove(own, job, "line", 1, 3)
    jobs.prove(own, job, "sent", 2)
    return job


def test_images_are_listed_with_their_proof(proven: str) -> None:
    text = shell.say("images", proven).stdout
    assert text.splitlines()[0].split() == [
        "#",
        "name",
        "status",
        "seen",
        "size",
        "tokens",
        "reason",
    ]
    assert text.count(" line ") == 2
    assert text.count("only sent") == 2
    assert "red barn" not in text
    assert shell.say("images", proven, "--notes").stdout.count("a red barn [") == 2


def test_images_without_a_proof_are_listed_alone(own: Database, proven: str) -> None:
    shown = shell.say("images", proven, "--unseen").stdout
    assert [line.split()[0] for line in shown.splitlines()] == ["#", "2", "4", "5"]
    listed = json.loads(shell.say("images", proven, "--unseen", "--json").stdout)
    assert [(i["position"], i["seen"], i["note"]) for i in listed] == [
        (2, "sent", None), (4, "sent", None), (5, None, None),
    ]  # fmt: skip
    jobs.prove(own, proven, "answer", 2, 4)
    none = shell.say("images", proven, "--unseen", "--status", "included").stdout
    assert none == "none of the 5 images is included and unseen\n"


def test_one_job_is_shown_with_its_proofs(proven: str) -> None:
    text = shell.say("show", proven).stdout
    assert "5 submitted, 4 included (2 by a line of their own, 2 only sent), 1 failed" in text


class Sentences(Display):
    def __init__(self) -> None:
        self.printed: list[str] = []
        self.console = Console()

    def show(self, counts: Counts, note: str = "", above: Any = None) -> None:
        return None

    def report(self, sentences: Iterable[str]) -> None:
        self.printed += untold(self.console, sentences)


def test_a_limit_is_reported_once_while_the_job_runs(tmp_path: Path, empty_url: str) -> None:
    with whole(tmp_path / "home", empty_url) as runner:
        job = runner.submit(make_files(tmp_path / "files", 2))
        database = runner.services.database
        shown = Sentences()
        wait.check(runner.services, job, shown, counting=True)
        assert shown.printed == []
        with database.write() as connection:
            row = pipeline.job(connection, job)
            assert row is not None
            limit = (RequestPart.IMAGES, 5, True, "At most 5 image(s)")
            endpoint_limits.learn(connection, row.endpoint, row.model, *limit)
        for _ in range(2):
            wait.check(runner.services, job, shown, counting=True)
    (sentence,) = shown.printed
    assert sentence.endswith("takes at most 5 images in one request (the endpoint said so: At most"
                             " 5 image(s))")  # fmt: skip


# --- the report


def report(database: Database, job: str) -> dict[str, Any]:
    settings = load()
    with database.read() as connection:
        row = pipeline.job(connection, job)
    assert row is not None
    blobs = open_blobs(settings.blob_url, settings.home)
    return report_data(
        database,
        row,
        blobs,
        open_uploads(None, settings.home),
        settings.image_limits,
        Decoder(settings.decoder_limits),
        0.0,
    )


def test_a_report_has_the_line_and_the_proof_of_each_image(own: Database, proven: str) -> None:
    with own.write() as connection:
        text = "[1] not shown\n[2] two cows"
        connection.execute(update(Node).where(Node.job_id == proven).values(text=text))
    data = report(own, proven)
    assert data["seen"] == {"answer": 0, "line": 2, "sent": 2}
    assert not data["job"]["bare"]
    assert [image.get("seen") for image in data["images"]] == ["line", "sent", "line", "sent", None]
    assert [image.get("note") for image in data["images"]] == [
        ["a red barn ", ["c", [[1, 1]]]],
        ["two cows"],  # from the leaf's text
        ["a red barn ", ["c", [[3, 3]]]],
        None,
        None,
    ]
    assert data["images"][4]["code"] == "unseen"
