"""Which local files and objects of buckets may be the inputs of a job."""

from __future__ import annotations

from dataclasses import dataclass

from core.images.objects import is_object

LOCATION_BYTES_MAX = 8_192
"""The longest path or URL of an image, in bytes of UTF-8."""
ENTRIES_MAX = 2_000_000
"""The most files and folders that are visited to expand the inputs of one job."""
LISTING_SECONDS_MAX = 60.0
"""The longest time that listing the folders of one job may take."""


SKIP_FOLDERS = (
    *("@eaDir", "#recycle", "#snapshot", "@tmp"),  # Synology
    *("@Recycle", "@Recently-Snapshot", ".@__thumb", ".@__qini", ".streams"),  # QNAP
    *(".snapshot", ".snapshots", ".zfs", ".recycle", "Network Trash Folder"),  # other NAS
    *("$RECYCLE.BIN", "RECYCLER", "System Volume Information"),  # Windows
    *(".Trashes", ".Trash", ".Trash-*", ".TemporaryItems", ".Spotlight-V100", ".fseventsd"),
    *("__MACOSX", ".AppleDouble", ".DocumentRevisions-V100"),  # macOS, in ZIP files too
    *("lost+found", ".dtrash", ".trash", ".trashed"),  # Linux, digiKam, Android
    *(".thumbnails", ".thumbs", ".thumb", ".thumbcache", ".picasaoriginals", ".xvpics"),
    *("*.lrdata", "*.lrcat-data", "*.cocatalog/Cache", "CaptureOne/Cache"),  # raw developers
    *("resources/derivatives", "resources/renders", "*.photoslibrary/resources"),  # Apple Photos
    *("*.photoslibrary/scopes", "*.photolibrary/Thumbnails", "*.photolibrary/Previews"),
    *("*.aplibrary/Thumbnails", "*.aplibrary/Previews"),  # Aperture
)
"""Folders in which NAS systems, operating systems and photo programs keep thumbnails, previews and
deleted files. One with a slash names the folder above too. Upper and lower case are the same."""
SKIP_FILES = ("._*", "Thumbs.db", "ehthumbs*.db", "*.thm")
"""The same for files: resource forks of macOS, thumbnails of Windows and of cameras."""


@dataclass(frozen=True, slots=True)
class InputRules:
    """Which local files and objects of buckets may be inputs.

    ``roots``: the folders that they must be in, also of buckets (``s3://bucket/prefix``). None: all
    that the person can read; empty: none. ``private``: Overstory's own folders, whose files are
    never inputs, and its own bucket. ``skip_folders``: patterns of folders that are passed over
    inside the inputs.
    """

    roots: tuple[str, ...] | None = None
    private: tuple[str, ...] = ()
    skip_folders: tuple[str, ...] = SKIP_FOLDERS

    @property
    def folders(self) -> tuple[str, ...]:
        """The roots that are folders of this machine."""
        return tuple(root for root in self.roots or () if not is_object(root))
