"""The prompt cache: whole 256-token blocks of a prompt's beginning, oldest use dropped first.

Source: fact sheet 8. Prefixes are told apart by content, so an image is the same image whether it
came as a file id or inline.
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
    """A stretch of a prompt: ``tokens`` of text (``key`` is its UTF-8) or of one image."""

    key: bytes
    tokens: int
    is_text: bool

    def part(self, start: int, stop: int) -> bytes:
        """What stands for tokens start..stop of this segment."""
        if self.is_text:
            return self.key[start * BYTES_PER_TOKEN : stop * BYTES_PER_TOKEN]
        return b"%s:%d:%d;" % (self.key, start, stop)


def text_tokens(size_bytes: int) -> int:
    """Tokens of a text of ``size_bytes`` UTF-8 bytes: four bytes a token, rounded up."""
    return -(-size_bytes // BYTES_PER_TOKEN)


def text_segment(text: str) -> Segment:
    """The segment of a text."""
    data = text.encode(errors="replace")
    return Segment(data, text_tokens(len(data)), True)


def block_keys(model: str, segments: Iterable[Segment]) -> Iterator[bytes]:
    """One key for each whole block; a key covers the model and everything before it too."""
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
    """The blocks an account's recent prompts began with."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[bytes, None] = OrderedDict()

    def read(self, model: str, segments: Iterable[Segment], capacity: int) -> int:
        """Tokens of the prompt that were cached; afterwards all its whole blocks are.

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
