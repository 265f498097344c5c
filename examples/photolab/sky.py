"""The sky and its light: nine times of day, sun and moon, clouds and stars."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from PIL import Image, ImageDraw

from photolab.paint import (
    Colour,
    Point,
    Size,
    curve,
    ellipse,
    glow,
    gradient,
    lit,
    mix,
    noise,
    relief,
    vary,
)


@dataclass(frozen=True)
class Light:
    """One time of day: what the sky looks like and what it does to everything below it."""

    zenith: Colour
    middle: Colour
    horizon: Colour
    sun: Colour
    cloud: Colour
    day: float  # 1 at noon, 0 in the dark

    def on(self, colour: Colour) -> Colour:
        """A thing's own colour as it looks in this light."""
        tinted = mix(colour, self.sun, 0.12 * self.day)
        return mix(mix(self.zenith, (8, 10, 20), 0.6), tinted, 0.22 + 0.72 * self.day)


LIGHTS = {
    "dawn": Light(
        (72, 84, 140), (196, 142, 168), (255, 205, 170), (255, 226, 190), (240, 176, 170), 0.6
    ),
    "morning": Light(
        (92, 148, 205), (160, 196, 226), (236, 232, 214), (255, 246, 220), (252, 248, 240), 0.9
    ),
    "noon": Light(
        (36, 96, 176), (92, 152, 214), (190, 218, 236), (255, 255, 245), (255, 255, 255), 1.0
    ),
    "golden": Light(
        (96, 124, 164), (222, 178, 130), (255, 214, 130), (255, 226, 150), (255, 206, 150), 0.75
    ),
    "sunset": Light(
        (58, 52, 104), (206, 92, 84), (255, 176, 78), (255, 232, 160), (226, 106, 92), 0.45
    ),
    "dusk": Light(
        (22, 30, 72), (84, 68, 124), (238, 138, 96), (255, 180, 120), (110, 84, 130), 0.25
    ),
    "night": Light((5, 8, 22), (14, 22, 50), (36, 48, 84), (226, 230, 240), (30, 38, 62), 0.08),
    "overcast": Light(
        (138, 148, 158), (176, 184, 190), (214, 216, 214), (236, 238, 238), (198, 202, 206), 0.72
    ),
    "storm": Light(
        (48, 58, 70), (96, 110, 116), (188, 190, 172), (220, 220, 200), (66, 74, 84), 0.45
    ),
}


def light(rng: Random, *names: str) -> Light:
    """One of the named times of day, no two quite alike."""
    base = LIGHTS[rng.choice(names or tuple(LIGHTS))]
    return Light(
        vary(rng, base.zenith, 14),
        vary(rng, base.middle, 14),
        vary(rng, base.horizon, 10),
        base.sun,
        vary(rng, base.cloud, 8),
        base.day,
    )


def sky(rng: Random, size: Size, of: Light, sun: Point | None = None) -> Image.Image:
    """The whole sky down to the horizon at the bottom edge; ``sun`` is a place in pixels."""
    image = gradient(size, [(0, of.zenith), (0.62, of.middle), (1, of.horizon)])
    if of.day < 0.2:
        stars(rng, image, size[0] * size[1] // 1800)
    if sun is not None:
        shine(image, sun, of, size[0] * rng.uniform(0.018, 0.03))
    if rng.random() < 0.85:
        image = clouds(rng, image, of, rng.uniform(0.1, 0.9))
    return image


def shine(image: Image.Image, at: Point, of: Light, radius: float) -> None:
    """The sun, or at night the moon, and the air that glows around it."""
    glow(image, at, radius * 16, mix(of.horizon, of.sun, 0.5), 2.6, 170)
    glow(image, at, radius * 5, of.sun, 2, 220)
    disc = ellipse(image.size, (at[0] - radius, at[1] - radius, at[0] + radius, at[1] + radius), 1)
    image.paste(mix(of.sun, (255, 255, 255), 0.6), (0, 0), disc)


def clouds(rng: Random, image: Image.Image, of: Light, cover: float) -> Image.Image:
    """Banks of cloud, lit from above; ``cover`` is how much of the sky they take."""
    wide, high = image.size
    height = noise(
        rng, image.size, (wide * rng.uniform(0.25, 0.5), high * rng.uniform(0.1, 0.3)), 6, 0.58
    )
    mask = curve(height, 140 - 32 * cover, 190 - 32 * cover, 225)
    shaded = gradient(
        image.size, [(0, mix(of.cloud, of.zenith, 0.25)), (1, mix(of.cloud, of.horizon, 0.4))]
    )
    shaded = lit(shaded, relief(height, (0, max(2, high // 90)), 3), 0.5 + 0.4 * of.day)
    return Image.composite(shaded, image, mask)


def stars(rng: Random, image: Image.Image, count: int) -> None:
    pen = ImageDraw.Draw(image)
    wide, high = image.size
    for _ in range(count):
        x, y = rng.uniform(0, wide), rng.uniform(0, high)
        bright = round(70 + 185 * rng.random() ** 3)
        colour = mix((bright, bright, bright), (170, 200, 255), 0.25 * rng.random())
        r = 0 if bright < 190 else 1
        pen.ellipse((x - r, y - r, x + r, y + r), colour)


def milky_way(rng: Random, image: Image.Image) -> Image.Image:
    """A slanting band of faint cloud and many stars."""
    wide, high = image.size
    band = noise(rng, (wide * 2, high), (wide * 0.2, high * 0.08), 5, 0.6)
    middle = ellipse(band.size, (-wide * 0.2, high * 0.36, wide * 2.2, high * 0.64), high * 0.09)
    veil = Image.composite(curve(band, 70, 210, 150), Image.new("L", band.size), middle)
    veil = veil.rotate(rng.uniform(25, 60), Image.Resampling.BILINEAR)
    veil = veil.crop((wide // 2, 0, wide // 2 + wide, high))
    image.paste(vary(rng, (170, 165, 190), 20), (0, 0), veil)
    stars(rng, image, wide * high // 900)
    return image


def aurora(rng: Random, image: Image.Image) -> Image.Image:
    """Curtains of green light: a waving line, smeared upwards."""
    wide, high = image.size
    for _ in range(rng.randint(2, 3)):
        line = noise(rng, (wide, 8), (wide * 0.3, 8), 3).resize((wide, 1)).tobytes()
        rays = noise(rng, (wide, 8), (wide * 0.02, 8), 2).resize((wide, 1)).tobytes()
        base, tall = high * rng.uniform(0.45, 0.75), high * rng.uniform(0.35, 0.6)
        mask = Image.new("L", (wide, high))
        fade = [round(210 * (t / 63) ** 2.2) for t in range(64)] + [140, 60, 0, 0]
        strip = Image.new("L", (1, len(fade)))
        strip.putdata(fade)
        for x in range(0, wide, 3):
            foot = base + (line[x] - 128) * high * 0.002
            ray = strip.resize((3, max(4, round(tall * (0.5 + rays[x] / 255)))))
            mask.paste(
                ray.point([v * rays[x] // 200 for v in range(256)]),
                (x, round(foot - ray.height)),
            )
        colour = vary(rng, rng.choice([(80, 240, 150), (90, 220, 190), (150, 120, 230)]), 20)
        image.paste(
            colour,
            (0, 0),
            mask.resize((wide // 8, high // 8)).resize((wide, high), Image.Resampling.BICUBIC),
        )
    return image
