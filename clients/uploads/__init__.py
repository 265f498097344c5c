"""Images that people and programs have uploaded: by owner, and by the hash of their bytes.

They are apart from the prepared images: in a folder beside them, or below ``uploads/`` in the same
bucket. What came by a presigned PUT of the bucket is not read here, so its hash is only a name.
"""

from __future__ import annotations

from pathlib import Path

from clients.blobs import folder_of
from clients.bucket import Bucket
from clients.uploads.bucket import BucketUploads
from clients.uploads.folder import FolderUploads
from clients.uploads.store import FOLDER, Head, Incoming, Kept, Upload, Uploads, local

__all__ = [
    "BucketUploads",
    "FolderUploads",
    "Head",
    "Incoming",
    "Kept",
    "Upload",
    "Uploads",
    "local",
    "open_uploads",
]


def open_uploads(url: str | None, home: Path) -> Uploads:
    """The uploads beside the blobs at ``url`` (file:///folder or s3://bucket/prefix); None: in a
    folder of ``home``."""
    if url is None:
        return FolderUploads(home / FOLDER)
    if (bucket := Bucket.at(url)) is not None:
        return BucketUploads(bucket)
    return FolderUploads((folder_of(url) or home) / FOLDER)
