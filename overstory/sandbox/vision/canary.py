"""The word on a picture of our own (a canary, a probe), known by the hash of its bytes.

A model reads such a word. The sandbox has no reader of text, so it compares the picture with one
of each word.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from threading import Lock

from core.requests.canary import PROBED, SIDE, WORDS
from overstory.sandbox.vision.describe import Description

_GREYS = frozenset({"black", "white", "grey"})
_SIZES = ((SIDE, SIDE), *PROBED)
_LOCK = Lock()  # two canaries come together, and the words are drawn only once


def may_show_a_word(description: Description) -> bool:
    """Whether a picture has the size, format and colours of a canary or a probe."""
    is_ours = (description.width, description.height) in _SIZES
    is_grey = _GREYS.issuperset(dict(description.colours))
    return is_ours and description.format == "png" and is_grey and description.contrast > 0


def word_on(sha: str, width: int, height: int) -> str | None:
    """The word on the picture with this sha256. The first call draws all words of this size: half a
    second for canaries, a few for large pictures."""
    with _LOCK:
        return _words_by_sha(width, height).get(sha)


def another_word(word: str) -> str:
    """A word that is not on the canary: what a model invents that does not see it."""
    return WORDS[WORDS.index(word) - 1]


@cache
def _words_by_sha(width: int, height: int) -> dict[str, str]:
    from clients.images.pillow import word_picture  # only requests with a word need it

    return {sha256(word_picture(word, width, height)).hexdigest(): word for word in WORDS}
