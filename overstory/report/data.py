"""Everything a report shows, as one JSON value. Only the script (report/script) reads it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import chain, islice
from typing import Any

from clients.blobs import Blobs
from clients.images.decoder import Decoder
from clients.uploads import Uploads
from core.images.sizing import ImageLimits
from core.requests.set_summary import texts_of
from core.states import NodeKind
from core.text.citations import parted
from models.engine import Connection, Database
from models.reads import inspect, lineage, parts, pipeline, units
from models.reads.inspect import ImageLine, JobLine, NodeLine
from models.reads.pipeline import JobRow, Used
from overstory.output import looks
from overstory.output.answers import Shape, shape_of_job
from overstory.output.result import image_values, overview
from overstory.report import markdown, shaped, timeline
from overstory.report.markdown import Block
from overstory.report.notes import notes_of, rest_of, without_number
from overstory.report.of_units import units_value
from overstory.report.paging import Page
from overstory.report.pictures import Pictures, pictures, positions_of_pictures

Value = dict[str, Any]
SHOWN_APART = 1_000


def report_data(
    database: Database,
    job: JobRow,
    blobs: Blobs,
    uploads: Uploads,
    limits: ImageLimits,
    decoder: Decoder,
    written_at: float,
    page: Page | None = None,
) -> Value:
    """The report on ``job`` at this moment; a job may still run. ``written_at`` is a Unix time.
    ``page``: the part of it that is shown; None: the first."""

    def drawn(lines: Sequence[ImageLine]) -> Pictures:
        return pictures(lines, blobs, uploads, limits, decoder)

    return _data(database, job, written_at, drawn, page or Page.first_of(job.submitted))


def live_data(database: Database, job: JobRow, read_at: float) -> Value:
    """The same for a page that fetches each picture by itself: an image's ``picture`` is the
    position of one that shows the same, and ``pictures`` is None."""

    def by_position(lines: Sequence[ImageLine]) -> Pictures:
        return Pictures([], positions_of_pictures(lines))

    first = Page.first_of(job.submitted)
    return _data(database, job, read_at, by_position, first) | {"pictures": None}


def _data(
    database: Database,
    job: JobRow,
    written_at: float,
    pictures_of: Callable[[Sequence[ImageLine]], Pictures],
    page: Page,
) -> Value:
    job_result = overview(database, job)
    shape = shape_of_job(job)
    cited = _cited(job, shape, job_result)
    with database.read() as connection:
        line = inspect.job_line(connection, job.id)
        span = line.seconds + line.idle_seconds
        apart = _shown_apart(connection, job.id, page, cited)
        images = inspect.images(connection, job.id, which=page.images(apart))
        nodes = inspect.nodes(connection, job.id, page.nodes(images))
        moments = parts.moments(connection, job.id, job.created_at, span, timeline.BINS)
        statuses = parts.statuses(connection, job.id)
        turns = [pipeline.job(connection, turn) for turn in lineage.turns(connection, job.id)]
        groups = units.units(connection, job.id) if job.options.by else []
        errors = units.errors(connection, job.id) if job.options.by else {}
        bills = {turn.id: pipeline.used(connection, turn.id) for turn in turns if turn}
    if shape is not None:
        job_result["images"] = list(image_values(database, job, page.images(apart)))
    thumbnails = pictures_of(images)
    notes = _notes(images, nodes) | _answers_as_notes(shape, job_result["images"])
    return {
        "written_at": written_at,
        "job": _job(job, line, job_result),
        "answer": _answer(job, shape, job_result),
        "units": units_value(job, shape, groups, errors) if shape and shape.by else None,
        "turns": [_turn(turn, bills[turn.id]) for turn in turns if turn],
        "cited": markdown.runs(cited),
        "coverage": job_result["coverage"],
        "statuses": statuses,
        "page": page.value(job.submitted),
        "included_as": "in the answer" if job.answer else "looked at",
        "seen": job_result["seen"],
        "looks": looks.sentence(job.options, job_result["looks"], job.submitted),
        "usage": job_result["usage"],
        "tree": job_result["tree"],
        "span": span,
        "lanes": [asdict(lane) for lane in timeline.lanes(moments, job.created_at)],
        "nodes": [_node(node, shape) for node in nodes],
        "images": _images(images, notes, thumbnails),
        "pictures": thumbnails.encoded,
    }


def _shown_apart(
    connection: Connection, job_id: str, page: Page, cited: Sequence[range]
) -> set[int]:
    """Images of other pages that the first page shows too: the first that the answer cites, and
    the first that failed."""
    if page.number > 1 or page.count == 1:
        return set()
    failed = parts.positions(connection, job_id, parts.FAILED, SHOWN_APART)
    numbers = chain.from_iterable(islice(some, SHOWN_APART) for some in cited)
    return {*failed, *islice(numbers, SHOWN_APART)}


def _job(job: JobRow, line: JobLine, job_result: Value) -> Value:
    return {
        "id": job.id,
        "status": str(job.status),
        "ended": job.status.ended,
        "reason": job.reason,
        "ask": job.ask,
        "each": None if job.options.each_only else job.options.each,
        "by": job.options.by,
        "label": line.label,
        "model": job.model,
        "endpoint": job.endpoint,
        "sandbox": job_result["sandbox"],
        "detail": job.detail,
        "pack": job.options.pack,
        "bare": job.options.bare,
        "created": job.created_at,
        "seconds": line.seconds,
    }


def _turn(turn: JobRow, used: Used) -> Value:
    """A further question about the same images, and its answer."""
    return {
        "id": turn.id,
        "ask": turn.ask,
        "status": str(turn.status),
        "answer": markdown.blocks(turn.answer) if turn.answer else None,
        "requests": used.requests,
        "cost": used.cost,
    }


def _node(node: NodeLine, shape: Shape | None) -> Value:
    """Notes on single images are shown with the images; a leaf shows the rest of its text."""
    text = node.text or ""
    if node.kind == NodeKind.LEAF and node.parent_id is not None:
        text = rest_of(text)
    is_data = shape is not None and shape.folds and node.parent_id is None and bool(text)
    seconds = (
        node.finished_at - node.started_at
        if node.finished_at is not None and node.started_at is not None
        else None
    )
    return {
        "id": node.id,
        "parent": node.parent_id,
        "kind": str(node.kind),
        "level": node.level,
        "first": node.first_position,
        "last": node.last_position,
        "status": str(node.status),
        "text": shaped.json_blocks(text) if is_data else markdown.blocks(text),
        "images": node.images,
        "refused": node.refused_citations,
        "error": node.error,
        "seconds": seconds,
        "requests": node.requests,
        "tokens": node.tokens,
        "cost": node.cost,
    }


def _answer(job: JobRow, shape: Shape | None, job_result: Value) -> list[Block] | None:
    """The answer as blocks; if each image or each unit was asked, the answers follow. Answers
    about units are there before the job has one."""
    if shape is not None and shape.by:
        above = [] if job.options.each_only or not job.answer else markdown.blocks(job.answer)
        title: list[Block] = [["h", [f"Each {shape.by}"]]] if above else []
        totals = shaped.totals_blocks(job_result.get("totals") or {}, "units")
        return [*above, *title, ["units"], *totals]
    if not job.answer:
        return None
    if shape is None:
        return markdown.blocks(job.answer)
    if shape.folds:
        return shaped.data_blocks(job_result["data"], job_result["data_error"])
    above = [] if job.options.each_only else markdown.blocks(job.answer)
    return [*above, *shaped.each_blocks(shape, job_result["images"], job_result.get("totals"))]


def _cited(job: JobRow, shape: Shape | None, job_result: Value) -> list[range]:
    """The images that the answer cites; of an object, those that its texts cite; of a job that
    asks about units alone, those that their answers cite."""
    texts = [job.answer or ""]
    if shape is not None and shape.by and job.options.each_only:
        answers = [unit.get("answer", unit.get("data")) for unit in job_result["units"]]
        texts = [text for answer in answers for text in texts_of(answer)]
    if shape is not None and shape.folds:
        texts = texts_of(job_result["data"])
    pieces = (piece for text in texts for piece in parted(text))
    return [numbers for piece in pieces if not isinstance(piece, str) for numbers in piece]


def _answers_as_notes(shape: Shape | None, images: Sequence[Value]) -> dict[int, str]:
    notes = {image["position"]: shaped.note(shape, image.get("answer")) for image in images}
    return {position: note for position, note in notes.items() if note is not None}


def _images(
    images: Sequence[ImageLine], notes: dict[int, str], thumbnails: Pictures
) -> list[Value]:
    """One value for each image, without empty fields: there may be 40,000 images."""
    values = []
    for image in images:
        value = {
            "n": image.position,
            "name": image.name,
            "status": str(image.status),
            "note": markdown.spans(notes.get(image.position, "")),
            "picture": thumbnails.index_of.get(image.position),
            "node": image.node_id,
            "seen": image.seen,
            "error": image.error if image.error_code else None,
            "code": image.error_code,
            "same": image.duplicate_of,
            "like": image.similar_to,
            "remarks": image.remarks,
            "look": looks.mark(image) or None,
            "size": [image.width, image.height] if image.width else None,
            "tokens": image.tokens,
        }
        values.append({name: field for name, field in value.items() if field not in (None, [])})
    return values


def _notes(images: Sequence[ImageLine], nodes: Sequence[NodeLine]) -> dict[int, str]:
    """The line about each image; without one, what its leaf's text says about it."""
    positions: dict[int, list[int]] = defaultdict(list)
    for image in images:
        if image.node_id is not None:
            positions[image.node_id].append(image.position)
    notes: dict[int, str] = {}
    for node in nodes:
        if node.kind == NodeKind.LEAF and node.text:
            notes |= notes_of(node.text, positions[node.id])
    for image in images:
        if image.note is not None:
            notes[image.position] = without_number(image.note, image.position)
    return notes
