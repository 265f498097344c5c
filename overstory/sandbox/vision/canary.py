"""Canary pictures: the word on a picture of our own, known by the hash of its bytes.

A model reads such a word. The sandbox has no reader of text, so it compares the picture with one
of each word.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from threading import Lock

from core.requests.canary import SIDE, WORDS
from overstory.sandbox.vision.describe import Description

_GREYS = frozenset({"black", "white", "grey"})
_LOCK = Lock()  # two canaries come together, and the words are drawn only once


def may_show_a_word(description: Description) -> bool:
    """Whether a picture has the size, format and colours of a canary."""
    size = (description.width, description.height, description.format)
    is_grey = _GREYS.issuperset(dict(description.colours))
    return size == (SIDE, SIDE, "png") and is_grey and description.contrast > 0


def word_on(sha: str) -> str | None:
    """The word on the picture with this sha256. The first call draws all words: half a second."""
    with _LOCK:
        return _words_by_sha().get(sha)


def another_word(word: str) -> str:
    """A word that is not on the canary: what a model invents that does not see it."""
    return WORDS[WORDS.index(word) - 1]


@cache
def _words_by_sha() -> dict[str, str]:
    from clients.images.pillow import word_picture  # only requests with a canary need it

    return {sha256(word_picture(word, SIDE)).hexdigest(): word for word in WORDS}
