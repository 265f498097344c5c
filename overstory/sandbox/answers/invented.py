"""What a model writes about an image that it does not see, if it writes something all the same."""

from __future__ import annotations

from overstory.sandbox.answers.observation import Observation, only
from overstory.sandbox.vision.canary import another_word
from overstory.sandbox.vision.colours import COLOURS, SHAPES, words_seen

_LIGHTS = ("soft", "hard", "warm", "cool", "even", "low", "strong")
"""Seven, and there are 3 shapes and 13 colours: the first 273 positions have different lines."""


def invented(position: int, unseen: Observation) -> Observation:
    """An observation with nothing of ``unseen`` but its marker; a canary gets a wrong word."""
    if unseen.says is not None:
        return only(unseen.marker, another_word(unseen.says))
    index = position - 1
    shape, light = SHAPES[index % len(SHAPES)], _LIGHTS[index % len(_LIGHTS)]
    line = f"a {shape} photograph with {light} light, mostly {COLOURS[index % len(COLOURS)]}"
    return Observation(unseen.marker, line, tuple(words_seen(line)))
