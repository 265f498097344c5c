"""Uploads that no job uses: never submitted, or of jobs that were pruned.

Reads: the store of uploads, the locations of images. Does: deletes uploads. Writes nothing in the
database. May raise ServiceAway; the next time deletes the rest.

An upload that a submission looks at is new again in a folder, so it is not deleted while its job is
planned. An object in a bucket cannot be made new: in the seconds between look and commit it may go,
if it was uploaded long ago and never submitted; then its image says that it must be sent again.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice

from models import retention
from tasks.runtime.services import Services

UNUSED_SECONDS = 86_400.0
"""How long an upload is kept that no job uses. The reconciler deletes it then, because nobody may
ever call ``prune`` on a service, and its disk would fill with what was never asked about."""

AT_ONCE = 1_000
"""Uploads that are looked up together: a store may hold millions."""


@dataclass(frozen=True, slots=True)
class Swept:
    uploads: int = 0
    bytes: int = 0


def sweep(
    services: Services,
    before: float,
    among: Collection[str] | None = None,
    without: Collection[str] = (),
    dry_run: bool = False,
) -> Swept:
    """Delete the uploads that no job uses and that have neither arrived nor been asked for since
    ``before`` (Unix seconds). ``among``: these locations alone. ``without``: jobs that do not
    count. ``dry_run``: count, and delete nothing."""
    store = services.uploads
    if not dry_run:
        store.delete_parts()
    old = (upload for upload in store.kept(before) if among is None or upload.location in among)
    count = size = 0
    while some := {upload.location: upload for upload in islice(old, AT_ONCE)}:
        with services.database.read() as connection:
            used = retention.used_uploads(connection, some, without)
        unused = [upload for location, upload in some.items() if location not in used]
        gone = [upload for upload in unused if dry_run or store.drop(upload, before)]
        count, size = count + len(gone), size + sum(upload.bytes for upload in gone)
    return Swept(count, size)


def sweep_unsubmitted(services: Services) -> Swept:
    """Delete what was uploaded, or asked for, more than a day ago, and is in no job."""
    return sweep(services, time.time() - UNUSED_SECONDS)
