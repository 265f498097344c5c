"""Skylines, streets, façades, bridges, and lights out of focus."""

from __future__ import annotations

import itertools
from math import cosh
from random import Random

from PIL import Image, ImageDraw, ImageFilter, ImageOps

from photolab.coast import mirrored
from photolab.paint import (
    Colour,
    Point,
    Size,
    bokeh,
    glow,
    gradient,
    lit,
    mix,
    noise,
    ramp,
    soften,
    vary,
)
from photolab.sky import Light, light, sky

LAMPS: list[Colour] = [(255, 196, 110), (255, 226, 170), (255, 150, 80), (190, 220, 255)]
SIGNS: list[Colour] = [
    (255, 70, 90),
    (80, 200, 255),
    (255, 190, 60),
    (180, 110, 255),
    (110, 255, 180),
]


def skyline(rng: Random, size: Size, of: Light, ground_y: int) -> Image.Image:
    """Rows of buildings, paler with distance, over a sky."""
    image = Image.new("RGB", size, of.horizon)
    sun = (size[0] * rng.uniform(0.1, 0.9), ground_y * rng.uniform(0.25, 0.8))
    image.paste(sky(rng, (size[0], ground_y), of, sun if of.day < 0.8 else None), (0, 0))
    if of.day < 0.4:
        glow(image, (size[0] / 2, ground_y), size[0] * 0.7, (255, 170, 100), 2, 90)
    rows = 4
    for row in range(rows):
        near = (row + 1) / rows
        wall = mix(of.horizon, of.on(vary(rng, (74, 82, 96), 14)), 0.25 + 0.7 * near)
        x = -rng.uniform(0, 40)
        while x < size[0]:
            wide = size[0] * rng.uniform(0.03, 0.08) * (0.7 + 0.5 * near)
            tall = (
                ground_y
                * rng.choice([0.2, 0.3, 0.35, 0.5, 0.72])
                * rng.uniform(0.7, 1.15)
                * (1.15 - 0.45 * near)
            )
            _building(
                rng, image, (x, ground_y - tall, x + wide, ground_y), vary(rng, wall, 7), of, near
            )
            x += wide * rng.uniform(0.9, 1.5)
    return image


def _building(
    rng: Random, image: Image.Image, box: tuple[float, ...], wall: Colour, of: Light, near: float
) -> None:
    left, top, right, bottom = box
    pen = ImageDraw.Draw(image)
    pen.rectangle(box, wall)
    pen.rectangle((left + (right - left) * 0.72, top, right, bottom), mix(wall, (0, 0, 10), 0.22))
    _roof(rng, pen, box, wall)
    pitch = (3 + 5 * near) * max(1.0, image.width / 1000)
    share = 0.08 if of.day > 0.5 else rng.uniform(0.25, 0.7)
    lamp = rng.choice(LAMPS)
    dark = mix(wall, of.zenith, 0.35)
    y = top + pitch
    while y < bottom - pitch:
        x = left + pitch * 0.7
        while x < right - pitch * 0.9:
            glass = (
                mix(wall, vary(rng, lamp, 24), (1 - of.day) * near**0.5)
                if rng.random() < share
                else dark
            )
            pen.rectangle((x, y, x + pitch * 0.42, y + pitch * 0.5), glass)
            x += pitch
        y += pitch * 1.15


def _roof(rng: Random, pen: ImageDraw.ImageDraw, box: tuple[float, ...], wall: Colour) -> None:
    left, top, right, _ = box
    middle, wide = (left + right) / 2, right - left
    match rng.randrange(4):
        case 0:
            pen.line((middle, top, middle, top - wide * 0.9), wall, 2)
        case 1:
            pen.rectangle((left + wide * 0.2, top - wide * 0.22, right - wide * 0.25, top), wall)
        case 2:
            pen.polygon([(left, top), (middle, top - wide * 0.5), (right, top)], wall)
        case _:
            pass


def skyline_by_night(rng: Random, size: Size) -> Image.Image:
    """The harbour front after dark, and its lights in the water."""
    of = light(rng, "night", "dusk", "night", "sunset")
    shore = round(size[1] * rng.uniform(0.55, 0.7))
    top = skyline(rng, (size[0], shore), of, shore)
    top = Image.blend(
        top,
        Image.blend(top, soften(top, 9), 0.5).point(
            [min(255, round(v * 1.5)) for v in range(256)] * 3
        ),
        0.45,
    )
    return mirrored(rng, top, size, mix(of.zenith, (4, 10, 24), 0.6), rng.uniform(1.5, 4))


def skyline_by_day(rng: Random, size: Size) -> Image.Image:
    of = light(rng, "dawn", "morning", "noon", "golden", "overcast")
    foot = round(size[1] * rng.uniform(0.8, 0.95))
    image = skyline(rng, size, of, foot)
    park = of.on(vary(rng, (58, 88, 52), 10))
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, foot, *size), park)
    for _ in range(420):
        x, y, r = (
            rng.uniform(0, size[0]),
            foot + rng.uniform(-0.02, 0.2) * size[1] * 0.5,
            size[1] * rng.uniform(0.006, 0.022),
        )
        pen.ellipse(
            (x - r, y - r, x + r, y + r), vary(rng, mix(park, of.sun, rng.random() * 0.25), 10)
        )
    return image


def lights_out_of_focus(rng: Random, size: Size) -> Image.Image:
    """A street at night, out of focus: the lens is focused on something nearer."""
    base = gradient(
        size, [(0, (10, 10, 24)), (0.5, vary(rng, (44, 30, 48), 14)), (1, (12, 10, 16))]
    )
    small = base.resize((size[0] // 2, size[1] // 2))
    palette = rng.sample(SIGNS, 2) + rng.sample(LAMPS, 2)
    image = bokeh(rng, small, palette, rng.randint(40, 90), size[1] * rng.uniform(0.02, 0.045))
    image = bokeh(rng, soften(image, 2), palette, rng.randint(8, 20), size[1] * 0.06)
    return image.resize(size, Image.Resampling.BICUBIC)


def facade(rng: Random, size: Size) -> Image.Image:
    """The front of one house: windows, shutters, some of them lit."""
    of = light(rng, "morning", "noon", "golden", "dusk", "overcast")
    wall = of.on(
        vary(
            rng,
            rng.choice(
                [(222, 178, 120), (196, 104, 84), (150, 178, 190), (232, 220, 198), (214, 150, 150)]
            ),
            12,
        )
    )
    image = lit(
        gradient(size, [(0, wall), (1, mix(wall, (60, 50, 50), 0.25))]),
        noise(rng, size, (60, 80), 5, 0.7),
        0.25,
    )
    columns, rows = rng.randint(3, 5), rng.randint(2, 4)
    shutter = of.on(
        vary(rng, rng.choice([(46, 92, 76), (52, 84, 124), (120, 60, 44), (236, 232, 222)]), 10)
    )
    cell = (size[0] / columns, size[1] / rows)
    for row in range(rows):
        for column in range(columns):
            _window(
                rng,
                image,
                (cell[0] * (column + 0.5), cell[1] * (row + 0.5)),
                (cell[0] * 0.17, min(cell[1] * 0.3, cell[0] * 0.34)),
                shutter,
                of,
            )
    return image


def _window(
    rng: Random, image: Image.Image, at: Point, half: Point, shutter: Colour, of: Light
) -> None:
    (x, y), (w, h) = at, half
    pen = ImageDraw.Draw(image)
    frame = of.on((244, 240, 230))
    pen.rectangle(
        (x - w * 1.1 + 6, y - h * 1.08 + 8, x + w * 2.1 + 6, y + h * 1.1 + 8),
        mix(shutter, (30, 20, 30), 0.75),
    )
    pen.rectangle((x - w * 1.1, y - h * 1.08, x + w * 1.1, y + h * 1.08), frame)
    lamp = rng.random() < 0.75 - of.day * 0.7
    glass = gradient(
        (round(2 * w), round(2 * h)),
        [(0, mix(of.middle, (30, 40, 60), 0.4)), (0.5, (40, 50, 62)), (1, (24, 28, 36))],
    )
    if lamp:
        glow(glass, (w * rng.uniform(0.5, 1.5), h * 0.8), w * 3, (255, 206, 120), 1.2, 250)
    image.paste(glass, (round(x - w), round(y - h)))
    bar = max(2, round(w * 0.08))
    pen.line((x, y - h, x, y + h), frame, bar)
    pen.line((x - w, y - h * 0.3, x + w, y - h * 0.3), frame, bar)
    for side in (-1, 1):
        _shutter(pen, (x + side * w * 1.62, y), (w * 0.48, h), shutter)
    pen.rectangle(
        (x - w * 1.25, y + h * 1.08, x + w * 1.25, y + h * 1.2), mix(frame, (70, 60, 60), 0.25)
    )
    if rng.random() < 0.4:
        _flower_box(rng, pen, (x, y + h * 1.08), w, of)


def _shutter(pen: ImageDraw.ImageDraw, at: Point, half: Point, colour: Colour) -> None:
    (x, y), (w, h) = at, half
    pen.rectangle((x - w, y - h, x + w, y + h), colour)
    slats = 14
    for k in range(slats):
        level = y - h * 0.93 + 1.86 * h * k / slats
        pen.line(
            (x - w * 0.8, level, x + w * 0.8, level),
            mix(colour, (0, 0, 0), 0.35),
            max(1, round(h / 50)),
        )


def _flower_box(rng: Random, pen: ImageDraw.ImageDraw, at: Point, w: float, of: Light) -> None:
    (x, y), bloom = at, rng.choice([(222, 50, 70), (240, 150, 190), (250, 210, 80)])
    for k in range(90):
        colour = (52, 104, 52) if k < 45 else bloom
        px, py, r = x + rng.uniform(-w, w), y - rng.uniform(0, w * 0.42), w * rng.uniform(0.05, 0.1)
        pen.ellipse((px - r, py - r, px + r, py + r), of.on(vary(rng, colour, 24)))


def street(rng: Random, size: Size) -> Image.Image:
    """A wet street at night: houses in perspective, lamps, signs, reflected in the road."""
    of = light(rng, "night", "dusk")
    road = round(size[1] * rng.uniform(0.58, 0.66))
    vanish = (size[0] * rng.uniform(0.4, 0.6), road * 0.86)
    top = gradient((size[0], road), [(0, of.zenith), (1, mix(of.horizon, (255, 170, 110), 0.35))])
    for side in (-1, 1):
        _row_of_houses(rng, top, vanish, side, of)
    glow(top, vanish, size[0] * 0.3, (255, 190, 120), 2, 150)
    _street_lamps(rng, top, vanish)
    image = mirrored(rng, top, size, (10, 12, 20), 1.5)
    wet = image.crop((0, road, *size))
    streaked = wet.resize((size[0], 14), Image.Resampling.BOX).resize(
        wet.size, Image.Resampling.BICUBIC
    )
    wet = Image.blend(wet, streaked, 0.55)
    image.paste(lit(wet, noise(rng, wet.size, (40, 9), 4, 0.7), 0.5), (0, road))
    return image


def _row_of_houses(rng: Random, image: Image.Image, vanish: Point, side: int, of: Light) -> None:
    """From the far end to the near one; t is a corner's distance from the vanishing point."""
    pen = ImageDraw.Draw(image)
    edges = [0.08, 0.13, 0.2, 0.31, 0.47, 0.7, 1.05]
    for far, near in itertools.pairwise(edges):
        wall = mix(
            of.on(vary(rng, rng.choice([(110, 90, 84), (86, 92, 108), (130, 108, 88)]), 14)),
            (255, 180, 120),
            0.12,
        )
        tall = image.height * rng.uniform(0.9, 1.7)
        x = [vanish[0] + side * image.width * 0.62 * t for t in (far, near)]
        foot = [vanish[1] + (image.height - vanish[1]) * t * 1.2 for t in (far, near)]
        top = [vanish[1] - tall * t for t in (far, near)]
        pen.polygon(
            [(x[0], foot[0]), (x[0], top[0]), (x[1], top[1]), (x[1], foot[1])],
            mix(wall, (6, 8, 16), 0.35),
        )
        _house_windows(rng, pen, x, foot, top)
        if near > 0.25:
            _sign(
                rng,
                image,
                (x[0] + (x[1] - x[0]) * 0.4, foot[0] - (foot[0] - top[0]) * 0.34),
                image.height * 0.06 * near,
            )


def _house_windows(
    rng: Random, pen: ImageDraw.ImageDraw, x: list[float], foot: list[float], top: list[float]
) -> None:
    def corner(u: float, v: float) -> Point:
        low, high = foot[0] + (foot[1] - foot[0]) * u, top[0] + (top[1] - top[0]) * u
        return x[0] + (x[1] - x[0]) * u, low + (high - low) * v

    for u in (0.14, 0.42, 0.7):
        for v in (0.04, 0.3, 0.48, 0.66, 0.84):
            tall = 0.17 if v < 0.1 else 0.1
            pane = mix(
                (24, 26, 40),
                vary(rng, rng.choice(LAMPS), 20),
                rng.choice([0.1, 0.15, 0.9]) if v > 0.1 else 0.85,
            )
            pen.polygon(
                [
                    corner(u, v),
                    corner(u, v + tall),
                    corner(u + 0.18, v + tall),
                    corner(u + 0.18, v),
                ],
                pane,
            )


def _sign(rng: Random, image: Image.Image, at: Point, r: float) -> None:
    colour = rng.choice(SIGNS)
    glow(image, at, r * 5, colour, 2, 150)
    ImageDraw.Draw(image).rounded_rectangle(
        (at[0] - r * 0.5, at[1] - r * 1.4, at[0] + r * 0.5, at[1] + r * 1.4),
        r * 0.2,
        mix(colour, (255, 255, 255), 0.45),
    )


def _street_lamps(rng: Random, image: Image.Image, vanish: Point) -> None:
    pen = ImageDraw.Draw(image)
    for t in (0.1, 0.16, 0.26, 0.42, 0.68):
        for side in (-1, 1):
            x = vanish[0] + side * image.width * 0.45 * t
            top, foot = (
                vanish[1] - image.height * 0.62 * t,
                vanish[1] + (image.height - vanish[1]) * t * 1.3,
            )
            pen.line((x, foot, x, top), (20, 20, 26), max(1, round(9 * t)))
            glow(image, (x, top), image.height * 0.42 * t, rng.choice(LAMPS[:2]), 3, 255)


def bridge(rng: Random, size: Size) -> Image.Image:
    """A suspension bridge over a wide river, towers and hangers against the sky."""
    of = light(rng, "dawn", "golden", "sunset", "dusk", "night", "morning", "overcast")
    shore = round(size[1] * rng.uniform(0.6, 0.72))
    top = skyline(rng, (size[0], shore), of, shore).filter(ImageFilter.BoxBlur(2))
    top.paste(of.horizon, (0, 0), ramp(top.size, 20, 150))
    steel = of.on(vary(rng, rng.choice([(170, 60, 44), (80, 96, 108), (60, 70, 60)]), 10))
    deck = shore * rng.uniform(0.74, 0.82)
    _span(top, deck, shore * rng.uniform(0.14, 0.3), steel, of)
    image = mirrored(rng, top, size, of.on((30, 56, 72)), rng.uniform(0.8, 2.5))
    return ImageOps.mirror(image) if rng.random() < 0.5 else image


def _span(image: Image.Image, deck: float, peak: float, steel: Colour, of: Light) -> None:
    pen = ImageDraw.Draw(image)
    wide, thick = image.width, max(2, image.width // 320)
    towers = (wide * 0.2, wide * 0.86)
    middle, half = (towers[0] + towers[1]) / 2, (towers[1] - towers[0]) / 2
    sag = (deck - peak) * 0.92

    def cable(x: float) -> float:
        d = (x - middle) / half
        inside = peak + sag - (cosh(1.2 * d) - 1) / (cosh(1.2) - 1) * sag
        return inside if abs(d) <= 1 else peak + (abs(d) - 1) * sag * 1.7

    for x in range(0, wide, max(8, wide // 70)):
        if cable(x) < deck:
            pen.line((x, cable(x), x, deck), mix(steel, of.horizon, 0.3), 1)
    for lift in (0, thick * 2):
        pen.line([(x, min(deck, cable(x)) + lift) for x in range(0, wide + 9, 8)], steel, thick)
    pen.rectangle((0, deck, wide, deck + thick * 4), mix(steel, (10, 10, 20), 0.2))
    for tower in towers:
        for leg in (-1, 1):
            at = tower + leg * thick * 4
            pen.rectangle(
                (at - thick * 1.6, peak - thick * 3, at + thick * 1.6, image.height),
                mix(steel, (10, 10, 20), 0.15 if leg < 0 else 0.35),
            )
        for level in (0.02, 0.3, 0.6):
            y = peak + (deck - peak) * level
            pen.rectangle((tower - thick * 4, y, tower + thick * 4, y + thick * 2.5), steel)
    if of.day < 0.5:
        for x in range(0, wide, wide // 24):
            glow(image, (x, deck - thick * 2), thick * 6, (255, 220, 150), 2, 240)
