"""The uploads among the inputs of a job: which are there, and how they begin."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from clients.uploads import Head, Uploads
from core.errors import WrongUsage
from core.images.formats import SNIFF_BYTES
from core.images.uploaded import UploadName, is_upload, parse_upload

AT_ONCE = 500
"""Uploads that are looked up between two checks of the time."""


@dataclass(frozen=True, slots=True)
class UploadedInputs:
    """Those that are there. They are looked up together, because a bucket takes a request for
    each."""

    store: Uploads
    heads: Mapping[tuple[str, str], Head]

    @classmethod
    def of(
        cls, inputs: Sequence[str], store: Uploads | None, check: Callable[[], None]
    ) -> UploadedInputs | None:
        """None without a store: then no input is an upload. Raises WrongUsage, ServiceAway, and
        what ``check`` raises."""
        if store is None:
            return None
        named = [parse_upload(text) for text in inputs if is_upload(text)]
        keys = list(dict.fromkeys((upload.owner, upload.sha256) for upload in named))
        heads: dict[tuple[str, str], Head] = {}
        for first in range(0, len(keys), AT_ONCE):
            check()
            heads |= store.heads(keys[first : first + AT_ONCE], SNIFF_BYTES)
        return cls(store, heads)

    def head(self, upload: UploadName) -> Head:
        """Raises WrongUsage if it is not there."""
        head = self.heads.get((upload.owner, upload.sha256))
        if head is None:
            raise WrongUsage(
                f"images: the upload {upload.sha256[:12]} ({upload.name!r}) is not there: upload"
                " the file again, then submit the same job"
            )
        return head
