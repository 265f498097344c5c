"""Files in the provider's store, counted in the database.

Each content is uploaded once; room is made by least recent use. A file is pinned while an image
waits to be shown to the model (its status is uploaded), or will wait soon (a worker has found the
content stored). A file that is given up keeps its id and still counts until the provider has
deleted it: so nothing is uploaded to a store that is still full, and a failed deletion is retried.
"""

from models.provider_files.deletions import (
    StoredFile,
    any_undeleted,
    deleted,
    evict,
    gone,
    lost,
    not_deleted,
    undeleted,
    unneeded,
)
from models.provider_files.room import DELETED_SOON_SECONDS, is_stuck, room_will_come
from models.provider_files.stored import FileRow, byte_seconds, counts, ids_of, known_ids, listed
from models.provider_files.uploads import (
    SPARE,
    Claim,
    abandoned,
    adopt,
    claim_all,
    never_came,
    owed,
    stored_all,
    unclaimed,
    unknown,
    used_again,
)

__all__ = [
    "DELETED_SOON_SECONDS",
    "SPARE",
    "Claim",
    "FileRow",
    "StoredFile",
    "abandoned",
    "adopt",
    "any_undeleted",
    "byte_seconds",
    "claim_all",
    "counts",
    "deleted",
    "evict",
    "gone",
    "ids_of",
    "is_stuck",
    "known_ids",
    "listed",
    "lost",
    "never_came",
    "not_deleted",
    "owed",
    "room_will_come",
    "stored_all",
    "unclaimed",
    "undeleted",
    "unknown",
    "unneeded",
    "used_again",
]
