"""What shows that the model saw the included images, in words."""

from __future__ import annotations

from collections.abc import Mapping

from core.states import Seen
from overstory.output.plural import pluralize

BY = {Seen.ANSWER: "an answer", Seen.LINE: "a line"}
ONLY_SENT = "only sent"


def included(seen: Mapping[str, int]) -> str:
    """``180 included, each by a line of its own`` or ``180 included (170 by a line of their own, 10
    only sent)``, from the counts of ``pipeline.seen``."""
    count = sum(seen.values())
    parts = [(Seen(proof), number) for proof, number in seen.items() if number]
    if len(parts) != 1:
        ways = ", ".join(_counted(proof, number) for proof, number in parts)
        return f"{count:,} included" + (f" ({ways})" if ways else "")
    proof = parts[0][0]
    if proof == Seen.SENT:
        return f"{count:,} included, {ONLY_SENT}"
    each = "each " if count > 1 else ""
    return f"{count:,} included, {each}by {BY[proof]} of its own"


def _counted(proof: Seen, number: int) -> str:
    if proof == Seen.SENT:
        return f"{number:,} {ONLY_SENT}"
    return f"{number:,} by {BY[proof]} of {'its' if number == 1 else 'their'} own"


def warning(seen: Mapping[str, int], job_id: str) -> str:
    """What it means that images were only sent, and how to list them; empty if none were."""
    number = seen[Seen.SENT]
    if not number:
        return ""
    images = pluralize(number, "image was", "images were")
    shows = f"nothing shows that the model saw {'it' if number == 1 else 'them'}"
    return f"{images} only sent: {shows} ('overstory images {job_id} --unseen')"
