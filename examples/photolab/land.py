"""Hills, woods, deserts, snow and fields."""

from __future__ import annotations

import itertools
from math import pi, sin
from random import Random

from PIL import Image, ImageDraw

from photolab.paint import (
    Colour,
    Point,
    Size,
    ball,
    curve,
    glow,
    gradient,
    ground,
    lit,
    mix,
    noise,
    polygon,
    ramp,
    relief,
    shape,
    vary,
)
from photolab.sky import Light, aurora, light, milky_way, sky


def ridge(rng: Random, size: Size, base: float, height: float, rough: float = 0.55) -> list[Point]:
    """A skyline by midpoint displacement, from edge to edge; ``base`` is its mean y."""
    line = [base + height * rng.uniform(-0.4, 0.4) for _ in range(3)]
    swing = height * 0.5
    for _ in range(7):
        between = [(a + b) / 2 + rng.uniform(-swing, swing) for a, b in itertools.pairwise(line)]
        line = [y for pair in zip(line, between, strict=False) for y in pair] + [line[-1]]
        swing *= rough
    step = size[0] / (len(line) - 1)
    return [(i * step, y) for i, y in enumerate(line)]


def below(size: Size, line: list[Point]) -> list[Point]:
    return [(-2, size[1] + 2), *line, (size[0] + 2, size[1] + 2)]


def range_of_hills(
    rng: Random, image: Image.Image, line: list[Point], colour: Colour, haze: Colour, texture: float
) -> Image.Image:
    """One layer: its skyline, the relief of its slopes, and mist gathering at its foot."""
    size = image.size
    top = max(0, round(min(y for _, y in line)))
    mist = gradient(
        size,
        [
            (0, colour),
            (top / size[1], colour),
            (min(1, top / size[1] + 0.45), mix(colour, haze, 0.6)),
            (1, mix(colour, haze, 0.75)),
        ],
    )
    if texture:
        slopes = noise(rng, size, (size[0] / 9, size[1] / 6), 6, 0.62)
        mist = lit(mist, relief(slopes, (3, 2), 3), texture)
    return Image.composite(mist, image, polygon(size, below(size, line)))


def misty_hills(rng: Random, size: Size) -> Image.Image:
    of = light(rng, "dawn", "morning", "golden", "sunset", "dusk", "overcast")
    horizon = size[1] * rng.uniform(0.3, 0.5)
    sun = (size[0] * rng.uniform(0.15, 0.85), horizon * rng.uniform(0.4, 1.05))
    image = _sky_to(rng, size, of, horizon * 1.5, sun if of.day < 0.8 else None)
    layers = rng.randint(5, 7)
    near = of.on(vary(rng, rng.choice([(34, 58, 44), (44, 52, 66), (58, 50, 42)]), 12))
    for k in range(layers):
        t = (k + 0.6) / layers
        line = ridge(
            rng, size, horizon + (size[1] - horizon) * t * 0.9, size[1] * (0.1 + 0.12 * t), 0.5
        )
        colour = mix(mix(of.horizon, of.middle, 0.35), near, t**1.1)
        image = range_of_hills(rng, image, line, colour, of.horizon, 0.25 * t)
    return image


def _sky_to(
    rng: Random, size: Size, of: Light, horizon: float, sun: Point | None = None
) -> Image.Image:
    """A picture with sky down to ``horizon`` and the horizon's colour below it."""
    image = Image.new("RGB", size, of.horizon)
    image.paste(sky(rng, (size[0], min(size[1], round(horizon))), of, sun), (0, 0))
    return image


def snow_peak(rng: Random, size: Size) -> Image.Image:
    """A mountain, white above and rock below, over a dark wood."""
    of = light(rng, "dawn", "morning", "noon", "golden", "sunset")
    horizon = size[1] * 0.62
    image = _sky_to(rng, size, of, horizon * 1.1)
    far = ridge(rng, size, horizon * 0.95, size[1] * 0.2)
    image = range_of_hills(rng, image, far, mix(of.horizon, (120, 136, 164), 0.5), of.horizon, 0.3)
    line = _peak(rng, size, horizon)
    rock = noise(rng, size, (size[0] / 5, size[1] / 4), 7, 0.68)
    face = gradient(
        size, [(0, of.on((246, 248, 252))), (0.5, of.on((200, 208, 224))), (1, of.on((70, 76, 84)))]
    )
    stone = Image.new("RGB", size, of.on((86, 84, 90)))
    bare = curve(Image.blend(rock, ramp(size, 20, 235), 0.42), 118, 142)
    face = lit(Image.composite(stone, face, bare), relief(rock, (4, 3), 4.5), 0.75)
    image = Image.composite(face, image, polygon(size, below(size, line)))
    return wood(rng, image, size[1] * rng.uniform(0.84, 0.92), of, 0.16)


def _peak(rng: Random, size: Size, horizon: float) -> list[Point]:
    """A skyline that climbs to one summit."""
    summit = rng.uniform(0.3, 0.7) * size[0]
    return [
        (x, y + max(-0.5, abs(x - summit) / size[0] - 0.42) * size[1] * 0.9)
        for x, y in ridge(rng, size, horizon * 0.82, size[1] * 0.16, 0.56)
    ]


def wood(rng: Random, image: Image.Image, foot: float, of: Light, tall: float) -> Image.Image:
    """A dark edge of conifers along the bottom."""
    size = image.size
    trees = _conifers(rng, size, foot, size[1] * tall, round(size[0] / (size[1] * tall) * 9))
    image.paste(of.on(vary(rng, (26, 42, 34), 8)), (0, 0), trees)
    return image


def _conifers(rng: Random, size: Size, foot: float, tall: float, count: int) -> Image.Image:
    outlines = [
        _conifer(
            rng,
            (rng.uniform(-0.02, 1.02) * size[0], foot + rng.uniform(0, tall * 0.3)),
            tall * rng.uniform(0.5, 1.1),
        )
        for _ in range(count)
    ]

    def draw(pen: ImageDraw.ImageDraw, k: int) -> None:
        for outline in outlines:
            pen.polygon([(x * k, y * k) for x, y in outline], 255)
        pen.rectangle((0, (foot + tall * 0.05) * k, size[0] * k, size[1] * k), 255)

    return shape(size, draw)


def _conifer(rng: Random, foot: Point, tall: float) -> list[Point]:
    """Branches that go out and in, wider towards the foot."""
    x, y = foot
    spread, tiers = tall * rng.uniform(0.16, 0.24), 9
    left: list[Point] = []
    right: list[Point] = []
    for tier in range(1, tiers + 1):
        down = y - tall + tall * tier / tiers
        out = spread * tier / tiers
        for side, points in ((-1, left), (1, right)):
            points.append((x + side * out * rng.uniform(0.8, 1.15), down))
            points.append((x + side * out * 0.45, down - tall * 0.012))
    return [(x, y - tall * 1.06), *right, (x, y + tall), *reversed(left)]


def foggy_forest(rng: Random, size: Size) -> Image.Image:
    of = light(rng, "dawn", "overcast", "golden", "morning", "storm")
    fog = mix(of.horizon, (220, 224, 226), 0.3)
    image = gradient(size, [(0, mix(of.middle, fog, 0.5)), (1, fog)])
    if of.day < 0.8:
        glow(image, (size[0] * rng.uniform(0.2, 0.8), size[1] * 0.3), size[0] * 0.5, of.sun, 2, 200)
    layers = 6
    for k in range(layers):
        t = (k + 1) / layers
        tall = size[1] * (0.16 + 0.5 * t * t)
        trees = _conifers(rng, size, size[1] * (0.42 + 0.5 * t), tall, round(46 - 34 * t))
        colour = mix(fog, of.on(vary(rng, (22, 40, 34), 6)), t**1.4)
        foot = 0.4 + 0.52 * t
        mist = mix(colour, fog, 1 - 0.6 * t**6)
        misty = gradient(size, [(0, colour), (foot - 0.22, colour), (foot, mist), (1, mist)])
        image.paste(misty, (0, 0), trees)
    return image


def desert(rng: Random, size: Size) -> Image.Image:
    """Dunes: a lit face and a shaded one meeting in a winding crest, ripples in front."""
    of = light(rng, "morning", "noon", "golden", "sunset", "dusk")
    horizon = size[1] * rng.uniform(0.32, 0.5)
    image = _sky_to(rng, size, of, horizon * 1.2, (size[0] * rng.uniform(0.1, 0.9), horizon * 0.5))
    sand = vary(rng, rng.choice([(224, 168, 104), (206, 132, 84), (228, 194, 146)]), 10)
    for k in range(4):
        t = (k + 1) / 4
        base = horizon + (size[1] - horizon) * (t - 0.25) * 0.8
        image = _dune(rng, image, base, mix(of.horizon, of.on(sand), 0.35 + 0.65 * t))
    return _ripples(rng, image, round(size[1] * 0.72))


def _dune(rng: Random, image: Image.Image, base: float, colour: Colour) -> Image.Image:
    size = image.size
    line = ridge(rng, size, base, size[1] * 0.2, 0.28)
    body = gradient(
        size, [(0, mix(colour, (255, 244, 214), 0.25)), (1, mix(colour, (90, 50, 40), 0.12))]
    )
    grain = lit(body, noise(rng, size, (size[0] / 3, size[1] / 7), 4), 0.25)
    image = Image.composite(grain, image, polygon(size, below(size, line)))
    crest = min(range(16, len(line) - 40), key=lambda i: line[i][1])
    dark = polygon(
        size, [*line[crest:], (size[0] + 2, size[1] + 2), *_lee(rng, line[crest], size)], 1.2
    )
    fade = Image.composite(ramp(size, 200, 60), Image.new("L", size), dark)
    image.paste(mix(colour, (62, 30, 44), 0.55), (0, 0), fade)
    return image


def _lee(rng: Random, crest: Point, size: Size) -> list[Point]:
    """The winding edge between light and shade, from the foot of the dune up to its crest."""
    drop, swing = size[1] + 4 - crest[1], size[0] * rng.uniform(0.05, 0.12)
    drift, turns = size[0] * rng.uniform(-0.1, 0.3), rng.uniform(1.2, 2.2)
    edge = [
        (crest[0] + drift * t + swing * t**0.6 * sin(t * pi * turns), crest[1] + drop * t)
        for t in (k / 40 for k in range(41))
    ]
    return edge[::-1]


def _ripples(rng: Random, image: Image.Image, top: int) -> Image.Image:
    wide, high = image.width, image.height - top
    waves = noise(rng, (900, 900), (60, 14), 2, 0.3).rotate(rng.uniform(-25, 25))
    plane = ground(relief(waves, (1, 3), 2).crop((120, 120, 780, 780)), (wide, high), 2.5)
    band = lit(image.crop((0, top, wide, image.height)), plane, 0.3)
    image.paste(band, (0, top), ramp((wide, high), 0, 255))
    return image


def winter(rng: Random, size: Size) -> Image.Image:
    """Snow on the ground, snow on the trees, and snow in the air."""
    of = light(rng, "dawn", "morning", "overcast", "golden", "dusk")
    horizon = round(size[1] * rng.uniform(0.5, 0.6))
    image = _sky_to(rng, size, of, horizon)
    white = mix(of.on((244, 247, 255)), of.horizon, 0.2)
    for k in range(3):
        trees = _conifers(rng, size, horizon + k * 10, size[1] * (0.16 + 0.09 * k), 40 - 9 * k)
        image.paste(mix(of.horizon, of.on((60, 76, 84)), 0.3 + 0.25 * k), (0, 0), trees)
        rime = noise(rng, size, (9, 5), 2)
        image.paste(
            white, (0, 0), Image.composite(curve(rime, 128, 170, 190), Image.new("L", size), trees)
        )
    line = ridge(rng, size, horizon + size[1] * 0.06, size[1] * 0.05, 0.3)
    drift = gradient(
        size, [(0, white), (horizon / size[1], white), (1, mix(white, of.zenith, 0.35))]
    )
    drift = lit(
        drift, relief(noise(rng, size, (size[0] / 2, size[1] / 9), 4, 0.45), (5, 3), 4), 0.5
    )
    image = Image.composite(drift, image, polygon(size, below(size, line), 1))
    return _flakes(rng, image, rng.randint(60, 260))


def _flakes(rng: Random, image: Image.Image, count: int) -> Image.Image:
    dots = [
        (rng.uniform(0, image.width), rng.uniform(0, image.height), rng.uniform(0.8, 3.4) ** 1.5)
        for _ in range(count)
    ]

    def draw(pen: ImageDraw.ImageDraw, k: int) -> None:
        for x, y, r in dots:
            pen.ellipse([(x - r) * k, (y - r) * k, (x + r) * k, (y + r) * k], 210 - round(20 * r))

    image.paste((250, 250, 255), (0, 0), shape(image.size, draw))
    return image


def night_sky(rng: Random, size: Size) -> Image.Image:
    """Stars over a ridge, under the milky way or northern lights."""
    of = light(rng, "night")
    image = _sky_to(rng, size, of, size[1] * 0.9)
    image = aurora(rng, image) if rng.random() < 0.55 else milky_way(rng, image)
    line = ridge(rng, size, size[1] * rng.uniform(0.72, 0.85), size[1] * 0.16)
    image = range_of_hills(rng, image, line, (12, 16, 28), of.horizon, 0.2)
    return wood(rng, image, size[1] * 0.94, of, rng.uniform(0.12, 0.24))


def flower_rows(rng: Random, size: Size) -> Image.Image:
    """A field planted in rows that run to one point on the horizon."""
    of = light(rng, "morning", "golden", "sunset", "noon")
    horizon = round(size[1] * rng.uniform(0.34, 0.46))
    image = _sky_to(rng, size, of, horizon, (size[0] * rng.uniform(0.2, 0.8), horizon * 0.7))
    image = range_of_hills(
        rng,
        image,
        ridge(rng, size, horizon, size[1] * 0.09, 0.5),
        mix(of.horizon, of.on((60, 84, 96)), 0.6),
        of.horizon,
        0.2,
    )
    bloom = rng.choice(
        [(134, 92, 186), (222, 70, 84), (240, 196, 60), (236, 128, 168), (116, 128, 210)]
    )
    texture = Image.new("RGB", (900, 900), of.on((70, 92, 48)))
    pen = ImageDraw.Draw(texture)
    rows = rng.randint(20, 34)
    for row in range(rows):
        left = row * 900 / rows
        colour = of.on(vary(rng, bloom if rng.random() < 0.9 else (250, 240, 230), 16))
        pen.rectangle((left, 0, left + 900 / rows * 0.62, 900), colour)
    texture = lit(texture, noise(rng, (900, 900), (14, 8), 3, 0.8), 1.0)
    field = ground(texture, (size[0], size[1] - horizon), rng.uniform(4, 7))
    image.paste(field, (0, horizon))
    haze = ramp((size[0], size[1] // 6), 190, 0)
    image.paste(of.horizon, (0, horizon - 2), haze)
    return image


def meadow(rng: Random, size: Size) -> Image.Image:
    """Grass and wild flowers, small and many far away, large and soft close by."""
    of = light(rng, "morning", "golden", "noon", "overcast")
    horizon = round(size[1] * rng.uniform(0.28, 0.42))
    image = _sky_to(rng, size, of, horizon * 1.2)
    image = range_of_hills(
        rng,
        image,
        ridge(rng, size, horizon, size[1] * 0.14, 0.45),
        mix(of.horizon, of.on((72, 104, 92)), 0.6),
        of.horizon,
        0.25,
    )
    grass = gradient(
        size, [(0, of.on((150, 168, 90))), (0.4, of.on((126, 152, 70))), (1, of.on((50, 84, 40)))]
    )
    grass = lit(grass, noise(rng, size, (7, 40), 3, 0.8), 0.6)
    image = Image.composite(
        grass,
        image,
        polygon(size, below(size, ridge(rng, size, horizon + size[1] * 0.05, 14, 0.4))),
    )
    palette = rng.sample(
        [(226, 56, 48), (250, 250, 244), (246, 204, 64), (120, 96, 208), (240, 140, 180)], 3
    )
    pen = ImageDraw.Draw(image)
    for k in range(520):
        near = (k / 520) ** 2.2
        y = horizon + size[1] * (0.07 + 0.95 * near * (1 - horizon / size[1]))
        _bloom(
            rng,
            pen,
            (rng.uniform(0, size[0]), y),
            1.2 + size[1] * 0.02 * near,
            of.on(vary(rng, rng.choice(palette), 18)),
        )
    return image


def _bloom(rng: Random, pen: ImageDraw.ImageDraw, at: Point, r: float, colour: Colour) -> None:
    x, y = at
    pen.line(
        (x, y, x + rng.uniform(-r, r), y + r * 4),
        mix(colour, (40, 80, 36), 0.85),
        max(1, round(r * 0.2)),
    )
    flat = rng.uniform(0.55, 0.9)
    pen.ellipse((x - r, y - r * flat, x + r, y + r * flat), mix(colour, (20, 10, 20), 0.25))
    pen.ellipse((x - r * 0.9, y - r * flat, x + r * 0.6, y + r * flat * 0.5), colour)
    pen.ellipse(
        (x - r * 0.25, y - r * 0.2, x + r * 0.25, y + r * 0.2), mix(colour, (60, 40, 10), 0.7)
    )


def balloons(rng: Random, size: Size) -> Image.Image:
    """Hot-air balloons over the hills, each striped in its own colours."""
    image = misty_hills(rng, size)
    for k in range(rng.randint(3, 7)):
        r = size[1] * rng.uniform(0.02, 0.05) * (1 + (k == 0) * 1.6)
        _balloon(
            rng, image, (size[0] * rng.uniform(0.08, 0.92), size[1] * rng.uniform(0.1, 0.5)), r
        )
    return image


def _balloon(rng: Random, image: Image.Image, at: Point, r: float) -> None:
    x, y = at
    box = (round(r * 2.4), round(r * 3.4))
    a, b = rng.sample(
        [
            (214, 64, 52),
            (244, 190, 60),
            (58, 110, 178),
            (240, 236, 224),
            (84, 148, 96),
            (120, 66, 140),
        ],
        2,
    )
    skin = Image.new("RGB", box, a)
    ball(
        skin,
        (box[0] / 2, r * 1.2),
        (r * 1.2, r * 1.25),
        (mix(a, (10, 10, 30), 0.5), a, mix(a, (255, 255, 255), 0.6)),
    )
    stripes = shape(box, lambda pen, k: _stripes(pen, k, box[0] / 2, r))
    skin.paste(b, (0, 0), stripes)
    outline = shape(box, lambda pen, k: _envelope(pen, k, box, r))
    image.paste(
        skin,
        (round(x - box[0] / 2), round(y)),
        outline,
    )


def _stripes(pen: ImageDraw.ImageDraw, k: int, middle: float, r: float) -> None:
    for half, strength in ((r, 120), (r * 0.7, 0), (r * 0.38, 120)):
        pen.ellipse([(middle - half) * k, 0, (middle + half) * k, r * 2.6 * k], strength)


def _envelope(pen: ImageDraw.ImageDraw, k: int, box: Size, r: float) -> None:
    middle = box[0] / 2
    pen.ellipse([(middle - r) * k, r * 0.1 * k, (middle + r) * k, r * 2.1 * k], 255)
    pen.polygon(
        [
            ((middle - r * 0.9) * k, r * 1.55 * k),
            ((middle + r * 0.9) * k, r * 1.55 * k),
            ((middle + r * 0.25) * k, r * 2.6 * k),
            ((middle - r * 0.25) * k, r * 2.6 * k),
        ],
        255,
    )
    pen.rectangle(
        [(middle - r * 0.22) * k, r * 2.85 * k, (middle + r * 0.22) * k, r * 3.2 * k], 255
    )
