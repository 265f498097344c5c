"""Still lifes: fruit, flowers, cups, candles, pebbles, citrus."""

from __future__ import annotations

from math import cos, pi, sin, sqrt
from random import Random

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from photolab.paint import (
    Colour,
    Point,
    Size,
    ball,
    bokeh,
    curve,
    ellipse,
    glow,
    gradient,
    ground,
    lit,
    mix,
    noise,
    polygon,
    ramp,
    relief,
    shadow,
    shape,
    soften,
    vary,
)

Tones = tuple[Colour, Colour, Colour]  # shade, body, highlight

WOODS: list[Colour] = [
    (140, 92, 56),
    (178, 132, 88),
    (96, 64, 46),
    (196, 168, 130),
    (122, 112, 104),
]
WALLS: list[Colour] = [
    (66, 78, 84),
    (126, 112, 98),
    (52, 44, 42),
    (168, 176, 168),
    (88, 66, 70),
    (60, 80, 66),
]
FRUIT: dict[str, Tones] = {
    "orange": ((112, 42, 6), (238, 132, 24), (255, 214, 140)),
    "red apple": ((62, 6, 10), (190, 30, 34), (255, 190, 170)),
    "green apple": ((40, 66, 12), (142, 178, 52), (236, 250, 190)),
    "plum": ((18, 8, 30), (84, 42, 92), (200, 180, 220)),
    "peach": ((130, 46, 30), (240, 150, 90), (255, 226, 180)),
    "lemon": ((120, 88, 6), (244, 206, 46), (255, 250, 200)),
    "tomato": ((90, 8, 4), (216, 46, 26), (255, 206, 186)),
}


def wood(rng: Random, size: Size) -> Image.Image:
    """Planks with their grain, seen from above."""
    colour = vary(rng, rng.choice(WOODS), 10)
    board = Image.new("RGB", size, colour)
    board = lit(board, noise(rng, size, (size[0] * 0.6, size[1] * 0.016), 4, 0.7), 0.9)
    board = lit(board, noise(rng, size, (size[0] * 0.3, size[1] * 0.2), 2), 0.35)
    pen = ImageDraw.Draw(board)
    planks = rng.randint(3, 6)
    for plank in range(1, planks):
        y = size[1] * plank / planks
        pen.line((0, y, size[0], y), mix(colour, (10, 6, 4), 0.75), max(2, size[1] // 240))
    return board


def table(rng: Random, size: Size) -> tuple[Image.Image, int]:
    """A table top running back to a wall; returns the picture and the y of the table's far edge."""
    edge = round(size[1] * rng.uniform(0.42, 0.56))
    wall = vary(rng, rng.choice(WALLS), 12)
    image = gradient(size, [(0, mix(wall, (0, 0, 0), 0.35)), (edge / size[1], wall), (1, wall)])
    glow(
        image,
        (size[0] * rng.uniform(0, 0.5), edge * 0.4),
        size[0] * 0.6,
        mix(wall, (255, 240, 214), 0.55),
        1.6,
        190,
    )
    image = lit(image, noise(rng, size, (size[0] / 3, size[1] / 3), 4), 0.2)
    if rng.random() < 0.3:
        image = soften(bokeh(rng, image, [mix(wall, (255, 230, 180), 0.6)], 18, size[1] * 0.05), 5)
    top = ground(wood(rng, (1000, 1000)), (size[0], size[1] - edge), 2.2)
    image.paste(top, (0, edge))
    image.paste((12, 8, 8), (0, edge), ramp((size[0], size[1] - edge), 130, 0))
    return image, edge


def fruit(rng: Random, size: Size) -> Image.Image:
    """A handful of fruit, the farther first."""
    image, edge = table(rng, size)
    kinds = rng.sample(list(FRUIT), rng.randint(1, 3))
    r = size[1] * rng.uniform(0.085, 0.12)
    spots = sorted(
        (edge + rng.uniform(0.15, 0.62) * (size[1] - edge), rng.uniform(0.14, 0.86) * size[0])
        for _ in range(rng.randint(4, 9))
    )
    placed: list[Point] = []
    for y, x in spots:
        if all(abs(x - px) > r * 1.5 or abs(y - py) > r * 1.2 for px, py in placed):
            placed.append((x, y))
            _fruit(
                rng,
                image,
                rng.choice(kinds),
                (x, y),
                r * (0.7 + 0.5 * y / size[1]) * rng.uniform(0.9, 1.1),
            )
    return image


def _fruit(rng: Random, image: Image.Image, kind: str, foot: Point, r: float) -> None:
    x, y = foot
    shade, body, shine = FRUIT[kind]
    tones = (shade, vary(rng, body, 12), shine)
    shadow(image, (x - r * 0.8, y - r * 0.16, x + r * 1.9, y + r * 0.34), r * 0.22, 190)
    shape_of = {"lemon": (1.22, 0.86), "plum": (0.82, 0.78), "tomato": (1.05, 0.88)}.get(
        kind, (1.0, 0.96)
    )
    at = (x, y - r * shape_of[1] + r * 0.1)
    ball(
        image,
        at,
        (r * shape_of[0], r * shape_of[1]),
        tones,
        rng.uniform(-25, 25) if kind == "lemon" else 0,
    )
    if kind in {"orange", "lemon"}:
        _peel(rng, image, at, r * 0.8)
    if kind.endswith("apple") or kind in {"peach", "plum"}:
        _stem(rng, image, (at[0], at[1] - r * 0.72), r)
    glow(image, (at[0] - r * 0.34, at[1] - r * 0.42), r * 0.3, (255, 255, 250), 1.6, 200)


def _peel(rng: Random, image: Image.Image, at: Point, r: float) -> None:
    box = tuple(round(v) for v in (at[0] - r, at[1] - r, at[0] + r, at[1] + r))
    part = image.crop((box[0], box[1], box[2], box[3]))
    dimples = lit(part, relief(noise(rng, part.size, (5, 5), 1), (1, 1), 2), 0.5)
    image.paste(dimples, (box[0], box[1]), ellipse(part.size, (0, 0, *part.size), r * 0.1))


def _stem(rng: Random, image: Image.Image, at: Point, r: float) -> None:
    (x, y), lean = at, rng.uniform(-0.25, 0.25) * r
    dip = ellipse(image.size, (x - r * 0.3, y - r * 0.07, x + r * 0.3, y + r * 0.14), r * 0.06)
    image.paste((40, 20, 10), (0, 0), dip.point([v * 3 // 5 for v in range(256)]))
    pen = ImageDraw.Draw(image)
    pen.line(
        [(x, y + r * 0.05), (x + lean * 0.4, y - r * 0.18), (x + lean, y - r * 0.36)],
        (70, 48, 28),
        max(2, round(r * 0.06)),
    )
    if rng.random() < 0.5:
        leaf = [
            (x, y - r * 0.1),
            (x + r * 0.25, y - r * 0.4),
            (x + r * 0.62, y - r * 0.38),
            (x + r * 0.35, y - r * 0.12),
        ]
        image.paste(vary(rng, (84, 122, 50), 14), (0, 0), polygon(image.size, leaf, 1))


def flower(rng: Random, size: Size) -> Image.Image:
    """One sharp flower in front of a blurred garden."""
    image = _garden(rng, size)
    short = min(size)
    at = (size[0] * rng.uniform(0.35, 0.65), size[1] * rng.uniform(0.36, 0.52))
    r = short * rng.uniform(0.26, 0.36)
    stalk = [
        (at[0] - r * 0.04, at[1]),
        (at[0] + r * 0.04, at[1]),
        (at[0] + r * 0.3, size[1] + 5),
        (at[0] + r * 0.18, size[1] + 5),
    ]
    image.paste((70, 110, 48), (0, 0), polygon(size, stalk, 1.5))
    petal = vary(
        rng,
        rng.choice(
            [
                (250, 246, 240),
                (240, 186, 40),
                (226, 70, 110),
                (216, 56, 40),
                (150, 104, 210),
                (250, 170, 190),
                (250, 140, 60),
            ]
        ),
        10,
    )
    count = rng.randint(9, 22)
    layers = rng.randint(1, 3)
    for layer in range(layers):
        reach = r * (1 - 0.24 * layer)
        drops = [_petal(rng, reach, petal, 10 / count) for _ in range(3)]
        for k in range(count):
            angle = 360 * (k + 0.5 * layer) / count + rng.uniform(-4, 4)
            _attach(image, rng.choice(drops), at, angle)
    _heart(rng, image, at, r * rng.uniform(0.2, 0.32))
    return image


def _garden(rng: Random, size: Size) -> Image.Image:
    green = vary(rng, rng.choice([(70, 104, 54), (40, 70, 50), (110, 128, 70), (48, 60, 76)]), 12)
    small = (size[0] // 4, size[1] // 4)
    image = gradient(
        small, [(0, mix(green, (230, 236, 200), 0.3)), (1, mix(green, (8, 14, 10), 0.55))]
    )
    image = lit(image, noise(rng, small, (small[0] / 4, small[1] / 4), 3), 0.9)
    blooms = [mix(green, c, 0.7) for c in ((240, 230, 160), (230, 120, 140), (200, 220, 240))]
    image = soften(
        bokeh(rng, image, [*blooms, mix(green, (210, 240, 160), 0.5)], 26, small[1] * 0.08), 2.5
    )
    return image.resize(size, Image.Resampling.BICUBIC)


def _petal(rng: Random, reach: float, colour: Colour, broad: float) -> Image.Image:
    """A drop that stands on its root, with an alpha channel: darker at the root and at its rim."""
    half = reach * max(0.13, min(0.34, 0.3 * broad))
    size = (round(2 * half), round(reach))
    tip = mix(colour, (255, 255, 255), rng.uniform(0, 0.25))
    skin = gradient(size, [(0, tip), (0.6, colour), (1, mix(colour, (40, 10, 20), 0.5))])
    lit_part = ellipse(size, (half * 0.3, half * 0.4, half * 1.5, reach), half * 0.3)
    rim = Image.new("RGB", size, mix(colour, (50, 10, 30), 0.35))
    drop = Image.composite(skin, rim, lit_part.point([min(255, 90 + v) for v in range(256)]))
    drop.putalpha(ellipse(size, (0, 0, *size)))
    return drop


def _attach(image: Image.Image, petal: Image.Image, root: Point, angle: float) -> None:
    """Turns a petal about its root and lays it on the picture."""
    turned = petal.rotate(angle, Image.Resampling.BILINEAR, expand=True)
    reach, turn = petal.height / 2, angle * pi / 180
    x, y = root[0] - reach * sin(turn), root[1] - reach * cos(turn)
    image.paste(turned, (round(x - turned.width / 2), round(y - turned.height / 2)), turned)


def _heart(rng: Random, image: Image.Image, at: Point, r: float) -> None:
    """Seeds along the golden angle, dark in the middle."""
    colour = vary(rng, rng.choice([(214, 160, 40), (96, 60, 34), (236, 200, 70)]), 10)
    ball(image, at, (r, r), (mix(colour, (20, 10, 0), 0.7), mix(colour, (40, 20, 0), 0.3), colour))
    pen = ImageDraw.Draw(image)
    for k in range(150):
        out, turn = r * 0.97 * sqrt(k / 150), k * 2.39996
        x, y, dot = at[0] + out * cos(turn), at[1] + out * sin(turn), r * (0.035 + 0.03 * k / 150)
        pen.ellipse(
            (x - dot, y - dot, x + dot, y + dot),
            mix(mix(colour, (30, 14, 4), 0.7), mix(colour, (255, 236, 150), 0.4), k / 150),
        )


def coffee(rng: Random, size: Size) -> Image.Image:
    """A cup from above, with a pattern in the foam."""
    image = lit(wood(rng, size), ramp(size, 170, 100), 0.6)
    r = min(size) * rng.uniform(0.24, 0.32)
    at = (size[0] * rng.uniform(0.38, 0.62), size[1] * rng.uniform(0.42, 0.58))
    china = vary(
        rng,
        rng.choice([(240, 236, 228), (92, 124, 140), (196, 96, 70), (58, 62, 66), (170, 190, 160)]),
        8,
    )
    shadow(
        image, (at[0] - r * 1.25, at[1] - r * 1.2, at[0] + r * 1.75, at[1] + r * 1.7), r * 0.16, 190
    )
    _disc(image, at, r * 1.45, china, 0.16)
    _disc(image, at, r * 1.12, mix(china, (20, 20, 30), 0.12), 0.1)
    shadow(
        image, (at[0] - r * 0.8, at[1] - r * 0.8, at[0] + r * 1.2, at[1] + r * 1.2), r * 0.12, 130
    )
    handle = rng.uniform(0, 2 * pi)
    _disc(image, (at[0] + r * cos(handle), at[1] + r * sin(handle)), r * 0.2, china, 0.2)
    _disc(image, at, r, mix(china, (255, 255, 255), 0.25), 0.2)
    _disc(image, at, r * 0.88, (96, 54, 26), 0.5)
    _foam(rng, image, at, r * 0.8)
    return image


def _disc(image: Image.Image, at: Point, r: float, colour: Colour, depth: float) -> None:
    ball(
        image,
        at,
        (r, r),
        (mix(colour, (10, 8, 10), depth * 2), colour, mix(colour, (255, 255, 255), depth)),
    )


def _foam(rng: Random, image: Image.Image, at: Point, r: float) -> None:
    """Leaves of milk, one inside the other."""
    milk, crema = (244, 226, 196), (150, 92, 48)
    for k in range(rng.randint(5, 8)):
        s = r * (0.82 - 0.1 * k)
        heart = [
            (
                at[0] + s * 0.062 * 16 * sin(t) ** 3,
                at[1]
                - s * 0.062 * (13 * cos(t) - 5 * cos(2 * t) - 2 * cos(3 * t) - cos(4 * t))
                + r * 0.03 * k,
            )
            for t in (i * 2 * pi / 60 for i in range(60))
        ]
        if s > r * 0.08:
            image.paste(
                vary(rng, milk if k % 2 == 0 else crema, 6), (0, 0), polygon(image.size, heart, 1.6)
            )


def candles(rng: Random, size: Size) -> Image.Image:
    image = gradient(size, [(0, (8, 6, 10)), (0.6, vary(rng, (44, 24, 18), 10)), (1, (16, 10, 10))])
    image = bokeh(
        rng,
        image,
        [(255, 170, 80), (255, 120, 60), (255, 210, 140)],
        rng.randint(12, 30),
        size[1] * 0.035,
    )
    image = soften(image.reduce(4), 2).resize(size, Image.Resampling.BICUBIC)
    floor = round(size[1] * rng.uniform(0.72, 0.82))
    top = ground(wood(rng, (700, 700)), (size[0], size[1] - floor), 2.2)
    image.paste(Image.blend(top, Image.new("RGB", top.size, (10, 6, 6)), 0.55), (0, floor))
    count = rng.randint(2, 5)
    for k in range(count):
        x = size[0] * ((k + 0.5) / count + rng.uniform(-0.06, 0.06))
        _candle(
            rng,
            image,
            (x, floor + size[1] * rng.uniform(0.03, 0.12)),
            size[1] * rng.uniform(0.2, 0.46),
            size[0] * rng.uniform(0.025, 0.045),
        )
    return image


def _candle(rng: Random, image: Image.Image, foot: Point, tall: float, w: float) -> None:
    (x, y), wax = (
        foot,
        vary(
            rng, rng.choice([(236, 214, 178), (200, 60, 50), (232, 190, 120), (220, 220, 226)]), 8
        ),
    )
    glow(image, (x, y), w * 5, (255, 150, 60), 2, 120)
    side = gradient(
        (round(2 * w), round(tall)),
        [(0, mix(wax, (255, 210, 120), 0.6)), (0.3, wax), (1, mix(wax, (20, 8, 6), 0.7))],
    )
    round_it = (
        Image.linear_gradient("L")
        .rotate(90)
        .resize(side.size)
        .point([round(255 - 190 * abs(v / 255 - 0.4)) for v in range(256)])
    )
    side = ImageChops.multiply(side, Image.merge("RGB", (round_it,) * 3))
    image.paste(side, (round(x - w), round(y - tall)))
    top = y - tall
    image.paste(
        mix(wax, (255, 220, 140), 0.7),
        (0, 0),
        ellipse(image.size, (x - w, top - w * 0.25, x + w, top + w * 0.25)),
    )
    glow(image, (x, top - w * 0.9), w * 7, (255, 170, 70), 2.4, 210)
    flame = [
        (x - w * 0.26, top - w * 0.55),
        (x, top - w * 2.1),
        (x + w * 0.26, top - w * 0.55),
        (x, top - w * 0.2),
    ]
    image.paste((255, 196, 80), (0, 0), polygon(image.size, flame, w * 0.12))
    image.paste(
        (255, 250, 220),
        (0, 0),
        ellipse(image.size, (x - w * 0.14, top - w * 1.25, x + w * 0.14, top - w * 0.4), w * 0.06),
    )


def pebbles(rng: Random, size: Size) -> Image.Image:
    """Stones from above, the larger ones last and on top."""
    image = Image.new("RGB", size, (38, 36, 36))
    tint = rng.choice([(132, 130, 128), (150, 132, 112), (104, 116, 126), (164, 150, 140)])
    short = min(size)
    for k in range(170):
        r = short * (0.065 + 0.05 * (k / 170) ** 2) * rng.uniform(0.8, 1.3)
        at = (rng.uniform(0, size[0]), rng.uniform(0, size[1]))
        body = vary(
            rng,
            mix(
                tint,
                rng.choice([(230, 226, 220), (60, 62, 68), (150, 100, 80)]),
                rng.random() * 0.6,
            ),
            10,
        )
        shadow(
            image,
            (at[0] - r * 0.8, at[1] - r * 0.6, at[0] + r * 1.15, at[1] + r * 0.95),
            r * 0.16,
            170,
        )
        ball(
            image,
            at,
            (r, r * rng.uniform(0.6, 0.95)),
            (mix(body, (16, 16, 22), 0.72), body, mix(body, (255, 255, 255), 0.45)),
            rng.uniform(0, 180) if k % 3 == 0 else rng.uniform(-20, 20),
        )
    return lit(image, relief(noise(rng, size, (8, 8), 2, 0.7), (1, 1), 2), 0.3)


def citrus(rng: Random, size: Size) -> Image.Image:
    """Slices of oranges, lemons and limes, laid out on a coloured board."""
    image = lit(
        Image.new(
            "RGB",
            size,
            vary(
                rng,
                rng.choice(
                    [
                        (60, 120, 130),
                        (240, 220, 200),
                        (236, 180, 170),
                        (70, 74, 90),
                        (180, 206, 190),
                    ]
                ),
                12,
            ),
        ),
        noise(rng, size, (200, 200), 5, 0.6),
        0.3,
    )
    r = min(size) * rng.uniform(0.12, 0.19)
    for row in range(-1, round(size[1] / r / 1.9) + 1):
        for column in range(-1, round(size[0] / r / 2.2) + 1):
            if rng.random() < 0.88:
                at = (
                    (column + 0.5 + (row % 2) * 0.5) * r * 2.3 + rng.uniform(-0.08, 0.08) * r,
                    (row + 0.5) * r * 2 + rng.uniform(-0.08, 0.08) * r,
                )
                _slice(rng, image, at, r * rng.uniform(0.82, 1.0))
    return image


def _slice(rng: Random, image: Image.Image, at: Point, r: float) -> None:
    peel, flesh = rng.choice(
        [
            ((240, 140, 20), (255, 170, 60)),
            ((240, 200, 40), (252, 232, 120)),
            ((120, 170, 40), (206, 226, 130)),
            ((226, 90, 50), (240, 96, 80)),
        ]
    )
    shadow(
        image, (at[0] - r * 0.9, at[1] - r * 0.85, at[0] + r * 1.2, at[1] + r * 1.2), r * 0.1, 130
    )
    side, count, turn = round(r * 2.1), rng.randint(8, 11), rng.uniform(0, 1)
    face = Image.new("RGB", (side, side), peel)
    c = side / 2
    face.paste(
        (252, 246, 226),
        (0, 0),
        ellipse(face.size, (c - r * 0.9, c - r * 0.9, c + r * 0.9, c + r * 0.9)),
    )
    pulp = lit(
        Image.new("RGB", face.size, vary(rng, flesh, 8)), noise(rng, face.size, (7, 7), 2, 0.8), 0.6
    )
    wedges = shape(face.size, lambda pen, k: _wedges(pen, k, c, r, count, turn))
    face.paste(pulp, (0, 0), wedges.filter(ImageFilter.BoxBlur(1)))
    glow(face, (c - r * 0.35, c - r * 0.4), r * 0.8, (255, 255, 240), 1.6, 90)
    image.paste(
        face, (round(at[0] - c), round(at[1] - c)), ellipse(face.size, (c - r, c - r, c + r, c + r))
    )


def _wedges(pen: ImageDraw.ImageDraw, k: int, c: float, r: float, count: int, turn: float) -> None:
    for segment in range(count):
        start, end = (turn + 2 * pi * (segment + gap) / count for gap in (0.07, 0.93))
        middle = (start + end) / 2
        tip = (c + r * 0.12 * cos(middle), c + r * 0.12 * sin(middle))
        arc = [
            (
                c + r * 0.82 * cos(start + (end - start) * i / 8),
                c + r * 0.82 * sin(start + (end - start) * i / 8),
            )
            for i in range(9)
        ]
        pen.polygon([(x * k, y * k) for x, y in (tip, *arc)], 255)


def tulips(rng: Random, size: Size) -> Image.Image:
    """A vase of tulips by a wall."""
    image, edge = table(rng, size)
    x, short = size[0] * rng.uniform(0.4, 0.6), min(size)
    foot, mouth = edge + (size[1] - edge) * 0.45, edge - short * 0.02
    w = short * rng.uniform(0.07, 0.1)
    colour = rng.choice(
        [(220, 60, 80), (246, 190, 60), (240, 236, 230), (150, 70, 150), (240, 130, 80)]
    )
    heads = [
        (x + rng.uniform(-0.3, 0.3) * short, mouth - short * rng.uniform(0.16, 0.4))
        for _ in range(rng.randint(5, 9))
    ]
    for hx, hy in heads:
        ImageDraw.Draw(image).line(
            [(x, mouth + 20), (x + (hx - x) * 0.45, (mouth + hy) / 2 - 10), (hx, hy)],
            vary(rng, (78, 120, 60), 14),
            max(3, round(short * 0.009)),
            "curve",
        )
        _leaf(
            rng, image, (x + (hx - x) * 0.1, mouth), (hx + rng.uniform(-60, 60), hy + short * 0.14)
        )
    for hx, hy in sorted(heads, key=lambda head: head[1]):
        _tulip(image, (hx, hy), short * rng.uniform(0.045, 0.06), vary(rng, colour, 18))
    shadow(image, (x - w, foot - w * 0.3, x + w * 3, foot + w * 0.4), w * 0.3, 190)
    _vase(rng, image, (x, mouth), foot, w)
    return image


def _leaf(rng: Random, image: Image.Image, root: Point, tip: Point) -> None:
    (x0, y0), (x1, y1) = root, tip
    belly = rng.uniform(14, 30)
    outline = [
        (x0, y0),
        ((x0 + x1) / 2 - belly, (y0 + y1) / 2),
        tip,
        ((x0 + x1) / 2 + belly * 0.4, (y0 + y1) / 2),
    ]
    image.paste(vary(rng, (84, 124, 72), 18), (0, 0), polygon(image.size, outline, 1.2))


def _tulip(image: Image.Image, at: Point, r: float, colour: Colour) -> None:
    x, y = at
    tones = (mix(colour, (40, 6, 20), 0.6), colour, mix(colour, (255, 255, 255), 0.5))
    for dx, turn in ((-0.42, 14.0), (0.42, -14.0), (0.0, 0.0)):
        ball(image, (x + dx * r, y - (r * 0.1 if dx else 0)), (r * 0.55, r * 1.15), tones, turn)


def _vase(rng: Random, image: Image.Image, mouth: Point, foot: float, w: float) -> None:
    x, top = mouth
    glaze = vary(
        rng, rng.choice([(64, 96, 130), (220, 214, 200), (150, 80, 56), (80, 110, 96)]), 10
    )
    tall = foot - top
    ball(
        image,
        (x, foot - tall * 0.4),
        (w * 1.25, tall * 0.44),
        (mix(glaze, (8, 8, 14), 0.75), glaze, mix(glaze, (255, 255, 255), 0.6)),
    )
    neck = polygon(
        image.size,
        [
            (x - w * 0.7, top),
            (x + w * 0.7, top),
            (x + w * 0.62, top + tall * 0.4),
            (x - w * 0.62, top + tall * 0.4),
        ],
        1,
    )
    image.paste(mix(glaze, (10, 10, 16), 0.18), (0, 0), neck)
    image.paste(
        mix(glaze, (0, 0, 0), 0.6),
        (0, 0),
        ellipse(image.size, (x - w * 0.7, top - w * 0.12, x + w * 0.7, top + w * 0.12)),
    )
    gleam = curve(
        ellipse(
            image.size, (x - w * 0.75, top + tall * 0.3, x - w * 0.5, foot - tall * 0.2), w * 0.1
        ),
        0,
        255,
        150,
    )
    image.paste((255, 255, 255), (0, 0), gleam)
