"""Canaries: pictures of a single word, put among a request's images to prove that they are seen.

A model that shows what is written on them has seen the places where they stand. A blind model that
invents a line for every image cannot know the words. They are chosen by the content of the request,
so that the same images are the same request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.text.hashing import content_key

_WORDS = """
    ANCHOR APRON ARROW BADGER BAMBOO BANJO BARREL BASKET BEACON BISHOP BLANKET BONNET BOTTLE BRANCH
    BRIDGE BUCKET BUTTON CABIN CACTUS CANDLE CANOE CARPET CASTLE CELLO CHALK CHERRY CIRCUS CLOVER
    COBALT COPPER CORAL COTTON CRADLE CRICKET CURTAIN DAGGER DESERT DONKEY DRAGON EAGLE EMBER ENGINE
    FALCON FEATHER FIDDLE FLUTE FOREST FOSSIL GARDEN GARLIC GINGER GLACIER GOBLET GRANITE GUITAR
    HAMMER HARBOR HARVEST HELMET HONEY IVORY JACKET JASMINE JUNGLE KETTLE KITTEN LADDER LAGOON
    LANTERN LEMON LIZARD LOBSTER MAGNET MAPLE MARBLE MEADOW MIRROR MONKEY MUSEUM MUSTARD NEEDLE
    NICKEL NUTMEG OCEAN OLIVE ORCHARD OTTER OYSTER PADDLE PARROT PEANUT PEBBLE PELICAN PEPPER PIGEON
    PILLOW PIRATE PLANET POCKET POTATO PUMPKIN QUARRY QUIVER RABBIT RADISH RAVEN RIBBON RIVER ROCKET
    SADDLE SAFARI SALMON SANDAL SHADOW SHOVEL SILVER SPIDER SPONGE SQUID STATUE SUMMIT TEAPOT TEMPLE
    THIMBLE THUNDER TIGER TOMATO TROPHY TUNNEL TURTLE VALLEY VELVET VIOLIN VOLCANO WALNUT WHISTLE
    WINDOW WIZARD YOGURT ZEBRA ZIPPER
"""
WORDS = tuple(_WORDS.split())
SIDE = 256
"""Pixels on each side of the picture."""
PROBED = ((728, 546), (1_512, 1_134))
"""Pixels of the larger pictures of ``overstory doctor --probe``: some models cut the shape of a
photo into many more pieces than a square."""
BYTES = 4_000
"""More than such a picture has in base64."""
TWO_FROM = 20
"""A request for at least so many images gets two canaries, a smaller one gets one."""


@dataclass(frozen=True, slots=True)
class Canary:
    """``place``: its number in the request, from 1. ``word``: what is written on it."""

    place: int
    word: str


def count(images_per_request: int) -> int:
    """How many canaries a request has room for. An endpoint that takes one image gets none."""
    if images_per_request < 2:
        return 0
    return 2 if images_per_request >= TWO_FROM else 1


def canaries(shown: Sequence[str], number: int, turn: int = 0) -> tuple[Canary, ...]:
    """``number`` canaries for a request that shows images with these contents (hashes), by place:
    the last one, and one before it at a place that the contents and the ``turn`` choose."""
    if not number:
        return ()
    seed = int(content_key(["canary", turn, *shown])[:16], 16)
    words = len(WORDS)
    first = seed % words
    last = Canary(len(shown) + number, WORDS[first])
    if number == 1:
        return (last,)
    other = (first + 1 + seed // words % (words - 1)) % words
    return (Canary(1 + seed // words**2 % len(shown), WORDS[other]), last)
