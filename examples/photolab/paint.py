"""Drawing tools: colour, gradients, noise, masks, glows, a ground plane, and the look of film.

Everything is a pure function; randomness is passed as ``rng``. Sizes are (width, height).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from math import ceil, floor
from random import Random

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

Size = tuple[int, int]
Colour = tuple[int, int, int]
Point = tuple[float, float]

BLACK: Colour = (0, 0, 0)
WHITE: Colour = (255, 255, 255)
FINER = 2  # masks are drawn this much larger, then reduced, because Pillow's shapes have hard edges


def mix(a: Colour, b: Colour, t: float) -> Colour:
    red, green, blue = (round(x + (y - x) * t) for x, y in zip(a, b, strict=True))
    return red, green, blue


def vary(rng: Random, colour: Colour, amount: int = 12) -> Colour:
    red, green, blue = (max(0, min(255, c + rng.randint(-amount, amount))) for c in colour)
    return red, green, blue


def gradient(size: Size, stops: Sequence[tuple[float, Colour]]) -> Image.Image:
    """Top to bottom through the stops, each (0..1, colour), in order."""
    column = Image.new("RGB", (1, 128))
    for y in range(128):
        column.putpixel((0, y), _between(stops, y / 127))
    return column.resize(size, Image.Resampling.BICUBIC)


def _between(stops: Sequence[tuple[float, Colour]], at: float) -> Colour:
    for (low, a), (high, b) in itertools.pairwise(stops):
        if at <= high:
            return mix(a, b, max(0.0, at - low) / max(high - low, 1e-6))
    return stops[-1][1]


def ramp(size: Size, top: int, bottom: int) -> Image.Image:
    """A mask that goes from one strength to another, top to bottom."""
    column = Image.new("L", (1, 2))
    column.putdata([top, bottom])
    return column.resize((1, 64), Image.Resampling.BILINEAR).resize(size, Image.Resampling.BILINEAR)


def noise(
    rng: Random, size: Size, cell: Point, octaves: int = 3, rough: float = 0.5
) -> Image.Image:
    """Smooth noise around 128, its largest features ``cell`` pixels wide and high."""
    half = (max(2, size[0] // 2), max(2, size[1] // 2))
    total = _grid(rng, half, (cell[0] / 2, cell[1] / 2))
    weight, whole = 1.0, 1.0
    for octave in range(1, octaves):
        weight *= rough
        whole += weight
        scale = 2 ** (octave + 1)
        finer = _grid(rng, half, (cell[0] / scale, cell[1] / scale))
        total = Image.blend(total, finer, weight / whole)
    return total.resize(size, Image.Resampling.BILINEAR)


def _grid(rng: Random, size: Size, cell: Point) -> Image.Image:
    width = max(2, min(size[0], round(size[0] / cell[0]) + 1))
    height = max(2, min(size[1], round(size[1] / cell[1]) + 1))
    grid = Image.frombytes("L", (width, height), rng.randbytes(width * height))
    return grid.resize(size, Image.Resampling.BICUBIC)


def curve(image: Image.Image, low: float, high: float, peak: int = 255) -> Image.Image:
    """0 up to ``low``, ``peak`` from ``high`` on, a smooth step between."""

    def step(value: int) -> int:
        t = min(1.0, max(0.0, (value - low) / (high - low)))
        return round(peak * t * t * (3 - 2 * t))

    return image.point([step(value) for value in range(256)])


def relief(height: Image.Image, shift: Size = (2, 2), strength: float = 4.0) -> Image.Image:
    """Light falling on a height map from the top left: 128 is level ground."""
    moved = ImageChops.offset(height, *shift)
    return ImageChops.subtract(height, moved, 1 / strength, 128)


def shape(size: Size, draw: Callable[[ImageDraw.ImageDraw, int], None]) -> Image.Image:
    """A mask with soft edges: ``draw`` gets a pen on a canvas ``k`` times as large, and k."""
    canvas = Image.new("L", (size[0] * FINER, size[1] * FINER))
    draw(ImageDraw.Draw(canvas), FINER)
    return canvas.reduce(FINER)


def polygon(size: Size, points: Sequence[Point], blur: float = 0) -> Image.Image:
    xs, ys = [x for x, _ in points], [y for _, y in points]

    def draw(pen: ImageDraw.ImageDraw, k: int, left: int, top: int) -> None:
        pen.polygon([(round((x - left) * k), round((y - top) * k)) for x, y in points], 255)

    return _mask(size, (min(xs), min(ys), max(xs), max(ys)), blur, draw)


def ellipse(size: Size, box: Sequence[float], blur: float = 0) -> Image.Image:
    x0, y0, x1, y1 = box

    def draw(pen: ImageDraw.ImageDraw, k: int, left: int, top: int) -> None:
        pen.ellipse([(x0 - left) * k, (y0 - top) * k, (x1 - left) * k, (y1 - top) * k], 255)

    return _mask(size, (x0, y0, x1, y1), blur, draw)


def _mask(
    size: Size,
    box: tuple[float, float, float, float],
    blur: float,
    draw: Callable[[ImageDraw.ImageDraw, int, int, int], None],
) -> Image.Image:
    """A mask of the whole picture. Only the drawing's box is computed, because most are small."""
    pad = ceil(blur * 3) + 2
    left, top = max(0, floor(box[0]) - pad), max(0, floor(box[1]) - pad)
    right, bottom = min(size[0], ceil(box[2]) + pad), min(size[1], ceil(box[3]) + pad)
    mask = Image.new("L", size)
    if right > left and bottom > top:
        part = shape((right - left, bottom - top), lambda pen, k: draw(pen, k, left, top))
        mask.paste(soften(part, blur) if blur else part, (left, top))
    return mask


def glow(
    image: Image.Image,
    centre: Point,
    radius: float,
    colour: Colour,
    power: float = 2,
    peak: int = 255,
) -> None:
    """Light around a point, falling off towards ``radius``."""
    side = max(2, round(radius * 2.4))
    # Pillow's gradient has the value 181 at the middle of its edges, where the circle ends
    falloff = [round(peak * max(0.0, 1 - value / 181) ** power) for value in range(256)]
    disc = Image.radial_gradient("L").point(falloff).resize((side, side))
    image.paste(colour, (round(centre[0] - side / 2), round(centre[1] - side / 2)), disc)


def lit(base: Image.Image, light: Image.Image, strength: float) -> Image.Image:
    """Brightens and darkens by a map, in which 128 means no change."""
    soft = light.point([round(128 + (value - 128) * strength) for value in range(256)])
    return ImageChops.overlay(base, Image.merge("RGB", (soft, soft, soft)))


def ground(texture: Image.Image, size: Size, nearness: float = 8) -> Image.Image:
    """Lays a texture down as a plane that runs from the viewer to a horizon at the top edge."""
    (wide, high), (tex_wide, tex_high) = size, texture.size
    edge = high / nearness
    pull = edge * tex_wide / wide
    across = (pull / edge, tex_wide / 2 / edge, tex_wide / 2 - pull * wide / 2 / edge)
    along = (0.0, 0.0, tex_high - 1.0)
    return texture.transform(
        size,
        Image.Transform.PERSPECTIVE,
        (*across, *along, 0.0, 1 / edge),
        Image.Resampling.BILINEAR,
    )


def ball(
    image: Image.Image,
    centre: Point,
    radii: Point,
    colours: tuple[Colour, Colour, Colour],
    turn: float = 0,
) -> None:
    """A round thing in light from the top left; colours are its shade, body and highlight."""
    wide, high = max(4, round(radii[0] * 2)), max(4, round(radii[1] * 2))
    field = Image.radial_gradient("L").resize((wide * 2, high * 2))
    field = field.crop(
        (left := round(wide * 0.66), top := round(high * 0.7), left + wide, top + high)
    )
    field = ImageChops.invert(field)
    shade, body, shine = colours
    skin = ImageOps.colorize(field, shade, shine, body, blackpoint=50, midpoint=165)
    mask = ellipse((wide, high), (1, 1, wide - 2, high - 2))
    if turn:
        skin = skin.rotate(turn, Image.Resampling.BILINEAR, expand=True, fillcolor=body)
        mask = mask.rotate(turn, Image.Resampling.BILINEAR, expand=True)
    at = (round(centre[0] - skin.width / 2), round(centre[1] - skin.height / 2))
    image.paste(skin, at, mask)


def shadow(image: Image.Image, box: Sequence[float], blur: float, strength: int = 150) -> None:
    """A soft shadow, as under an object on a table."""
    pad = blur * 2
    left, top, right, bottom = box
    size = (max(4, round(right - left + 2 * pad)), max(4, round(bottom - top + 2 * pad)))
    mask = ellipse(size, (pad, pad, size[0] - pad, size[1] - pad), blur)
    dark = mask.point([value * strength // 255 for value in range(256)])
    image.paste((14, 10, 10), (round(left - pad), round(top - pad)), dark)


def soften(image: Image.Image, radius: float) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(radius))


def bokeh(
    rng: Random, image: Image.Image, colours: Sequence[Colour], count: int, radius: float
) -> Image.Image:
    """Points of light far out of focus: overlapping discs, a little brighter at the rim."""
    size = image.size
    for _ in range(count):
        r = radius * rng.uniform(0.5, 1.2)
        x, y = rng.uniform(0, size[0]), rng.uniform(0, size[1])
        side = round(2 * r) + 2
        strength = rng.randint(50, 150)
        disc = shape(
            (side, side),
            lambda pen, k, s=side, a=strength: pen.ellipse(  # type: ignore[misc]
                (2, 2, s * k - 4, s * k - 4), a, min(255, a + 45), 2 * k
            ),
        )
        image.paste(vary(rng, rng.choice(colours), 20), (round(x - r), round(y - r)), disc)
    return image


def film(rng: Random, image: Image.Image) -> Image.Image:
    """What a lens and a sensor add: softness, darker corners, grain, a cast of the light."""
    image = image.filter(ImageFilter.BoxBlur(0.75))
    dark = rng.randint(40, 95)
    falloff = [255 - round(dark * (max(0, value - 110) / 145) ** 2) for value in range(256)]
    corners = Image.radial_gradient("L").point(falloff).resize(image.size)
    image = ImageChops.multiply(image, Image.merge("RGB", (corners, corners, corners)))
    image = lit(image, noise(rng, image.size, (4, 4), 1), rng.uniform(0.015, 0.035))
    return image.point(_cast(rng))


def _cast(rng: Random) -> list[int]:
    """A lookup table: a gentle S-curve, and a slightly different white balance each time."""
    table: list[int] = []
    for warmth in (rng.uniform(0.97, 1.05), 1.0, rng.uniform(0.95, 1.04)):
        for value in range(256):
            t = value / 255
            shaped = 0.8 * t + 0.2 * t * t * (3 - 2 * t)
            table.append(min(255, round(255 * shaped * warmth)))
    return table
