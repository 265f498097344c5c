"""Names of uploaded images: ``upload:OWNER/SHA256/NAME`` as an input; a location has no NAME.

The hash is the name of the content in its owner's area, and nothing more: what came by a presigned
PUT is not read before the image is prepared.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from core.errors import WrongUsage
from core.text.printable import printable, quotable, shortened

SCHEME = "upload:"
OWNER_CHARACTERS_MAX = 64
NAME_CHARACTERS_MAX = 500
SHOWN = 80
WITHOUT_NAME = "image"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


@dataclass(frozen=True, slots=True)
class UploadName:
    """An upload as an input of a job. ``name``: what people see."""

    owner: str
    sha256: str
    name: str

    @property
    def location(self) -> str:
        return location_of(self.owner, self.sha256)


def is_upload(text: str) -> bool:
    """Whether an input or location is an upload."""
    return text.startswith(SCHEME)


def location_of(owner: str, sha256: str) -> str:
    """The location of an upload in a job. ``parse_location`` reverses it."""
    return f"{SCHEME}{owner}/{sha256}"


def parse_location(location: str) -> tuple[str, str]:
    """Owner and hash of a location."""
    owner, _, sha256 = location.removeprefix(SCHEME).rpartition("/")
    return owner, sha256


def parse_upload(text: str) -> UploadName:
    """``upload:OWNER/SHA256/NAME``. Raises WrongUsage."""
    owner, _, rest = text.removeprefix(SCHEME).partition("/")
    sha256, _, name = rest.partition("/")
    if not (is_owner(owner) and is_sha256(sha256)):
        raise WrongUsage(
            f"images: {quotable(text, SHOWN)!r} is not an upload: write upload:OWNER/SHA256/NAME,"
            " with the hash as 64 small hexadecimal digits"
        )
    return UploadName(owner, sha256, clean_name(name))


def owned(text: str, owner: str) -> str:
    """``upload:SHA256/NAME``, as a caller writes it, as an upload of ``owner``. Raises WrongUsage:
    a caller can name no upload of anybody else."""
    sha256, _, name = text.removeprefix(SCHEME).partition("/")
    if not is_sha256(sha256):
        raise WrongUsage(
            f"images: {quotable(text, SHOWN)!r} is not an upload of yours: write upload:SHA256/NAME"
            " as the answer to the upload says"
        )
    return f"{SCHEME}{owner}/{sha256}/{clean_name(name)}"


def is_sha256(text: str) -> bool:
    return _SHA256.fullmatch(text) is not None


def is_owner(text: str) -> bool:
    return 0 < len(text) <= OWNER_CHARACTERS_MAX and text.isprintable() and "/" not in text


def clean_name(name: str) -> str:
    """What people see of a file's name: printable, relative, not too long. It is never opened. A
    clean name stays as it is."""
    parts = [part for part in name.split("/") if part not in ("", ".", "..")]
    return shortened(printable("/".join(parts)), NAME_CHARACTERS_MAX) or WITHOUT_NAME


def folder_name(owner: str) -> str:
    """The name of an owner's folder: other characters than small letters, digits and ``-`` become
    ``_`` and the hexadecimal digits of their bytes, because a file system may not tell ``A`` from
    ``a``. ``owner_of`` reverses it."""
    return "".join(
        c if c in _PLAIN else "".join(f"_{byte:02x}" for byte in c.encode()) for c in owner
    )


def owner_of(folder: str) -> str | None:
    """The owner of a folder; None if it is nobody's."""
    plain, *escaped = folder.split("_")
    try:
        owner = (
            plain
            + b"".join(bytes.fromhex(part[:2]) + part[2:].encode() for part in escaped).decode()
        )
    except ValueError:
        return None
    return owner if is_owner(owner) and folder_name(owner) == folder else None
