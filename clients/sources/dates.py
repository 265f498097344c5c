"""When pictures were taken, for jobs that are asked by date."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from clients.images.decoder import Decoder
from clients.sources import original
from clients.sources.location import Source, is_url
from clients.uploads import Uploads
from core.errors import ImageRefused, ServiceAway
from core.images.exif import TAKEN
from core.images.sizing import ImageLimits

THREADS = min(8, 2 * (os.cpu_count() or 1))


def with_dates(
    sources: Sequence[Source], by: str, decoder: Decoder, store: Uploads, limits: ImageLimits
) -> Sequence[Source]:
    """``sources`` with the fact ``taken`` from the header of each file, where units are dates and
    no table has dates. A picture behind a URL is not fetched for it, and a page of a document has
    no date."""
    if by != "date" or any(by in (source.facts or ()) for source in sources):
        return sources

    def dated(source: Source) -> Source:
        if source.page or is_url(source.location) or TAKEN in (source.facts or ()):
            return source
        try:
            with original.opened(source.location, source.root, store, limits.max_file_bytes) as (
                file,
                size,
            ):
                taken = decoder.taken(file, size, limits)
        except (ImageRefused, ServiceAway, OSError):  # it is said when the image is prepared
            return source
        return (
            source
            if taken is None
            else replace(source, facts={**(source.facts or {}), TAKEN: taken})
        )

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(dated, sources))
