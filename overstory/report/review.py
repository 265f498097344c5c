"""What a review page shows: a sample of a job's images, each with its answer by field."""

from __future__ import annotations

import random
from typing import Any

from clients.blobs import open_blobs
from clients.images.decoder import Decoder
from clients.sources.location import known_as
from clients.uploads import open_uploads
from core.answers.totals import value_at
from core.errors import WrongUsage
from core.settings import Settings
from core.truth.comparison import ANSWER
from models.engine import Database
from models.reads import inspect
from models.reads.parts import ANSWERED, at, images_in_pages, positions
from models.reads.pipeline import JobRow
from overstory.checking import kinds_of
from overstory.output.answers import shape_of_job
from overstory.report.pictures import PictureSize, pictures

LARGE = PictureSize(1024, 74)
"""About 100 KB a picture."""


def review_data(
    settings: Settings, database: Database, job: JobRow, count: int, seed: int
) -> dict[str, Any]:
    """At most ``count`` answered images of ``job``, drawn by ``seed``, as one JSON value. Raises
    WrongUsage for a job without an answer about each image, or with no answer yet."""
    if job.options.by:
        raise WrongUsage(
            f"job {job.id} has answers about units, and a review shows single images: compare the"
            f" answers with what you know: overstory check {job.id} --truth FILE"
        )
    kinds_of(job)  # refuses a job that asked about the set alone
    shape = shape_of_job(job)
    with database.read() as connection:
        answered = positions(connection, job.id, ANSWERED)
    if shape is None or not answered:
        raise WrongUsage(f"job {job.id} has no answer to review yet: 'overstory watch' shows why")
    chosen = random.Random(seed).sample(answered, min(count, len(answered)))  # noqa: S311
    answers = {row.position: row.answer for row in images_in_pages(database, job.id, at(chosen))}
    with database.read() as connection:
        lines = inspect.images(connection, job.id, which=at(chosen))
    line_of = {line.position: line for line in lines}
    blobs = open_blobs(settings.blob_url, settings.home)
    decoder = Decoder(settings.decoder_limits)
    uploads = open_uploads(settings.blob_url, settings.home)
    shown = pictures(lines, blobs, uploads, settings.image_limits, decoder, LARGE)
    return {
        "job": job.id,
        "each": shape.each,
        "seed": seed,
        "answered": len(answered),
        "items": [
            {
                "n": line.position,
                "name": line.name,
                "file": known_as(line.name, line.location, line.page),
                "picture": shown.index_of.get(line.position),
                "answers": [
                    [".".join(path) or ANSWER, value_at(answers[line.position], path)]
                    for path in shape.columns
                ],
            }
            for line in map(line_of.__getitem__, chosen)
        ],
        "pictures": shown.encoded,
    }
