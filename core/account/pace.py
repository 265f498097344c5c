"""How fast this machine prepares and uploads images, by its past jobs.

Without past jobs, typical times count. Measured on two cores of 2.5 GHz with photos of up to 12
megapixels at low detail, and with a file store that answers in 0.1 s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

START_SECONDS = 1.0
"""From a planned job to the start of its preparation: workers start."""
IMAGE_SECONDS, MEGABYTE_SECONDS, PAGE_SECONDS = 0.004, 0.02, 0.15
"""To prepare an image on one core: for each image, for each megabyte of its file, and for each page
of a document."""
UPLOAD_SECONDS = 0.1
"""To upload an image; as many go at once as the upload worker has threads."""
WAITED = 1.25
"""Uploads that take this much longer than the preparation are slower than it."""
ALIKE = 1.5
"""Images are about as large as others if they typically take at most so many times as long."""


@dataclass(frozen=True, slots=True)
class Work:
    """Images to prepare: files with their bytes together, and pages of documents."""

    files: int
    bytes: int
    pages: int

    @property
    def images(self) -> int:
        return self.files + self.pages

    @property
    def core_seconds(self) -> float:
        """Typical time to prepare them, on one core."""
        by_file = self.files * IMAGE_SECONDS + self.bytes / 1e6 * MEGABYTE_SECONDS
        return by_file + self.pages * PAGE_SECONDS

    @property
    def image_seconds(self) -> float:
        """Typical time to prepare one of them."""
        return self.core_seconds / max(self.images, 1)

    def is_like(self, other: Work) -> bool:
        """Whether its images are about as large as those of ``other``."""
        ratio = self.image_seconds / max(other.image_seconds, IMAGE_SECONDS)
        return 1 / ALIKE <= ratio <= ALIKE


@dataclass(frozen=True, slots=True)
class PastRun:
    """The images of a past job, and when the first, half and all of them were prepared, and the
    first and last uploaded, in seconds from its start. ``uploaded``: how many were."""

    work: Work
    first_prepared: float
    half_prepared: float
    prepared: float
    uploaded: int
    first_uploaded: float
    last_uploaded: float

    @property
    def began(self) -> float:
        """When the preparation began: before the first slice of images was recorded, which may be
        most of a small job. The first half took about as long as the second; but to start took most
        of the time before the first slice."""
        even = 2 * self.half_prepared - self.prepared
        return min(self.first_prepared, max(even, self.first_prepared / 2))


@dataclass(frozen=True, slots=True)
class Pace:
    """``start``: seconds until the preparation begins. ``prepare``: seconds for a typical
    core-second of work. ``upload``: seconds for an image, where many are uploaded at once. ``lag``:
    seconds from the first prepared image to the first uploaded one: the worker starts, and an
    upload takes its time. ``runs``: past jobs that this is from."""

    start: float
    prepare: float
    upload: float
    lag: float
    runs: int = 0


@dataclass(frozen=True, slots=True)
class Ready:
    """Seconds until work starts, and that preparing and uploading images takes from then on.
    ``lag``: from the first prepared image to the first uploaded one."""

    start: float
    prepare: float
    upload: float
    lag: float = 0.0

    def seconds(self, share: float = 1.0) -> float:
        """Until a share of the images is ready: preparing and uploading go on at the same time."""
        return max(self.prepare * share, self.lag + self.upload * share)


NOTHING_TO_DO = Ready(0.0, 0.0, 0.0)


def pace_of(past: Sequence[PastRun], work: Work, cores: int, upload_threads: int) -> Pace:
    """The pace of past jobs for ``work``, or a typical one if there are none. Jobs whose images
    were about as large tell the most, so only they count if there are any."""
    past = [run for run in past if run.work.is_like(work)] or past
    done = sum(run.work.core_seconds for run in past)
    upload = UPLOAD_SECONDS / upload_threads
    if not done:
        return Pace(START_SECONDS, 1 / cores, upload, UPLOAD_SECONDS)
    start = sum(run.began for run in past) / len(past)
    prepare = sum(run.prepared - run.began for run in past) / done
    lags = [max(run.first_uploaded - run.first_prepared, 0.0) for run in past if run.uploaded]
    lag = sum(lags) / max(len(lags), 1)
    return Pace(start, prepare, _upload(past, upload), lag, len(past))


def _upload(past: Sequence[PastRun], typical: float) -> float:
    """Seconds that an image takes to upload after another one. Where uploads ended with the
    preparation, they waited for it and may be faster than they were."""
    runs = [run for run in past if run.uploaded > 1]
    slow = [run for run in runs if run.last_uploaded > WAITED * run.prepared]
    if slow:
        seconds = sum(run.last_uploaded - run.first_uploaded for run in slow)
        return seconds / sum(run.uploaded - 1 for run in slow)
    fastest = [(run.last_uploaded - run.first_uploaded) / (run.uploaded - 1) for run in runs]
    return min([typical, *fastest])


def ready_in(new: Work, images: int, pace: Pace) -> Ready:
    """How long ``images`` take at this pace, of which ``new`` are not prepared yet."""
    if not images:
        return NOTHING_TO_DO
    return Ready(pace.start, new.core_seconds * pace.prepare, images * pace.upload, pace.lag)
