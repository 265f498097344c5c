"""What the model sees of a request: the first of its images, and what the server counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from overstory.sandbox.account.prompt_cache import Segment
from overstory.sandbox.config import SandboxConfig
from overstory.sandbox.protocol.prompt import segments_of
from overstory.sandbox.protocol.request import ChatRequest
from overstory.sandbox.vision.decode import Picture


@dataclass(frozen=True, slots=True)
class Sight:
    """The model sees the first ``images`` images of a request, and all its texts.

    ``segments``: what it sees. ``prompt_tokens``: what the server counts; more than the segments
    have if an image was cut in two.
    """

    images: int
    segments: tuple[Segment, ...]
    prompt_tokens: int


def sight_of(request: ChatRequest, pictures: Sequence[Picture], config: SandboxConfig) -> Sight:
    """What the model sees of ``request``; ``pictures`` are the request's images, in order."""
    segments = segments_of(request, pictures, config.tokens_an_image)
    images = [segment.tokens for segment in segments if not segment.is_text]
    texts = sum(segment.tokens for segment in segments if segment.is_text)
    shown = images[: 0 if config.blind else config.sees_first]
    tokens, kept = texts + sum(shown), config.keeps_tokens
    seen = len(shown)
    if kept is not None:
        seen = sum(end <= kept - texts for end in accumulate(shown))
        tokens = min(tokens, kept)
    return Sight(seen, tuple(_with_first(segments, seen)), tokens)


def _with_first(segments: Sequence[Segment], images: int) -> Iterator[Segment]:
    """The texts, and the first ``images`` images."""
    for segment in segments:
        images -= not segment.is_text
        if segment.is_text or images >= 0:
            yield segment
