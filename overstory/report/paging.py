"""A large report is several files: each shows a part of the images, and the first what the answer
is about.

One file about a million images would have 250 MB, which no browser opens, and its writer would need
gigabytes of memory.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.reads import parts
from models.reads.inspect import ImageLine

IMAGES_A_PAGE = 40_000
"""A browser handles a page of so many images and PICTURES_MAX pictures well."""


@dataclass(frozen=True, slots=True)
class Page:
    """One file of a report, from 1. ``files``: the names of all; none where this is the only one
    that is made."""

    number: int
    count: int
    files: tuple[str, ...] = ()

    @classmethod
    def first_of(cls, images: int) -> Page:
        return cls(1, max(1, -(-images // IMAGES_A_PAGE)))

    @classmethod
    def all_of(cls, images: int, path: Path) -> Iterator[tuple[Path, Page]]:
        """The pages of a report at ``path``: report.html, report-2.html, ..."""
        count = cls.first_of(images).count
        paths = [path] + [path.with_stem(f"{path.stem}-{n}") for n in range(2, count + 1)]
        files = tuple(each.name for each in paths)
        for number, each in enumerate(paths, start=1):
            yield each, cls(number, count, files)

    @property
    def first(self) -> int:
        return (self.number - 1) * IMAGES_A_PAGE + 1

    @property
    def last(self) -> int:
        return self.number * IMAGES_A_PAGE

    def images(self, apart: Collection[int]) -> parts.Which:
        """Its images; ``apart``: positions of others that it shows too."""
        return parts.shown(self.first, self.last, apart)

    def nodes(self, images: Sequence[ImageLine]) -> parts.Which:
        """Its nodes: the leaves of ``images``, and what is above them; on the first page all
        branches."""
        apart = {
            image.node_id
            for image in images
            if image.node_id and not self.first <= image.position <= self.last
        }
        return parts.nodes_around(self.first, self.last, apart, branches=self.number == 1)

    def value(self, images: int) -> dict[str, Any] | None:
        """What the page says of the others; None where there is one."""
        if self.count == 1:
            return None
        span = {"first": self.first, "last": min(self.last, images), "of": images}
        return {"number": self.number, "count": self.count, "files": list(self.files), **span}
