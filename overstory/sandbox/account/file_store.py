"""The file store of one account (fact sheet 4).

Bytes are not kept: size, hash and description are computed at the upload, and nothing needs more
later (the API refuses to return stored content). So memory use stays small.
"""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass

from overstory.sandbox.config import SandboxConfig
from overstory.sandbox.errors import Refusal, not_found, wrong_input, wrong_param
from overstory.sandbox.vision.describe import Description

_ALPHABET = (string.ascii_letters + string.digits).encode()
_LETTERS = bytes(_ALPHABET[n % len(_ALPHABET)] for n in range(256))  # maps a random byte
_SIGNATURES = (
    (0, b"\xff\xd8\xff"),  # jpeg
    (0, b"\x89PNG\r\n\x1a\n"),
    (0, b"GIF8"),
    (8, b"WEBP"),
    (4, b"ftyp"),  # mp4
    (0, b"ID3"),  # mp3
    (0, b"\xff\xfb"),
    (8, b"WAVE"),
)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One uploaded file; ``description`` is None if it cannot be decoded as an image."""

    id: str
    bytes: int
    created_at: int
    filename: str
    sha: str
    description: Description | None

    def card(self, status: str | None) -> dict[str, object]:
        """The File object. Without a status it has no such field, as in some real replies."""
        card: dict[str, object] = {
            "id": self.id,
            "object": "file",
            "bytes": self.bytes,
            "created_at": self.created_at,
            "filename": self.filename,
            "purpose": "storage",
        }
        return card | ({"status": status} if status else {})


class FileStore:
    """An account's files by id, and counts of uploads and deletes."""

    def __init__(self) -> None:
        self._files: dict[str, StoredFile] = {}
        self.uploads = 0
        self.deletes = 0
        self.shas: set[str] = set()

    def reset(self) -> None:
        """Set the counts to zero; the files stay."""
        self.uploads = self.deletes = 0
        self.shas = set()

    def __len__(self) -> int:
        return len(self._files)

    def add(self, file: StoredFile, most: int) -> None:
        """Store a file. Raises Refusal 400 if ``most`` are stored (its text is ours)."""
        if len(self._files) >= most:
            raise wrong_param(f"the number of files exceeds the limit of {most}")
        self._files[file.id] = file
        self.uploads += 1
        self.shas.add(file.sha)

    def all(self) -> list[StoredFile]:
        return list(self._files.values())

    def get(self, file_id: str) -> StoredFile:
        if file_id not in self._files:
            raise not_found(f"file {file_id}")
        return self._files[file_id]

    def delete(self, file_id: str) -> None:
        self.get(file_id)
        del self._files[file_id]
        self.deletes += 1

    def image(self, file_id: str, unknown_status: int) -> tuple[StoredFile, Description]:
        """The image of a stepfile URL. Raises Refusal 400; ``unknown_status`` for no such file."""
        file = self._files.get(file_id)
        if file is None:
            message = f"stepfile {file_id} not found"
            raise Refusal(unknown_status, "input_invalid", message)
        if file.description is None:
            raise wrong_input(f"stepfile {file_id} cannot be decoded as an image")
        return file, file.description


def new_id() -> str:
    return "file-" + secrets.token_bytes(10).translate(_LETTERS).decode()


def check_upload(purpose: str | None, data: bytes, config: SandboxConfig) -> None:
    """Raises Refusal 400 for a purpose, size or format that the store does not take."""
    if purpose != "storage":
        raise wrong_param(f"invalid purpose: {purpose}, must be storage")
    if len(data) > config.max_file_bytes:
        raise wrong_param(f"file exceeds {config.max_file_bytes} bytes")
    if not any(data[at : at + len(sign)] == sign for at, sign in _SIGNATURES):
        raise Refusal(400, "unsupported_content_type", "file format is not supported")
