"""The comparison of a job's images, between preparing and uploading them (``--similar``).

Until every image of such a job is prepared or refused, the job has no tree and uploads nothing.
Then one transaction leaves out the images that others stand for and plans the tree over the rest,
so that its requests are full. A crash before the commit leaves all as it was: the reconciler sees
the job again. Two workers at once plan the same, and the second finds it done.

Reads: the job, its images, the earlier job that it continues. Writes: which images are left out,
and the tree. May raise ServiceAway.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, fields, replace

import structlog

from clients.sources.location import Source
from clients.sources.units import Unit
from core.images.bursts import Compared as ComparedImage
from core.images.bursts import stand_ins
from core.images.likeness import Likeness
from core.states import ImageStatus
from models import claims, new_job, state
from models.new_job import NewJob
from models.reads import lineage, own_images, pipeline, units
from models.reads.lineage import Earlier
from models.reads.own_images import OwnImage
from models.reads.pipeline import JobRow
from models.state import Moved
from tasks.job_layout import Compared, JobLayout, Keep, lay_out
from tasks.runtime.services import Services
from tasks.shown_facts import without_changed
from tasks.taken_over import identity_of
from tasks.unit_layout import lay_out_units

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Read:
    """A job whose images are prepared, as it was read before it is planned."""

    job: JobRow
    images: list[OwnImage]
    sources: list[Source]
    unit_names: list[str]
    earlier: Earlier | None


def compare_next(services: Services) -> tuple[str, Moved] | None:
    """Compare the images of the next job that is due. Returns its id, and what to announce; None
    if no job is due, or if it changed meanwhile."""
    with services.database.read() as connection:
        job_id = claims.job_to_compare(connection, services.account)
        read = None if job_id is None else _read(services, job_id)
    if read is None:
        return None
    similar = stand_ins(
        ComparedImage(image.known.position, _likeness(image), image.unit, answered)
        for image, answered in zip(read.images, _answered(read), strict=True)
    )
    layout = _planned(services, read, similar.keys())
    moved = Moved()
    if not _write(services, read, similar, layout, moved):
        return None
    log.info("job.compared", job=read.job.id, images=len(read.images), left_out=len(similar))
    return read.job.id, moved


def _read(services: Services, job_id: str) -> _Read | None:
    with services.database.read() as connection:
        job = pipeline.job(connection, job_id)
        if job is None:
            return None
        rows = own_images.sources_of(connection, job_id)
        images = own_images.own_images(connection, job_id)
        names = list(units.names(connection, job_id).values())
        earlier = None if job.follows is None else lineage.earlier(connection, job.follows)
    sources = []
    for row in rows:
        values = asdict(row)
        del values["position"]
        sources.append(Source(**values))
    if earlier is not None:
        earlier = without_changed(earlier, sources, job.options.facts)
    return _Read(job, images, sources, names, earlier)


def _likeness(image: OwnImage) -> Likeness | None:
    is_prepared = image.known.status == ImageStatus.PREPARED
    return Likeness.from_json(image.known.likeness) if is_prepared else None


def _answered(read: _Read) -> list[bool]:
    """Whether the earlier job has an answer about each image."""
    before = read.earlier.images if read.earlier is not None else {}
    known = [before.get(identity_of(source)) for source in read.sources]
    return [image is not None and image.status == ImageStatus.INCLUDED for image in known]


def _planned(services: Services, read: _Read, left_out: Collection[int]) -> JobLayout:
    """The layout, in which each image begins as its row is, or as the earlier job answered it."""
    first_of = {
        index: image.duplicate_of - 1
        for index, image in enumerate(read.images)
        if image.duplicate_of is not None
    }
    members: dict[int, list[int]] = {}
    for index, image in enumerate(read.images):
        if image.unit is not None:
            members.setdefault(image.unit, []).append(index)
    units = [
        Unit(name, tuple(members[number])) for number, name in enumerate(read.unit_names, start=1)
    ]
    compared = Compared(first_of, {position - 1 for position in left_out}, units)
    job = _as_planned(read.job)
    if job.options.by is None:
        layout = lay_out(services, job, read.sources, read.earlier, Keep(), {}, compared)
    else:
        layout = lay_out_units(services, job, read.sources, read.earlier, {}, compared)
    images = [
        image
        if image.leaf is not None and layout.kept[image.leaf] is not None
        else replace(image, known=own.known)
        for image, own in zip(layout.images, read.images, strict=True)
    ]
    return replace(layout, images=images)


def _as_planned(job: JobRow) -> NewJob:
    known = {field.name for field in fields(JobRow)}
    values = {f.name: getattr(job, f.name) for f in fields(NewJob) if f.name in known}
    return NewJob(**values)


def _write(
    services: Services, read: _Read, similar: dict[int, int], layout: JobLayout, moved: Moved
) -> bool:
    job = read.job
    with services.database.write() as connection:
        state.hold_job(connection, job.id)
        before = [image.known.status for image in read.images]
        if own_images.statuses(connection, job.id) != before:  # it was cancelled and tried again
            return False
        if not state.job_compared(connection, job.id, len(similar)):
            return False
        state.images_left_out(connection, job.id, similar)
        answers = {n: unit.answer for n, unit in enumerate(layout.units, 1) if unit.answer}
        state.answer_units(connection, job.id, answers)
        new_job.insert_tree(
            connection, job.id, job.follows, layout.images, layout.tree, layout.kept, moved
        )
    moved.prepared += sum(
        image.leaf is not None and image.status == ImageStatus.PREPARED for image in layout.images
    )
    return True
