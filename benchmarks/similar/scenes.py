"""Made bursts, and pictures that resemble each other without being one: seeded, with dates.

A burst is one painted scene, looked at from nearly the same place: shifts, turns, other exposure
and white balance, noise, shake, other quality, and in half of them something that moves. The others
are what a comparison is easily wrong about: a room with other furniture, pages and screens that
differ in one number, goods on white, a meter, and scenes of one kind. They come as fast as bursts.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageFont

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
from photolab import city, coast, land, table

WIDTH, HEIGHT = 1000, 750
RIM = 50
"""Painted around what is seen, so that a view can shift and turn."""
PAINTED = (WIDTH + 2 * RIM, HEIGHT + 2 * RIM)
DATE = "2026:06:{day:02} {hour:02}:{minute:02}:{second:02}"
Painter = Callable[[Random, tuple[int, int]], Image.Image]
PHOTOGRAPHIC: tuple[Painter, ...] = (
    *(coast.open_sea, coast.beach, coast.lighthouse, coast.lake),
    *(city.skyline_by_night, city.skyline_by_day, city.street, city.bridge, city.facade),
    *(table.fruit, table.flower, table.coffee, table.tulips, table.candles, table.citrus),
    *(land.misty_hills, land.snow_peak, land.foggy_forest, land.desert, land.winter),
    *(land.flower_rows, land.meadow, land.balloons),
)


@dataclass(frozen=True)
class Shot:
    """A picture file. Two shots are of one burst if they have the same ``burst``."""

    data: bytes
    burst: str
    kind: str
    taken: float | None


@dataclass
class Clock:
    """Seconds as the made camera counts them; sets are a minute apart."""

    now: float = 0.0
    fine: bool = True
    """Whether it keeps parts of seconds."""

    def exif(self) -> Image.Exif:
        exif = Image.Exif()
        whole = int(self.now)
        date = DATE.format(
            day=1 + whole // 86_400 % 28,
            hour=whole // 3600 % 24,
            minute=whole // 60 % 60,
            second=whole % 60,
        )
        part = exif.get_ifd(0x8769)
        part[0x9003] = date
        if self.fine:
            part[0x9291] = f"{int((self.now - whole) * 1000):03}"
        return exif


def encoded(image: Image.Image, rng: Random, clock: Clock | None) -> bytes:
    out = io.BytesIO()
    exif = {"exif": clock.exif()} if clock else {}
    image.convert("RGB").save(out, "JPEG", quality=rng.randint(72, 95), **exif)
    return out.getvalue()


def looked_at(scene: Image.Image, rng: Random, shake: float = 1.0) -> Image.Image:
    """One shot of a painted scene. ``shake`` 1: a hand; 0: a tripod."""
    view = scene.rotate(rng.uniform(-0.8, 0.8) * shake, Image.Resampling.BILINEAR)
    x, y = (RIM + rng.uniform(-12, 12) * shake for _ in "xy")
    zoom = 1 + rng.uniform(-0.006, 0.006) * shake
    box = (x, y, x + WIDTH * zoom, y + HEIGHT * zoom)
    view = view.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR, box)
    view = ImageEnhance.Brightness(view).enhance(rng.uniform(0.9, 1.1))
    warm = rng.uniform(-0.02, 0.02)
    bands = zip(view.split(), (1 + warm, 1.0, 1 - warm), strict=True)
    gained = [band.point([min(255, int(v * gain)) for v in range(256)]) for band, gain in bands]
    view = Image.merge("RGB", gained)
    if shake and rng.random() < 0.4:
        view = view.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 2.5)))
    noise = Image.effect_noise(view.size, rng.uniform(2, 10)).convert("RGB")
    return ImageChops.add(view, noise, 1, -128)


def walker(scene: Image.Image, rng: Random) -> Callable[[int], Image.Image]:
    """The scene with something that moves through it, by shot."""
    tall = rng.uniform(0.08, 0.2) * HEIGHT
    x, y = rng.uniform(0.2, 0.7) * WIDTH, rng.uniform(0.5, 0.8) * HEIGHT
    pace, colour = rng.uniform(0.005, 0.02) * WIDTH, tuple(rng.randint(20, 230) for _ in "rgb")

    def at(shot: int) -> Image.Image:
        drawn = scene.copy()
        pen = ImageDraw.Draw(drawn)
        left = x + pace * shot
        pen.rounded_rectangle((left, y, left + tall / 3, y + tall), tall / 8, fill=colour)
        pen.ellipse((left + tall / 12, y - tall / 4, left + tall / 3.5, y), fill=(205, 170, 140))
        return drawn

    return at


def bursts(rng: Random, count: int, size: int, dated: bool = True) -> Iterator[Shot]:
    """``count`` bursts of 2 to ``size`` shots, each of another scene."""
    for number in range(count):
        paint = PHOTOGRAPHIC[number % len(PHOTOGRAPHIC)] if number % 4 else room
        scene = paint(Random(rng.random()), PAINTED).convert("RGB")
        moves = walker(scene, rng) if number % 2 else lambda shot, scene=scene: scene
        clock = Clock(60.0 * number + 10, fine=rng.random() < 0.5)
        for shot in range(rng.randint(2, size)):
            clock.now += rng.choice((0.1, 0.3, 0.5, 1.0, 2.0))
            view = looked_at(moves(shot), rng)
            at = clock if dated else None
            yield Shot(encoded(view, rng, at), f"burst {number}", paint.__name__, clock.now)


# --- what is no burst


def room(rng: Random, size: tuple[int, int], furniture: Random | None = None) -> Image.Image:
    """A wall, a floor and a window, with furniture drawn by ``furniture``."""
    width, height = size
    wall = tuple(rng.randint(150, 235) for _ in "rgb")
    floor = tuple(rng.randint(70, 160) for _ in "rgb")
    image = Image.new("RGB", size, wall)
    pen = ImageDraw.Draw(image)
    skirting = int(height * rng.uniform(0.55, 0.7))
    pen.rectangle((0, skirting, width, height), fill=floor)
    for board in range(0, width, width // 12):
        pen.line((board, height, width / 2 + (board - width / 2) * 0.6, skirting), fill=0)
    x = rng.uniform(0.1, 0.6) * width
    pen.rectangle((x, height * 0.1, x + width * 0.25, height * 0.4), fill=(225, 238, 250))
    pen.line((x + width * 0.125, height * 0.1, x + width * 0.125, height * 0.4), fill=90, width=6)
    chosen = furniture or rng
    for _ in range(chosen.randint(2, 5)):
        left, wide = chosen.uniform(0, 0.8) * width, chosen.uniform(0.1, 0.3) * width
        foot, tall = chosen.uniform(0.65, 0.95) * height, chosen.uniform(0.12, 0.35) * height
        colour = tuple(chosen.randint(30, 220) for _ in "rgb")
        pen.rounded_rectangle((left, foot - tall, left + wide, foot), 18, fill=colour)
        pen.line((left, foot - tall / 2, left + wide, foot - tall / 2), fill=40, width=5)
    shade = Image.radial_gradient("L").resize(size).point([255 - v // 3 for v in range(256)])
    return ImageChops.multiply(image, shade.convert("RGB"))


def page(rng: Random, numbers: Random, size: tuple[int, int]) -> Image.Image:
    """A form: the same words and lines for one ``rng``, one number of it by ``numbers``."""
    image = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(image)
    head = ImageFont.load_default(44)
    text = ImageFont.load_default(rng.choice((18, 22, 26)))
    pen.text((90, 80), f"Invoice of {rng.choice(('Ada', 'Bo', 'Cy'))} Ltd", fill=20, font=head)
    lines = rng.randint(10, 22)
    varied = rng.randrange(lines)
    for line in range(lines):
        y = 180 + line * (size[1] - 300) // lines
        words = " ".join(rng.choice(WORDS) for _ in range(rng.randint(3, 8)))
        amount = rng.randint(100, 99_999)
        if line == varied:
            amount = numbers.randint(100, 99_999)
        pen.text((90, y), words, fill=30, font=text)
        pen.text((size[0] - 260, y), f"{amount / 100:,.2f}", fill=30, font=text)
    pen.line((90, size[1] - 110, size[0] - 90, size[1] - 110), fill=60, width=3)
    return image


WORDS = (
    "paper",
    "steel",
    "of",
    "delivery",
    "for",
    "unit",
    "hours",
    "labour",
    "net",
    "rate",
    "parts",
)


def screen(rng: Random, numbers: Random, size: tuple[int, int]) -> Image.Image:
    """A dashboard with tiles, one number of which is by ``numbers``."""
    ground = rng.choice(((250, 250, 252), (24, 26, 32), (238, 242, 246)))
    ink = (30, 30, 30) if ground[0] > 128 else (230, 230, 230)
    image = Image.new("RGB", size, ground)
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0, size[0], 70), fill=tuple(rng.randint(30, 200) for _ in "rgb"))
    varied = rng.randrange(12)
    for tile in range(12):
        x, y = 80 + tile % 4 * (size[0] - 100) // 4, 140 + tile // 4 * (size[1] - 180) // 3
        plate = tuple(max(0, c - 14) if c > 128 else c + 14 for c in ground)
        pen.rounded_rectangle((x, y, x + 220, y + 190), 12, fill=plate)
        value = (numbers if tile == varied else rng).randint(10, 9_999)
        pen.text((x + 20, y + 20), rng.choice(WORDS), fill=ink, font=ImageFont.load_default(20))
        pen.text((x + 20, y + 80), str(value), fill=ink, font=ImageFont.load_default(48))
    return image


def goods(rng: Random, other: Random, size: tuple[int, int]) -> Image.Image:
    """One thing on a white ground: the ground by ``rng``, form and colour by ``other``."""
    grounds = ((255, 255, 255), (246, 246, 244), (228, 228, 230))
    image = Image.new("RGB", size, rng.choice(grounds))
    fade = Image.linear_gradient("L").resize(size).point([255 - v // 10 for v in range(256)])
    image = ImageChops.multiply(image, fade.convert("RGB"))
    pen = ImageDraw.Draw(image)
    colour = tuple(other.randint(20, 230) for _ in "rgb")
    form = rng.randrange(3) if rng.random() < 0.5 else other.randrange(3)  # one form, or others
    left, top, right, foot = (
        round(v * s) for v, s in zip((0.3, 0.2, 0.7, 0.85), size * 2, strict=True)
    )
    if form == 0:
        pen.rounded_rectangle((left, top, right, foot), 60, fill=colour)
        pen.rectangle((left + 90, top - 40, right - 90, top + 20), fill=colour)
    elif form == 1:
        pen.ellipse((left, top, right, foot), fill=colour)
    else:
        pen.polygon([(left, foot), (right, foot), ((left + right) // 2, top)], fill=colour)
    label = ImageFont.load_default(50)
    pen.text((size[0] / 2, size[1] * 0.6), f"No. {other.randint(1, 99)}", "white", label, "mm")
    return image


def meter(rng: Random, numbers: Random, size: tuple[int, int]) -> Image.Image:
    """A device on a wall, photographed once an hour, or once a second: one number differs."""
    image = city.facade(Random(rng.random()), size).convert("RGB")
    pen = ImageDraw.Draw(image)
    left, top = size[0] * 0.35, size[1] * 0.3
    pen.rounded_rectangle((left, top, left + 400, top + 300), 30, fill=(60, 62, 66))
    pen.rectangle((left + 40, top + 60, left + 360, top + 160), fill=(190, 205, 180))
    shown = f"{numbers.randint(0, 99_999):05}"
    pen.text((left + 60, top + 65), shown, fill=20, font=ImageFont.load_default(84))
    return image


def on_table(flat: Image.Image, rng: Random) -> Image.Image:
    """A page photographed by hand: on wood, in uneven light."""
    wood = tuple(rng.randint(60, 150) for _ in "rgb")
    image = ImageChops.add(
        Image.new("RGB", PAINTED, wood), Image.effect_noise(PAINTED, 30).convert("RGB"), 1, -128
    )
    share = rng.uniform(0.7, 1.0)
    small = flat.resize((round(PAINTED[0] * share), round(PAINTED[1] * share)))
    image.paste(small, ((PAINTED[0] - small.width) // 2, (PAINTED[1] - small.height) // 2))
    light = Image.linear_gradient("L").rotate(90 * rng.randrange(4)).resize(PAINTED)
    shade = rng.randint(60, 110)
    light = light.point([255 - v * shade // 255 for v in range(256)])
    return ImageChops.multiply(image, light.convert("RGB"))


Distractor = Callable[[Random, Random], Image.Image]


def _photographed(paint: Painter) -> Distractor:
    return lambda rng, other: paint(other, PAINTED).convert("RGB")


KINDS: dict[str, tuple[Distractor, float]] = {
    "room with other furniture": (lambda rng, other: room(rng, PAINTED, other), 1.0),
    "room, on a tripod": (lambda rng, other: room(rng, PAINTED, other), 0.0),
    "page, scanned": (lambda rng, other: page(rng, other, PAINTED), 0.0),
    "page, photographed": (lambda rng, other: on_table(page(rng, other, PAINTED), rng), 1.0),
    "page, in portrait": (lambda rng, other: page(rng, other, PAINTED[::-1]), 0.0),
    "screen": (lambda rng, other: screen(rng, other, PAINTED), 0.0),
    "screen, photographed": (lambda rng, other: on_table(screen(rng, other, PAINTED), rng), 1.0),
    "goods on white": (lambda rng, other: goods(rng, other, PAINTED), 0.0),
    "goods, by hand": (lambda rng, other: goods(rng, other, PAINTED), 1.0),
    "meter, on a tripod": (lambda rng, other: meter(rng, other, PAINTED), 0.0),
    "scenes of one kind": (
        lambda rng, other: rng.choice(PHOTOGRAPHIC)(other, PAINTED).convert("RGB"),
        1.0,
    ),
}


def distractors(rng: Random, sets: int, size: int, dated: bool = True) -> Iterator[Shot]:
    """``sets`` sets of each kind, of ``size`` pictures that all differ."""
    number = 0
    for kind, (draw, shake) in KINDS.items():
        for _ in range(sets):
            number += 1
            seed, clock = rng.random(), Clock(60.0 * number + 43_200, fine=rng.random() < 0.5)
            for one in range(size):
                clock.now += rng.choice((0.5, 1.0, 2.0, 2.5))
                drawn = draw(Random(seed), Random(rng.random()))
                in_portrait = drawn.height > drawn.width
                view = drawn if in_portrait else looked_at(drawn, rng, shake)
                at = clock if dated else None
                yield Shot(encoded(view, rng, at), f"{kind} {number} {one}", kind, clock.now)
