"""One vocabulary for describing images and for reading texts: colours, brightness, shape."""

from __future__ import annotations

import colorsys
import re

COLOURS = (
    *("black", "white", "grey", "red", "orange", "brown", "yellow"),
    *("green", "teal", "blue", "purple", "pink", "beige"),
)
BRIGHTNESS = ("dark", "dim", "bright")
SHAPES = ("landscape", "portrait", "square")
TEXTURES = ("flat", "textured")
TEMPERATURES = ("warm", "cool", "neutral")
VOCABULARY = frozenset((*COLOURS, *BRIGHTNESS, *SHAPES, *TEXTURES, *TEMPERATURES))

_SYNONYMS = {"gray": "grey", "cyan": "teal", "turquoise": "teal", "violet": "purple"}
_SYNONYMS |= {"magenta": "pink", "cream": "beige", "tan": "beige", "darker": "dark"}
_WORD = re.compile(r"[a-z]+")

# upper edge of each hue, in degrees
_HUES = (
    (14.0, "red"),
    (42.0, "orange"),
    (68.0, "yellow"),
    (160.0, "green"),
    (195.0, "teal"),
    (255.0, "blue"),
    (290.0, "purple"),
    (340.0, "pink"),
    (360.0, "red"),
)


def colour_name(red: int, green: int, blue: int) -> str:
    """The name of an sRGB colour; channels are 0..255."""
    hue, saturation, value = colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)
    if value < 0.16:
        return "black"
    if saturation < 0.12:
        return "white" if value > 0.88 else "grey"
    name = next(name for edge, name in _HUES if hue * 360 <= edge)
    return _muted(name, saturation, value)


class Names(dict[tuple[int, int, int], str]):
    """A cache of colour names without a limit: the caller quantises the colours first."""

    def __missing__(self, rgb: tuple[int, int, int]) -> str:
        name = self[rgb] = colour_name(*rgb)
        return name


def _muted(name: str, saturation: float, value: float) -> str:
    """Pale light orange or yellow is beige, pale light red is pink, dark orange is brown."""
    if name in ("orange", "yellow", "red") and saturation < 0.35 and value > 0.75:
        return "pink" if name == "red" else "beige"
    if name == "orange" and value < 0.72:
        return "brown"
    return name


def words_seen(text: str) -> list[str]:
    """The vocabulary's words in ``text``, in order; synonyms are replaced."""
    words = (_SYNONYMS.get(word, word) for word in _WORD.findall(text.lower()))
    return [word for word in words if word in VOCABULARY]
