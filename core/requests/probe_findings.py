"""What ``overstory doctor --probe`` found of a model at an endpoint, as it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from core.catalog.models import Structured


@dataclass(frozen=True, slots=True)
class ProbeFindings:
    """``images``: how many the model saw of those of one request; ``prompt_tokens``: of the longest
    prompt that arrived whole; ``json``: how JSON can be asked for; ``seconds``: of the fastest and
    the slowest call; ``headers``: those that tell limits, a line each. None: not found out."""

    images: int | None = None
    prompt_tokens: int | None = None
    json: Structured | None = None
    reports_usage: bool | None = None
    seconds: tuple[float, float] | None = None
    headers: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ProbeFindings:
        seconds = value["seconds"]
        return cls(**{**value, "seconds": (seconds[0], seconds[1]) if seconds else None})

    @property
    def sentence(self) -> str:
        """``12 images in one request are seen, a prompt of 24,000 tokens arrives whole, ...``."""
        told = []
        if self.images is not None:
            seen = "1 image is" if self.images == 1 else f"{self.images:,} images are"
            told.append(f"{seen} seen in one request")
        if self.prompt_tokens is not None:
            told.append(f"a prompt of {self.prompt_tokens:,} tokens arrives whole")
        if self.json is not None:
            told.append(f"{JSON_WORDS[self.json]}")
        if self.reports_usage is not None:
            told.append("replies report tokens" if self.reports_usage else "no tokens are reported")
        if self.seconds is not None:
            fastest, slowest = self.seconds
            told.append(f"calls took {fastest:.1f} to {slowest:.1f} s")
        return ", ".join(told)


JSON_WORDS: dict[Structured, str] = {
    "json_schema": "schemas are enforced",
    "json_object": "JSON mode works, without schemas",
    "text": "JSON comes by the prompt alone",
}
