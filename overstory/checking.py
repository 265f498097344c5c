"""A job's answers compared with a truth file: about each image, or about each unit."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from clients.sources.location import known_as
from core.answers.json_schema import kind_of
from core.answers.totals import fields
from core.errors import WrongUsage
from core.truth.comparison import ANSWER
from core.truth.rules import Rule, rules_of
from core.truth.score import Case, Confusion, FieldScore, Score, Wrong, score
from core.truth.truth import Not, Truth, Value
from models.engine import Database
from models.reads.export import pages
from models.reads.inspect import WAITING_IMAGES
from models.reads.pipeline import JobRow
from models.reads.units import units
from overstory.output.answers import shape_of_job

SEED = 1
"""The bootstrap draws the same samples each time, so that the same check prints the same."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What may be labelled: an image, or a unit with the position of its first image. ``known_as``:
    what the truth file may call it."""

    position: int
    name: str
    known_as: str
    answer: Any
    waits: bool


@dataclass(frozen=True, slots=True)
class Check:
    """``labelled``: images, or units, in the truth file; ``matched``: those that the job has;
    ``waiting``: matched ones that the job has not come to, which are not judged. ``left_out``:
    fields of the truth that the answers do not have."""

    job: str
    score: Score
    labelled: int
    matched: int
    waiting: int
    unmatched: tuple[str, ...]
    ambiguous: tuple[str, ...]
    left_out: tuple[str, ...]
    by_units: bool = False


def check_job(database: Database, job: JobRow, truth: Truth, given_rules: Sequence[str]) -> Check:
    """Compare. Raises WrongUsage for a job without an answer for each image, for a rule that does
    not exist, and where no image or no field is in both."""
    judged, rules = judged_by(kinds_of(job), truth, given_rules, f"job {job.id} answers")
    answered = _units(database, job) if job.options.by else _images(database, job)
    matched = judged.matched([one.known_as for one in answered])
    if not matched.index:
        raise WrongUsage(_nothing_matched(job, answered, truth))
    places = sorted(matched.index.items(), key=lambda pair: pair[1])
    labelled = [(judged.rows[label], answered[place]) for label, place in places]
    ready = [Case(a.position, a.name, row, a.answer) for row, a in labelled if not a.waits]
    return Check(
        job=job.id,
        score=score(ready, rules, random.Random(SEED)),  # noqa: S311 -- statistics
        labelled=len(truth.rows),
        matched=len(matched.index),
        waiting=len(labelled) - len(ready),
        unmatched=matched.unmatched,
        ambiguous=matched.ambiguous,
        left_out=tuple(field for field in truth.fields if field not in judged.fields),
        by_units=job.options.by is not None,
    )


def judged_by(
    kinds: Mapping[str, str | None], truth: Truth, given_rules: Sequence[str], where: str
) -> tuple[Truth, dict[str, Rule]]:
    """The fields of ``truth`` that are among ``kinds``, and the rule of each. ``where``: whose
    fields ``kinds`` are, for the error. Raises WrongUsage if no field is in both."""
    known = tuple(field for field in truth.fields if _is_asked(field, kinds))
    if not known:
        raise WrongUsage(
            f"the truth has none of the fields that {where}: {', '.join(kinds)}."
            f" Its columns: {', '.join(truth.fields)}"
        )
    judged = Truth({n: _only(row, known) for n, row in truth.rows.items()}, known)
    return judged, rules_of(given_rules, judged, {f: kind for f, kind in kinds.items() if kind})


def kinds_of(job: JobRow) -> dict[str, str | None]:
    """The fields of the answer about an image, or a unit, by dotted name, with their JSON type if
    it has one. Raises WrongUsage if the job asked about neither."""
    shape = shape_of_job(job)
    if shape is None or shape.each is None:
        raise WrongUsage(
            f"job {job.id} has one answer about the whole set, and no answer about each image to"
            " check. Ask about each image: overstory run PATHS --each TEXT [--schema FILE]"
        )
    return kinds_in(shape.schema)


def kinds_in(schema: dict[str, Any] | None) -> dict[str, str | None]:
    """The same of answers with ``schema``, or of plain text without one."""
    if schema is None:
        return {ANSWER: None}
    return {
        ".".join(path): "date" if part.get("format") == "date" else kind_of(part)
        for path, part in fields(schema).items()
    }


def _is_asked(field: str, kinds: Mapping[str, Any]) -> bool:
    """Whether the answers may have ``field``: by its name, or inside a map of free keys."""
    return any(field == known or field.startswith(f"{known}.") for known in kinds)


def _only(row: Mapping[str, Value], known: Sequence[str]) -> dict[str, Value]:
    return {field: value for field, value in row.items() if field in known}


def _images(database: Database, job: JobRow) -> list[Answered]:
    """The images of a job. A duplicate has its original's answer."""
    images = [image for page in pages(database, job.id, with_notes=False) for image in page]
    by_position = {image.position: image for image in images}
    answered = []
    for image in images:
        source = by_position.get(image.duplicate_of or 0, image)
        called = known_as(image.name, image.location, image.page)
        waits = source.status in WAITING_IMAGES
        answered.append(Answered(image.position, image.name, called, source.answer, waits))
    return answered


def _units(database: Database, job: JobRow) -> list[Answered]:
    """The units of a job. One without an answer waits while the job goes on."""
    with database.read() as connection:
        rows = units(connection, job.id)
    waits = not job.status.ended
    return [
        Answered(row.positions[0], row.name, row.name, row.answer, waits and row.answer is None)
        for row in rows
    ]


def _nothing_matched(job: JobRow, answered: Sequence[Answered], truth: Truth) -> str:
    ours = answered[0].known_as if answered else "none"
    if job.options.by:
        called, what = "the names of units", "unit"
    else:
        called, what = "paths, ends of paths or file names", "image"
    return (
        f"no labelled {what} is in job {job.id}: the truth names {next(iter(truth.rows))!r}, the"
        f" job {ours!r}. Write {called}; --name-column names their column"
    )


def json_of(check: Check) -> dict[str, Any]:
    """The value that ``check --json`` prints."""
    return {
        "job": check.job,
        "labelled": check.labelled,
        "matched": check.matched,
        "waiting": check.waiting,
        "unmatched": list(check.unmatched),
        "ambiguous": list(check.ambiguous),
        "left_out": list(check.left_out),
        "fields": {name: json_of_field(field) for name, field in check.score.fields.items()},
        "confusions": [_row(confusion) for confusion in check.score.confusions],
        "wrong": [_row(wrong) for wrong in check.score.wrong],
    }


def json_of_field(field: FieldScore) -> dict[str, Any]:
    """The value of one field in ``--json``."""
    values = {
        "right": field.right,
        "of": field.of,
        "unanswered": field.unanswered,
        "low": field.low,
        "high": field.high,
        "rule": str(field.rule),
    }
    if field.figure is None:
        return values
    return values | {field.rule.figure_name: asdict(field.figure)}


def _row(row: Wrong | Confusion) -> dict[str, Any]:
    truth = {"not": row.truth.value} if isinstance(row.truth, Not) else row.truth
    return asdict(row) | {"truth": truth}
