"""Which images go to the provider's file store, and which travel inside their requests.

A file pays if it is used more than once while it is stored, or where the line is slow: a request
with 60 images inside has a third more bytes than their files, sends them all again when it is
repeated, and holds one of the account's calls meanwhile. What is asked once pays nothing for that,
and saves an upload and a deletion an image. docs/performance.md has both ways measured.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from core.errors import ServiceAway
from core.tree.capacity import base64_bytes
from models import provider_files
from models.claims import ImageWork, NodeWork
from tasks.runtime.services import Services

log = structlog.get_logger()

SLOW_BYTES_A_SECOND = 2_000_000.0
"""A line that takes less is slow: 16 Mbit/s, on which a request of 60 images travels for 2 s. Files
are a quarter fewer bytes there, and a fifth faster at 5 Mbit/s (docs/performance.md)."""
SENT_IN_VAIN = 2
"""Attempts of a leaf after which its images go to the store: each sends its whole request again."""


def by_file(services: Services, images: Sequence[ImageWork]) -> set[str]:
    """Contents of a slice that go to the store, or are in it already. The images are of one job."""
    contents = {image.sha256 or "" for image in images if image.prepared_bytes}
    settings = services.settings
    if not settings.uses_file_store:
        return set()
    job = images[0]
    if settings.store == "always" or job.options.keep_files or job.options.is_follow_up:
        return contents
    if _passes_request(services, images) or _is_slow(services):
        return contents
    with services.database.read() as connection:
        return provider_files.used_again(
            connection, services.account, job.job_id, contents, SENT_IN_VAIN
        )


def sent_in_vain(services: Services, node: NodeWork) -> bool:
    """Whether the images of a leaf were sent so often inside its request that files pay now."""
    return services.settings.store == "auto" and node.attempts == SENT_IN_VAIN


def _passes_request(services: Services, images: Sequence[ImageWork]) -> bool:
    """Whether a pack of images of this size has more bytes than a request may carry."""
    sizes = [base64_bytes(image.prepared_bytes) for image in images if image.prepared_bytes]
    if not sizes:
        return False
    settings, job = services.settings, images[0]
    most = job.options.pack or settings.images_per_request or settings.facts_of(job.model).images
    return sum(sizes) / len(sizes) * most > services.profile.request_image_bytes


def _is_slow(services: Services) -> bool:
    """Whether the line was slow when requests with images inside were sent last."""
    try:
        rate = services.limiter.uplink()
    except ServiceAway as error:  # the images need not wait for it
        log.warning("limiter.away", error=str(error))
        return False
    return rate is not None and rate < SLOW_BYTES_A_SECOND
