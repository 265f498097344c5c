"""What five vendors bill for an image, written from their own texts.

Nothing is shared with ``core.catalog``, so that a wrong formula there is found. Sizes in pixels.
"""

from __future__ import annotations

import math
from fractions import Fraction


def openai(width: int, height: int, detail: str) -> int:
    """GPT-5.6 (developers.openai.com, Images and vision, 2026-08; the refusal by the calculator).

    "Low" is seen within 512 x 512. "High" is scaled to fit 2048 x 2048, and then until at most
    2,500 patches of 32 pixels cover it. Each patch is billed as 1.2 tokens.
    """
    side = 512 if detail == "low" else 2048
    if max(width, height) > side:
        scale = Fraction(side, max(width, height))
        width, height = max(1, round(width * scale)), max(1, round(height * scale))
    patches = math.ceil(width / 32) * math.ceil(height / 32)
    if detail != "low" and patches > 2500:
        shrink = math.sqrt(32**2 * 2500 / (width * height))
        across, down = width * shrink / 32, height * shrink / 32
        shrink *= min(math.floor(across) / across, math.floor(down) / down)
        width, height = int(width * shrink + 1e-9), int(height * shrink + 1e-9)
        patches = math.ceil(width / 32) * math.ceil(height / 32)
    return math.ceil(Fraction(6, 5) * patches)


def claude(width: int, height: int, detail: str) -> int:
    """Claude 4.7 and later (platform.claude.com, Vision, 2026-07): an image is billed by patches of
    28 x 28 pixels. It is first resized to the largest size that keeps its shape, is no longer than
    2576 pixels and has at most 4,784 patches."""
    longest, shortest = max(width, height), min(width, height)
    for edge in range(min(longest, 2576), 0, -1):
        other = max(1, round(shortest * edge / longest))
        patches = math.ceil(edge / 28) * math.ceil(other / 28)
        if patches <= 4784:
            return patches
    raise AssertionError("one patch is always few enough")


def gemini(width: int, height: int, detail: str) -> int:
    """Gemini 2.5 (ai.google.dev, Image understanding, 2026-08-27): 258 tokens if both sides are at
    most 384 pixels. Larger ones are cut into squares of the crop unit, about two thirds of the
    shorter side, of 258 tokens each."""
    if width <= 384 and height <= 384:
        return 258
    unit = math.floor(min(width, height) / 1.5)
    return 258 * math.ceil(width / unit) * math.ceil(height / unit)


def qwen(width: int, height: int, detail: str) -> int:
    """Qwen2.5-VL (the function smart_resize of its processor, with 28 pixels, 3,136 to 12,845,056
    of them): one token a patch, and one at each end."""
    factor, least, most = 28, 3_136, 12_845_056
    tall, wide = round(height / factor) * factor, round(width / factor) * factor
    if tall * wide > most:
        beta = math.sqrt(height * width / most)
        tall = max(factor, math.floor(height / beta / factor) * factor)
        wide = max(factor, math.floor(width / beta / factor) * factor)
    elif tall * wide < least:
        beta = math.sqrt(least / (height * width))
        tall = math.ceil(height * beta / factor) * factor
        wide = math.ceil(width * beta / factor) * factor
    return tall // factor * (wide // factor) + 2


def internvl(width: int, height: int, detail: str) -> int:
    """InternVL (dynamic_preprocess of its model card): 1 to 12 tiles of 448 pixels, in the grid of
    nearest shape, and a thumbnail if there are several. Each is 256 tokens; one at each end."""
    ratios = sorted(
        {(i, j) for n in range(1, 13) for i in range(1, n + 1) for j in range(1, n + 1)
         if 1 <= i * j <= 12},
        key=lambda ratio: ratio[0] * ratio[1],
    )  # fmt: skip
    best, nearest = (1, 1), math.inf
    for ratio in ratios:
        off = abs(width / height - ratio[0] / ratio[1])
        if off < nearest:
            best, nearest = ratio, off
        elif off == nearest and width * height > 0.5 * 448 * 448 * ratio[0] * ratio[1]:
            best = ratio
    tiles = best[0] * best[1]
    return 256 * (tiles + (tiles > 1)) + 2
