"""Whether a reply's usage can hold the images of its request.

A server that shows the model fewer images than it was sent, or cuts the prompt, counts fewer prompt
tokens. Where the tokens of an image are known by formula, the count is compared with them. Where
they are not, it is compared with a lower bound for any model, and with replies to other requests
for the same images and more: more images must take more tokens.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from core.catalog.tokens import Detail
from core.requests.review import NotSeen

_REPEATED = re.compile(r"(.)\1+", re.DOTALL)
"""Runs of one character: a tokenizer has one token for many of them."""

FORMULA_SHARE = {"low": 0.9, "high": 0.75}
"""Share of the images' tokens by formula that a reply must at least report. At low detail the docs
say 169 and the formula 171; at high detail the formula is inferred (fact sheet 3.4)."""
FORMULA_SHARE_ALONE = {"low": 0.75, "high": 0.5}
"""The same for one image, where its tokens are hard to tell from those of the text."""
BYTES_PER_TOKEN_MAX = 6
"""Text has at least a token for so many bytes, repeated characters aside: English has one for 4 to
5 bytes, Chinese for 3 to 5."""
BYTES_PER_TOKEN = 4
BYTES_PER_TOKEN_ALONE = 5
"""The same where one image of an unknown number of tokens is told from the text."""
PATCH = 32
"""Pixels on a side for which any model that is known to us has a token (Qwen: 28 or 32)."""
FEWEST_TOKENS = 32
"""Half of the fewest tokens of a picture of usual size with any model known to us (SmolVLM: 64)."""
SLACK_TOKENS = 128
"""By how much the text of two requests of a job may differ."""
CONTEXTS = frozenset(2**power for power in range(11, 21))
"""Context lengths that servers are configured with: 2,048 to 1,048,576."""
NOTE_TOKENS = 64
"""Room for the line about one image in the same context."""
REPLY_TOKENS = 256


@dataclass(frozen=True, slots=True)
class ShownImage:
    """``tokens``: by the formula; ``width`` and ``height``: of what was sent, 0 where unknown."""

    tokens: int
    width: int
    height: int

    def fewest(self, usual: int = FEWEST_TOKENS) -> int:
        """The fewest prompt tokens that it takes with any model; ``usual``: of one that is large
        enough."""
        patches = (self.width // PATCH) * (self.height // PATCH)
        return max(1, min(usual, patches)) if self.width else 1


@dataclass(frozen=True, slots=True)
class Measured:
    """The prompt tokens that a reply reported for a request with ``images`` images."""

    images: int
    prompt_tokens: int


@dataclass(frozen=True)
class Prompt:
    """A request as its usage is judged. ``text``: all its text; ``detail``: where the formula is
    known, the detail of the images. ``others``: replies to requests that showed the same images
    and more; those with fewer images are left out."""

    text: str
    images: Sequence[ShownImage]
    detail: Detail | None
    others: Sequence[Measured] = ()

    @cached_property
    def text_bytes(self) -> int:
        return len(_REPEATED.sub(r"\1", self.text).encode(errors="replace"))


def unheld(prompt: Prompt, reported: int) -> NotSeen | None:
    """Why a reply that ``reported`` so many prompt tokens cannot have seen all images, or None.

    A count that does not even hold the text says nothing, and is not judged: some servers leave out
    what their cache had.
    """
    text_least = prompt.text_bytes / BYTES_PER_TOKEN_MAX
    if not prompt.images or reported < text_least:
        return None
    if len(prompt.images) == 1:
        return None if reported >= _least_alone(prompt) else NotSeen(_none(reported), None)
    if prompt.detail is not None:
        by_formula = FORMULA_SHARE[prompt.detail] * sum(image.tokens for image in prompt.images)
        return None if reported >= text_least + by_formula else _held(prompt, reported)
    least = text_least + sum(image.fewest() for image in prompt.images)
    if reported >= least and reported not in CONTEXTS and not _is_level(prompt, reported):
        return None
    return _held(prompt, reported)


def _least_alone(prompt: Prompt) -> float:
    """The fewest prompt tokens of a request with one image."""
    image = prompt.images[0]
    if prompt.detail is not None:
        by_formula = FORMULA_SHARE_ALONE[prompt.detail] * image.tokens
        return prompt.text_bytes / BYTES_PER_TOKEN_MAX + by_formula
    return prompt.text_bytes / BYTES_PER_TOKEN_ALONE + image.fewest(2 * FEWEST_TOKENS)


def _is_level(prompt: Prompt, reported: int) -> bool:
    """Whether the next larger request, for the same images and more, reported as much. One that is
    larger still may have been cut."""
    shown = len(prompt.images)
    larger = [other for other in prompt.others if other.images > shown]
    if not larger:
        return False
    following = min(larger, key=lambda other: other.images)
    each = sum(image.fewest() for image in prompt.images) / shown
    grown = following.prompt_tokens - reported
    return grown < (following.images - shown) * each - SLACK_TOKENS


def _held(prompt: Prompt, reported: int) -> NotSeen:
    shown = len(prompt.images)
    room = min(_room(prompt, reported), shown - 1)
    if reported in CONTEXTS:
        text = (
            f"the server keeps {reported:,} tokens of a prompt: raise its context, or it will take"
            f" about {_images(room)} a request"
        )
    else:
        text = (
            f"the server counted {reported:,} prompt tokens for {shown} images, which holds about"
            f" {_images(room)}: it shows the model no more, so that is what it will be sent"
        )
    return NotSeen(text, room)


def _room(prompt: Prompt, reported: int) -> int:
    """About how many images the reported tokens hold, 1 at least."""
    shown = len(prompt.images)
    if prompt.detail is None:
        return max(1, shown // 2)
    each = sum(image.tokens for image in prompt.images) / shown
    held = reported - prompt.text_bytes / BYTES_PER_TOKEN
    if reported in CONTEXTS:  # the reply needs room in it too
        held, each = held - REPLY_TOKENS, each + NOTE_TOKENS
    return max(1, round(held / each) if held < shown * each * 3 / 4 else shown * 3 // 4)


def _none(reported: int) -> str:
    return f"the server counted {reported:,} prompt tokens, too few for the image beside the text"


def _images(number: int) -> str:
    return f"{number} image" if number == 1 else f"{number} images"
