"""Units: groups of a job's images that are answered about by themselves (``--by``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.text.json_replies import line_of


def answer_block(names: Sequence[str], positions: Sequence[int], answer: Any) -> str:
    """A unit's answer as the nodes above read it, and as the job's answer has it. ``names``: its
    name, then those of units with the same images; ``positions``: of its images, in order."""
    named = f'"{names[0]}"'
    others = [f'"{name}"' for name in names[1:]]
    if others:
        named += f" (the same images as {', '.join(others)})"
    first, last = positions[0], positions[-1]
    images = f"image [{first}]" if first == last else f"images [{first}] to [{last}]"
    text = answer if isinstance(answer, str) else line_of(answer)
    return f"{named}, {images}:\n{text}"
