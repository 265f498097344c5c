"""The sea, beaches, lighthouses, lakes."""

from __future__ import annotations

from math import sin
from random import Random

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

from photolab.land import below, range_of_hills, ridge, snow_peak
from photolab.paint import (
    Colour,
    Point,
    Size,
    curve,
    ellipse,
    glow,
    gradient,
    ground,
    lit,
    mix,
    noise,
    polygon,
    relief,
    shadow,
    vary,
)
from photolab.sky import Light, light, sky


def sea(rng: Random, size: Size, of: Light, sun_x: float | None, calm: float) -> Image.Image:
    """Water from the horizon to the viewer; under the sun it glitters."""
    deep = of.on(vary(rng, rng.choice([(20, 62, 92), (16, 84, 104), (34, 66, 84)]), 10))
    far = mix(of.horizon, of.middle, 0.5)
    water = gradient(
        size,
        [(0, mix(far, deep, 0.25)), (0.25, mix(far, deep, 0.6)), (1, mix(deep, (0, 10, 24), 0.25))],
    )
    waves = noise(rng, (800, 800), (70, 16), 4, 0.62)
    swell = ground(relief(waves, (1, 3), 3.2), size, 6)
    water = lit(water, swell, 1 - 0.7 * calm)
    if sun_x is not None:
        _glitter(rng, water, sun_x, of, swell)
    return water


def _glitter(rng: Random, water: Image.Image, x: float, of: Light, swell: Image.Image) -> None:
    wide, high = water.size
    spread = wide * rng.uniform(0.05, 0.11)
    path = polygon(
        water.size,
        [
            (x - spread * 0.6, 0),
            (x + spread * 0.6, 0),
            (x + spread * 2, high),
            (x - spread * 2, high),
        ],
        spread * 0.5,
    )
    sparks = curve(swell, 128, 158)
    water.paste(mix(of.horizon, of.sun, 0.6), (0, 0), ImageChops.multiply(path, sparks))
    water.paste(of.horizon, (0, 0), path.point([v // 4 for v in range(256)]))


def _seascape(rng: Random, size: Size, of: Light, horizon: int) -> Image.Image:
    sun_x = size[0] * rng.uniform(0.12, 0.88)
    low = of.day < 0.8
    image = Image.new("RGB", size)
    image.paste(
        sky(
            rng,
            (size[0], horizon + 1),
            of,
            (sun_x, horizon * rng.uniform(0.3, 0.98)) if low else None,
        ),
        (0, 0),
    )
    image.paste(
        sea(rng, (size[0], size[1] - horizon), of, sun_x if low else None, rng.uniform(0.1, 0.8)),
        (0, horizon),
    )
    return image


def open_sea(rng: Random, size: Size) -> Image.Image:
    of = light(rng)
    horizon = round(size[1] * rng.uniform(0.35, 0.62))
    image = _seascape(rng, size, of, horizon)
    if rng.random() < 0.6:
        _island(rng, image, of, horizon)
    for _ in range(rng.choice([0, 1, 1, 2, 4])):
        at = (size[0] * rng.uniform(0.1, 0.9), horizon + size[1] * rng.uniform(0.01, 0.2))
        _sailboat(rng, image, at, 12 + (at[1] - horizon) * rng.uniform(0.8, 1.4), of)
    return image


def _island(rng: Random, image: Image.Image, of: Light, horizon: int) -> None:
    wide = image.width * rng.uniform(0.3, 0.8)
    left = rng.uniform(-0.2, 0.8) * image.width
    tall = image.height * rng.uniform(0.04, 0.13)
    line = [
        (
            left + x / image.width * wide,
            horizon - max(0.0, tall * sin(x / image.width * 3.1416) + (y - horizon) * 0.5),
        )
        for x, y in ridge(rng, image.size, horizon, tall)
    ]
    mask = polygon(image.size, [(left, horizon + 1), *line, (left + wide, horizon + 1)])
    image.paste(mix(of.horizon, of.on((58, 72, 76)), rng.uniform(0.35, 0.8)), (0, 0), mask)


def _sailboat(rng: Random, image: Image.Image, foot: Point, tall: float, of: Light) -> None:
    x, y = foot
    lean = rng.uniform(-0.06, 0.06) * tall
    hull, canvas = (
        of.on(rng.choice([(240, 240, 236), (150, 40, 36), (30, 48, 76)])),
        mix(of.on((250, 246, 236)), of.sun, 0.3),
    )
    mast = (x + lean, y - tall)
    size = image.size
    image.paste(
        mix(hull, (0, 10, 20), 0.5),
        (0, 0),
        ellipse(size, (x - tall * 0.3, y, x + tall * 0.3, y + tall * 0.12), tall * 0.03).point(
            [v // 2 for v in range(256)]
        ),
    )
    image.paste(
        canvas,
        (0, 0),
        polygon(size, [mast, (x + tall * 0.42, y - tall * 0.14), (x + 1, y - tall * 0.12)]),
    )
    image.paste(
        mix(canvas, of.zenith, 0.25),
        (0, 0),
        polygon(
            size,
            [
                (mast[0], mast[1] + tall * 0.1),
                (x - tall * 0.3, y - tall * 0.14),
                (x - 1, y - tall * 0.12),
            ],
        ),
    )
    image.paste(
        hull,
        (0, 0),
        polygon(
            size,
            [
                (x - tall * 0.34, y - tall * 0.1),
                (x + tall * 0.4, y - tall * 0.1),
                (x + tall * 0.3, y),
                (x - tall * 0.26, y),
            ],
        ),
    )


def beach(rng: Random, size: Size) -> Image.Image:
    """Sea, foam that runs out on wet sand, and dry sand with something left on it."""
    of = light(rng, "morning", "noon", "golden", "sunset", "overcast", "dawn")
    horizon = round(size[1] * rng.uniform(0.25, 0.4))
    image = _seascape(rng, size, of, horizon)
    shore = [
        (x, y + (x / size[0] - 0.5) * size[1] * 0.1)
        for x, y in ridge(rng, size, size[1] * rng.uniform(0.55, 0.66), size[1] * 0.06, 0.42)
    ]
    sand = of.on(vary(rng, rng.choice([(226, 200, 156), (206, 176, 138), (236, 220, 190)]), 8))
    floor = lit(
        gradient(size, [(0, sand), (0.6, mix(sand, of.horizon, 0.2)), (1, sand)]),
        noise(rng, size, (4, 3), 2, 0.9),
        0.25,
    )
    floor = lit(floor, relief(noise(rng, size, (size[0] / 8, size[1] / 24), 4), (2, 3), 4), 0.35)
    image = Image.composite(floor, image, polygon(size, below(size, shore)))
    _wash(rng, image, shore, sand, of)
    for _ in range(rng.randint(1, 3)):
        _left_on_sand(
            rng, image, (size[0] * rng.uniform(0.1, 0.9), size[1] * rng.uniform(0.8, 0.93)), of
        )
    return image


def _wash(rng: Random, image: Image.Image, shore: list[Point], sand: Colour, of: Light) -> None:
    """Wet sand below the line, foam along it."""
    size = image.size
    wet = [(x, y + size[1] * 0.075) for x, y in shore]
    image.paste(
        mix(sand, mix(of.middle, (60, 60, 70), 0.5), 0.42), (0, 0), _band(size, shore, wet, 5)
    )
    lace = curve(noise(rng, size, (26, 12), 4, 0.7), 112, 140)
    for offset, thick in ((-0.075, 0.022), (-0.034, 0.018), (0.0, 0.03)):
        upper = [(x, y + size[1] * (offset - thick) + 4 * sin(x / 37)) for x, y in shore]
        lower = [(x, y + size[1] * offset + size[1] * 0.012) for x, y in shore]
        foam = ImageChops.multiply(_band(size, upper, lower, 3), lace)
        image.paste(mix(of.on((255, 255, 255)), of.sun, 0.3), (0, 0), foam)


def _band(size: Size, upper: list[Point], lower: list[Point], blur: float) -> Image.Image:
    return polygon(size, [*upper, *reversed(lower)], blur)


def _left_on_sand(rng: Random, image: Image.Image, at: Point, of: Light) -> None:
    (x, y), r = at, image.height * rng.uniform(0.02, 0.045)
    shadow(image, (x - r, y + r * 0.5, x + r * 2.2, y + r * 1.2), r * 0.2, 110)
    rng.choice([_parasol, _beach_ball, _stone])(rng, image, (x, y), r, of)


def _parasol(rng: Random, image: Image.Image, at: Point, r: float, of: Light) -> None:
    (x, y), r = at, r * 2.4
    pen = ImageDraw.Draw(image)
    pen.line(
        (x, y + r * 0.45, x + r * 0.2, y - r * 1.6), of.on((240, 236, 228)), max(2, round(r * 0.06))
    )
    a, b = (
        of.on(rng.choice([(206, 50, 48), (30, 104, 160), (238, 176, 50)])),
        of.on((248, 244, 236)),
    )
    for k in range(6):
        left, right = x - r + k * r * 0.4, x - r + (k + 1) * r * 0.4
        wedge = [
            (x + r * 0.2, y - r * 1.75),
            (left, y - r * 0.95),
            ((left + right) / 2, y - r * 0.88),
            (right, y - r * 0.95),
        ]
        image.paste((a, b)[k % 2], (0, 0), polygon(image.size, wedge))


def _beach_ball(rng: Random, image: Image.Image, at: Point, r: float, of: Light) -> None:
    (x, y) = at
    box = (x - r, y - r, x + r, y + r)
    pen = ImageDraw.Draw(image)
    for k, colour in enumerate(
        [(232, 62, 60), (250, 250, 244), (52, 120, 200), (250, 210, 70)] * 2
    ):
        pen.pieslice(box, k * 45, k * 45 + 45, of.on(colour))
    glow(image, (x - r * 0.3, y - r * 0.35), r * 0.5, (255, 255, 255), 2, 160)


def _stone(rng: Random, image: Image.Image, at: Point, r: float, of: Light) -> None:
    x, y = at
    outline = [
        (x + r * 1.3 * a * rng.uniform(0.85, 1.1), y + r * 0.4 + r * b * rng.uniform(0.8, 1.1))
        for a, b in (
            (-1, 0.2),
            (-0.7, -0.5),
            (0, -0.8),
            (0.7, -0.5),
            (1, 0.2),
            (0.5, 0.5),
            (-0.5, 0.5),
        )
    ]
    image.paste(of.on(vary(rng, (112, 106, 102), 20)), (0, 0), polygon(image.size, outline, 1))
    image.paste(
        of.on((196, 188, 178)),
        (0, 0),
        polygon(image.size, [(px - r * 0.08, py - r * 0.1) for px, py in outline[:4]], 2).point(
            [v // 2 for v in range(256)]
        ),
    )


def lighthouse(rng: Random, size: Size) -> Image.Image:
    """A tower on a headland; its lamp burns when the day is low."""
    of = light(rng, "dawn", "golden", "sunset", "dusk", "night", "storm", "morning")
    horizon = round(size[1] * rng.uniform(0.55, 0.68))
    image = _seascape(rng, size, of, horizon)
    right = rng.random() < 0.5
    line = _headland(rng, size, horizon)
    at = line[36]
    image = range_of_hills(rng, image, line, of.on((66, 70, 60)), of.on((40, 44, 48)), 0.6)
    _tower(rng, image, (at[0], at[1] + 6), size[1] * rng.uniform(0.26, 0.36), of)
    return image if right else ImageOps.mirror(image)


def _headland(rng: Random, size: Size, horizon: int) -> list[Point]:
    """High ground on the left that falls to the sea half-way across."""
    return [
        (
            x,
            max(y, 0)
            - size[1] * 0.14 * max(0.0, 1 - (x / size[0] / 0.55) ** 4)
            + max(0.0, x / size[0] - 0.5) * size[1] * 1.4,
        )
        for x, y in ridge(rng, size, horizon + size[1] * 0.04, size[1] * 0.08, 0.5)
    ]


def _tower(rng: Random, image: Image.Image, foot: Point, tall: float, of: Light) -> None:
    x, y = foot
    base, top = tall * 0.11, tall * 0.07
    stripe = rng.choice([(178, 40, 38), (34, 44, 60), (236, 232, 222)])
    bands = 5
    for k in range(bands):
        lower, upper = k / bands, (k + 1) / bands
        wide = [base + (top - base) * t for t in (lower, upper)]
        quad = [
            (x - wide[0], y - tall * lower),
            (x - wide[1], y - tall * upper),
            (x + wide[1], y - tall * upper),
            (x + wide[0], y - tall * lower),
        ]
        image.paste(of.on(stripe if k % 2 else (240, 236, 226)), (0, 0), polygon(image.size, quad))
    shade = polygon(
        image.size,
        [(x + base * 0.1, y), (x + top * 0.1, y - tall), (x + top, y - tall), (x + base, y)],
        3,
    )
    image.paste((10, 12, 24), (0, 0), shade.point([v // 3 for v in range(256)]))
    pen = ImageDraw.Draw(image)
    dark = of.on((40, 42, 48))
    pen.rectangle((x - top * 1.4, y - tall * 1.02, x + top * 1.4, y - tall), dark)
    pen.rectangle(
        (x - top * 0.7, y - tall * 1.12, x + top * 0.7, y - tall * 1.02),
        mix(dark, (255, 236, 170), 0.9 - 0.5 * of.day),
    )
    pen.polygon([(x - top, y - tall * 1.12), (x, y - tall * 1.2), (x + top, y - tall * 1.12)], dark)
    if of.day < 0.5:
        _beam(rng, image, (x, y - tall * 1.07), tall)


def _beam(rng: Random, image: Image.Image, lamp: Point, tall: float) -> None:
    reach, tilt = image.width * 1.1, rng.uniform(-0.12, 0.05)
    ray = [
        lamp,
        (lamp[0] + reach, lamp[1] + reach * (tilt - 0.06)),
        (lamp[0] + reach, lamp[1] + reach * (tilt + 0.06)),
    ]
    fade = Image.linear_gradient("L").rotate(90).resize(image.size)
    mask = ImageChops.multiply(
        polygon(image.size, ray, 6), ImageOps.invert(fade).point([v // 2 for v in range(256)])
    )
    image.paste((255, 240, 200), (0, 0), mask)
    glow(image, lamp, tall * 0.35, (255, 240, 196), 2, 250)


def mirrored(rng: Random, top: Image.Image, size: Size, tint: Colour, ripple: float) -> Image.Image:
    """The picture's upper part and its reflection in water: darker, softer, wavy."""
    high = size[1] - top.height
    below_it = ImageOps.flip(top).resize(
        (size[0], max(high, 1)), box=(0, 0, size[0], min(top.height, high * 1.15))
    )
    below_it = _tremble(rng, below_it.filter(ImageFilter.BoxBlur(1.5)), ripple)
    below_it = Image.blend(below_it, Image.new("RGB", below_it.size, tint), 0.28)
    waves = ground(relief(noise(rng, (600, 600), (70, 10), 3), (1, 3), 3), below_it.size, 5)
    below_it = lit(below_it, waves, 0.1 + ripple * 0.05)
    image = Image.new("RGB", size)
    image.paste(top, (0, 0))
    image.paste(below_it, (0, top.height))
    return image


def _tremble(rng: Random, image: Image.Image, ripple: float) -> Image.Image:
    """Shifts each row sideways a little, more towards the viewer."""
    moved = image.copy()
    phase = rng.uniform(0, 6)
    for y in range(0, image.height, 2):
        near = y / image.height
        dx = round(ripple * (1 + 3 * near) * sin(phase + y / (2 + 6 * near) + 2 * sin(y / 17)))
        moved.paste(image.crop((0, y, image.width, y + 2)), (dx, y))
    return moved


def lake(rng: Random, size: Size) -> Image.Image:
    """A mountain and its wood, upside down in still water."""
    shore = round(size[1] * rng.uniform(0.5, 0.6))
    top = snow_peak(rng, (size[0], round(shore * 1.12))).crop((0, 0, size[0], shore))
    return mirrored(
        rng,
        top,
        size,
        rng.choice([(30, 60, 80), (24, 70, 72), (40, 50, 70)]),
        rng.uniform(0.3, 1.6),
    )
