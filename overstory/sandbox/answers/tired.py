"""A model that gets worse with company: it takes an image for another one of the request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from random import Random

from overstory.sandbox.answers.observation import Observation
from overstory.sandbox.vision.colours import COLOURS

FULL = 60
"""Images in a request that tires the model as much as its setting says."""
UNLABELLED = 2.0
"""How much more often an image is mistaken where images have no numbers between them."""
_LABEL = re.compile(r"(?m)^[ \t]*(?:Image +(\d+)|\[(\d+)\]) ?:")


def chance_of_error(tires: float, position: int, images: int, labelled: bool) -> float:
    """The chance (0..1) that the image at ``position`` (from 1) of ``images`` is mistaken.

    Half of it grows with the images of the request, half with the position. The last of 60 labelled
    images has the chance ``tires``; one that is alone has none.
    """
    company = (images - 1 + position - 1) / (2 * (FULL - 1))
    return min(1.0, tires * company * (1.0 if labelled else UNLABELLED))


def mistaken(
    seen: Sequence[Observation], contents: Sequence[str], text: str, tires: float, seed: int
) -> list[Observation]:
    """``seen``, the images of a request in order, with some of them taken for others.

    ``contents``: a hash of each image's bytes; ``text``: what the request says. The same request
    with the same ``seed`` has the same mistakes, and another composition has others.
    """
    if not tires or len(seen) < 2:
        return list(seen)
    labelled = len({number or mark for number, mark in _LABEL.findall(text)}) >= len(seen)
    request = sha256("".join(contents).encode()).hexdigest()
    views: list[Observation] = []
    for position, (image, content) in enumerate(zip(seen, contents, strict=True), 1):
        chance = Random(f"{seed}:{content}:{request}")  # noqa: S311 - simulation
        errs = chance.random() < chance_of_error(tires, position, len(seen), labelled)
        views.append(_taken_for(image, seen, chance) if errs else image)
    return views


def _taken_for(image: Observation, seen: Sequence[Observation], chance: Random) -> Observation:
    """What is written about another image of the request, or about a colour that is not there. A
    canary is read all the same: this model sees, but mixes things up."""
    if image.says is not None:
        return image
    others = [one for one in seen if one.says is None and one.colour != image.colour]
    if others:
        return replace(chance.choice(others), marker=image.marker)
    colour = chance.choice([name for name in COLOURS if name != image.colour])
    words = tuple(colour if word in COLOURS else word for word in image.words)
    line = image.line.replace(image.colour or colour, colour)
    return replace(image, line=line, words=words)
