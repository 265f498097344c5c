"""The prompt cache: full 256-token blocks of a prompt's beginning, least recently used dropped.

Source: fact sheet 8. Prefixes are compared by content: an image is the same whether it came as a
file id or inline.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b

BLOCK_TOKENS = 256
BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a prompt: a text (``key`` is its UTF-8) or one image, and its ``tokens``."""

    key: bytes
    tokens: int
    is_text: bool

    def part(self, start: int, stop: int) -> bytes:
        """Bytes that identify tokens start..stop of this segment."""
        if self.is_text:
            return self.key[start * BYTES_PER_TOKEN : stop * BYTES_PER_TOKEN]
        return b"%s:%d:%d;" % (self.key, start, stop)


def text_tokens(size_bytes: int) -> int:
    """Tokens of a text of ``size_bytes`` UTF-8 bytes: four bytes per token, rounded up."""
    return -(-size_bytes // BYTES_PER_TOKEN)


def text_segment(text: str) -> Segment:
    data = text.encode(errors="replace")
    return Segment(data, text_tokens(len(data)), True)


def block_keys(model: str, segments: Iterable[Segment]) -> Iterator[bytes]:
    """One key for each full block; it also covers the model and all blocks before it."""
    hasher, room = blake2b(model.encode(), digest_size=16), BLOCK_TOKENS
    for segment in segments:
        start = 0
        while segment.tokens - start >= room:
            hasher.update(segment.part(start, start + room))
            yield hasher.digest()
            start, room = start + room, BLOCK_TOKENS
        hasher.update(segment.part(start, segment.tokens))
        room -= segment.tokens - start


class PrefixCache:
    """The blocks at the beginning of an account's recent prompts."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[bytes, None] = OrderedDict()

    def read(self, model: str, segments: Iterable[Segment], capacity: int) -> int:
        """The number of cached tokens of the prompt; then all its full blocks are cached.

        ``capacity`` is in blocks; 0 caches nothing.
        """
        hits, unbroken = 0, True
        for key in block_keys(model, segments):
            unbroken = unbroken and key in self._blocks
            hits += unbroken
            self._blocks[key] = None
            self._blocks.move_to_end(key)
        while len(self._blocks) > capacity:
            self._blocks.popitem(last=False)
        return hits * BLOCK_TOKENS
