"""Messages of other apps: through the task ``overstory.submit``, up to the job's rows.

A message ends as a job that can be read back, or as a refusal in one sentence that tells nothing of
what exists outside the roots.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from celery import Celery
from PIL import Image as Picture
from sqlalchemy import delete

from benchmarks.fuzz.kind import Kind, check
from benchmarks.fuzz.mutations import of_text, of_value, scalar
from benchmarks.fuzz.schemas import schema_of
from core.errors import WrongUsage
from core.text.sanitize import all_storable
from models.reads import pipeline
from models.tables import Image, Job, Node
from overstory.output.result import result
from tasks.runtime.services import Services
from tasks.submit import submit_task
from tests.support.one_process import whole
from workers.app import make_app

SENTENCE_MAX = 4_000
SECRET = "secret-name"
"""A file outside of the root; no refusal may tell whether it exists."""
JOBS_KEPT = 300
FIELDS: dict[str, tuple[Any, ...]] = {
    "each": ("What is it?", "", " ", "x" * 100_001, "\0", "\ud800"),
    "key": ("k", "k2", "", "x" * 256, "\ud83d"),
    "label": ("a label", "\u202e", "x" * 255, "</notes>"),
    "detail": ("low", "high", "full", 7),
    "model": ("step-3.7-flash", "other", "x" * 256, "\0"),
    "fetch": (True, "yes", 2),
    "fresh": (True, None),
    "fail_fast": (True, [], "true"),
    "min_coverage": (0.5, 2, -1, float("nan"), 10**400),
    "budget": (1, 0, 1e10, float("inf"), "1"),
    "prompts": ({"leaf": "x"}, {"nothing": "x"}, {"root": "$question " * 999}, [], {"": None}),
    "bare": (True, 1),
    "canary": (True, "no"),
    "webhook": ("http://127.0.0.1/hook", "https://h/\u202e", "ftp://h", "http://h/" + "x" * 2_000),
    "weight": (1, 0, 1e308, -1, "2"),
    "keep_files": (True,),
    "nothing_of_ours": (1,),
}


@dataclass
class Submissions:
    services: Services
    app: Celery
    inputs: list[str]
    outside: str
    taken: int = 0

    def make(self, draw: random.Random) -> dict[str, Any]:
        images: Any = [self._input(draw) for _ in range(draw.choice((1, 1, 1, 2, 5)))]
        if draw.random() < 0.02:
            images *= 500
        message: dict[str, Any] = {"images": images}
        if draw.random() < 0.9:
            message["ask"] = draw.choice(("What?", "Größe?", of_text(draw, "How many?")))
        for name, values in FIELDS.items():
            if draw.random() < 0.06:
                message[name] = draw.choice(values) if draw.random() < 0.9 else scalar(draw)
        if draw.random() < 0.15:
            message["schema"] = schema_of(draw)
        if draw.random() < 0.25:
            message = of_value(draw, message, 0.08)
        return message if isinstance(message, dict) else {"images": message}

    def _input(self, draw: random.Random) -> str:
        if draw.random() < 0.6:
            return draw.choice(self.inputs[:3])
        text = draw.choice(self.inputs)
        return of_text(draw, text) if draw.random() < 0.4 else text

    def run(self, case: dict[str, Any]) -> str:
        # as it comes out of a message: keyword arguments are strings
        arguments = {str(name): value for name, value in case.items()}
        try:
            job_id = self.app.tasks[submit_task.name](**arguments)
        except WrongUsage as refused:
            told = str(refused)
            check(len(told) < SENTENCE_MAX, f"a refusal has {len(told):,} characters")
            check(told.isprintable(), f"a refusal is {told[:200]!r}")
            return "refused"
        check(not job_id.startswith("waits"), f"it waits for a service: {job_id}")
        self._read_back(job_id)
        return "a job"

    def _read_back(self, job_id: str) -> None:
        database = self.services.database
        with database.read() as connection:
            job = pipeline.job(connection, job_id)
        check(job is not None, "the job has no row")
        assert job is not None
        value = result(database, job)
        check(all_storable(value), "the job cannot be stored")
        json.dumps(value)
        outside = [image for image in value["images"] if SECRET in image["name"]]
        check(not outside, "a file outside of the root is taken")
        self.taken += 1
        if self.taken % JOBS_KEPT == 0:  # so that a case does not depend on its place in a run
            with database.write() as connection:
                for table in (Image, Node, Job):
                    connection.execute(delete(table))


def names(root: Path, outside: Path) -> list[str]:
    """What a message may name; most of it is wrong."""
    return [
        *(str(root), f"{root}/*.jpg", f"{root}/a.jpg", f"{root}/**", f"{root}/loop/**/*.jpg"),
        *(
            f"{root}/out.jpg",
            f"{root}/../{outside.name}/{SECRET}.jpg",
            str(outside),
            f"{outside}/*",
        ),
        *(
            f"{outside}/{SECRET}.jpg",
            "/",
            "/**",
            "//",
            "/etc/passwd",
            "~",
            "",
            ".",
            "..",
            "\0",
            "a\0b",
        ),
        *(
            "https://h.example/x.jpg",
            "http://",
            "https://u:p@h/x",
            "file:///etc/passwd",
            "HTTP://[::",
        ),
        *(
            f"https://h.example/{'x' * 8_000}",
            f"https://h.example/{'é' * 5_000}",
            "data:image/png,x",
        ),
        *(
            f"{root}/{'x' * 300}.jpg",
            f"{root}/{'x/' * 3_000}",
            f"{root}/" + "**/" * 200,
            f"{root}/[a-",
        ),
        *(f"{root}/*" * 50, f"{root}/\ud800.jpg", f"{root}/\u202e.jpg", "s3://b/k", "*", "**/*"),
        *(f"{root}/scan.pdf", f"{root}/scan.pdf[3]", f"{root}/pipe", f"{root}/a.jpg/", "\x9b2J"),
    ]


def furnish(root: Path, outside: Path) -> None:
    for folder in (root, outside):
        folder.mkdir()
    Picture.new("RGB", (64, 48), "red").save(root / "a.jpg")
    Picture.new("RGB", (64, 48), "blue").save(outside / f"{SECRET}.jpg")
    (root / "scan.pdf").write_bytes(b"%PDF-1.4 cut")
    (root / "notes.txt").write_text("no picture")
    (root / "loop").symlink_to(root)
    (root / "out.jpg").symlink_to(outside / f"{SECRET}.jpg")
    os.mkfifo(root / "pipe")


@contextmanager
def opened() -> Iterator[Submissions]:
    with tempfile.TemporaryDirectory() as folder:
        root, outside = Path(folder) / "inputs", Path(folder) / "outside"
        furnish(root, outside)
        settings = {"input_roots": (str(root),), "webhook_secret": None, "submit_seconds": 5.0}
        with whole(Path(folder) / "home", **settings) as job:
            app = make_app(job.services.settings)
            app._services = (os.getpid(), job.services)  # noqa: SLF001 - as a worker's start does
            with app:
                yield Submissions(job.services, app, names(root, outside), str(outside))


KIND = Kind("submission", 12_000, opened, cpu_seconds=6.0)
