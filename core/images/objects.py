"""Names of objects in buckets: ``s3://bucket/key``, ``gs://bucket/key``, ``az://container/key``.

The key is taken as it is: ``%20``, ``?``, ``#`` and ``..`` in it are characters like others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SCHEMES = ("s3://", "gs://", "az://")


@dataclass(frozen=True, slots=True)
class ObjectName:
    """``scheme``: s3, gs or az. ``key`` is empty for the whole bucket."""

    scheme: str
    bucket: str
    key: str

    @property
    def location(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.key}"


def is_object(text: str) -> bool:
    """Whether an input or location is in a bucket."""
    return text[:5].lower().startswith(SCHEMES)


def parse_object(text: str) -> ObjectName:
    """The bucket may be empty: then nothing can be there."""
    scheme, _, rest = text.partition("://")
    bucket, _, key = rest.partition("/")
    return ObjectName(scheme.lower(), bucket, key)


def is_below(name: ObjectName, roots: Sequence[str]) -> bool:
    """Whether an object or folder is in one of the folders ``roots`` (``s3://bucket/prefix``)."""
    return any(
        f"{name.location}/".startswith(f"{parse_object(root).location.rstrip('/')}/")
        for root in roots
        if is_object(root)
    )
