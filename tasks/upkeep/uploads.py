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

from models import retention
from tasks.runtime.services import Services

UNUSED_SECONDS = 86_400.0
"""How long an upload is kept that no job uses. The reconciler deletes it then, because nobody may
ever call ``prune`` on a service, and its disk would fill with what was never asked about."""


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
    unused = {
        upload.location: upload
        for upload in store.kept(before)
        if among is None or upload.location in among
    }
    if not unused:  # the statement reads all images
        return Swept()
    with services.database.read() as connection:
        for location in retention.used_uploads(connection, without):
            unused.pop(location, None)
    gone = [each for each in unused.values() if dry_run or store.drop(each, before)]
    return Swept(len(gone), sum(upload.bytes for upload in gone))


def sweep_unsubmitted(services: Services) -> Swept:
    """Delete what was uploaded, or asked for, more than a day ago, and is in no job."""
    return sweep(services, time.time() - UNUSED_SECONDS)
