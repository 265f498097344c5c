"""How many images were looked at twice, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

from core.job_options import JobOptions
from overstory.output.plural import pluralize


class Looked(Protocol):
    """An image with its looks, as several reads give it."""

    @property
    def look(self) -> int: ...
    @property
    def unclear(self) -> list[str] | None: ...


def sentence(options: JobOptions, of: Mapping[str, int], images: int) -> str:
    """``14 of 60 images were looked at twice``, and what stayed unclear; empty for a job that looks
    once. ``of``: its ``counts``; ``images``: how many it has."""
    if options.second_look is None:
        return ""
    model = f" by {options.second_model}" if options.second_model else ""
    was = "was" if of["twice"] == 1 else "were"
    text = f"{of['twice']:,} of {pluralize(images, 'image')} {was} looked at twice{model}"
    if of["unclear"]:
        text += f", and {of['unclear']:,} stayed unclear"
    if of["left"]:
        share = math.ceil(100 * (of["twice"] + of["left"]) / images - 1e-9) / 100
        more = f"{of['left']:,} more {'was' if of['left'] == 1 else 'were'} unclear"
        text += f"; {more}: --second-look {share:.2f} would look at all of them"
    return text


def mark(image: Looked) -> str:
    """What is to be said of one image: ``looked at twice``, ``unclear: total``, both or nothing."""
    parts = ["looked at twice"] if image.look > 1 else []
    if image.unclear is not None:
        parts.append(f"unclear: {', '.join(image.unclear)}" if image.unclear else "unclear")
    return ", ".join(parts)
