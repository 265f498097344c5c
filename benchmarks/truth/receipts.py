"""Made receipts and pages with known facts: five scripts, several fonts, turned, noisy, crumpled.

Seeded: the same numbers give the same pictures. Nothing here is shown to the eyes but the pixels.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

Array = np.ndarray[Any, np.dtype[Any]]
HEIGHTS = (1600, 2000, 2800)
"""Of photographs, 3 by 4: for 728 pixels a JPEG decoder halves them, which leaves a resize by 1.1,
1.4 or 1.9."""
A4 = (2480, 3508)
"""A page at 300 dots an inch: 12 points are 50 pixels."""
POINT = 300 / 72
FORMATS = ("jpeg", "jpeg", "png", "webp")

FONTS = {
    "Noto Sans": ("fontpkg_noto_sans", "files/NotoSans[wdth,wght].ttf"),
    "PT Sans Narrow": ("fontpkg_pt_sans_narrow", "files/PT_Sans-Narrow-Web-Regular.ttf"),
    "IBM Plex Mono": ("fontpkg_ibm_plex_mono", "files/IBMPlexMono-Regular.ttf"),
    "Noto Sans CJK": ("noto_cjk_sans_jp_regular", "NotoSansCJKjp-Regular.otf"),
}


@dataclass(frozen=True, slots=True)
class Script:
    """Words of receipts in one script. ``date``: how a date is printed."""

    name: str
    fonts: tuple[str, ...]
    shops: tuple[str, ...]
    goods: tuple[str, ...]
    number: str
    total: str
    date: str


SCRIPTS = (
    Script(
        "Latin",
        ("Noto Sans", "PT Sans Narrow", "IBM Plex Mono"),
        ("Corner Bakery", "Harbour Books", "Green Grocer", "Bäckerei Sommer", "Café Soleil"),
        ("Bread", "Butter", "Coffee", "Apples", "Notebook", "Soap", "Olives", "Rice"),
        "Receipt No.",
        "TOTAL",
        "{year}-{month:02}-{day:02}",
    ),
    Script(
        "Greek",
        ("Noto Sans",),
        ("ΚΑΦΕ ΑΘΗΝΑ", "ΚΑΦΕ ΚΡΗΤΗ", "ΖΑΧΑΡΗ ΝΙΚΗ"),
        ("ΨΩΜΙ", "ΚΑΦΕΣ", "ΓΑΛΑ", "ΤΥΡΙ", "ΡΥΖΙ"),
        "ΑΡ.",
        "ΣΥΝΟΛΟ",
        "{day:02}/{month:02}/{year}",
    ),
    Script(
        "Han",
        ("Noto Sans CJK",),
        ("東方書店", "和平饭店", "新华书店", "大同超市"),
        ("面包", "牛奶", "茶叶", "大米", "水果"),
        "单号",
        "合计",
        "{year}年{month}月{day}日",
    ),
    Script(
        "Hiragana",
        ("Noto Sans CJK",),
        ("さくらや", "ひまわり", "まるみや"),
        ("おにぎり", "みそしる", "たまご", "おちゃ"),
        "番号",
        "合計",
        "{year}年{month}月{day}日",
    ),
    Script(
        "Katakana",
        ("Noto Sans CJK",),
        ("コンビニマート", "カフェテラス", "サンストア"),
        ("パン", "コーヒー", "チーズ", "ミルク"),
        "番号",
        "合計",
        "{year}/{month:02}/{day:02}",
    ),
)


@dataclass(frozen=True, slots=True)
class Receipt:
    """A made picture and its facts, by field. ``letters``: size of its print in pixels."""

    path: Path
    kind: str
    script: str
    letters: int
    truth: dict[str, Any]


def receipts(folder: Path, count: int, seed: int = 22) -> list[Receipt]:
    """``count`` photographs of receipts, of which a quarter has small print."""
    return [
        _made(folder / f"receipt-{n:03}", n, random.Random(f"{seed}/{n}"), _photograph)
        for n in range(count)
    ]


def pages(folder: Path, count: int, seed: int = 22) -> list[Receipt]:
    """``count`` scans of A4 pages at 6, 8, 10 and 12 points."""
    return [
        _made(folder / f"page-{n:03}", n, random.Random(f"{seed}/page/{n}"), _scan)
        for n in range(count)
    ]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is drawn, and how: ``draw`` puts printed facts of a script on a picture."""

    kind: str
    letters: int
    draw: Callable[[random.Random, Script, dict[str, Any]], Image.Image]


def _made(
    stem: Path, n: int, rng: random.Random, plan: Callable[[int, random.Random], _Plan]
) -> Receipt:
    script = SCRIPTS[n % len(SCRIPTS)]
    kind, (truth, printed) = rng.choice(FORMATS), _facts(rng, script)
    path = stem.with_suffix(f".{kind}")
    planned = plan(n, rng)
    if not path.exists():
        picture = planned.draw(rng, script, truth | {"printed": printed})
        aside = path.with_suffix(".part")
        options: dict[str, Any] = {"compress_level": 1} if kind == "png" else {"quality": 92}
        picture.save(aside, kind.upper(), **options)
        aside.replace(path)
    return Receipt(path, planned.kind, script.name, planned.letters, truth)


def _facts(rng: random.Random, script: Script) -> tuple[dict[str, Any], str]:
    """Field -> value, and the date as it is printed."""
    prices = [rng.randint(99, 9_999) for _ in range(rng.randint(4, 8))]
    day = {"year": rng.randint(2021, 2026), "month": rng.randint(1, 12), "day": rng.randint(1, 28)}
    facts = {
        "shop": rng.choice(script.shops),
        "date": "{year}-{month:02}-{day:02}".format(**day),
        "number": str(rng.randint(10_000, 9_999_999)),
        "total": sum(prices) / 100,
        "prices": [price / 100 for price in prices],
    }
    return facts, script.date.format(**day)


def _photograph(n: int, rng: random.Random) -> _Plan:
    height, small, crumpled = rng.choice(HEIGHTS), n % 4 == 3, n % 3 == 0
    letters = round(height * (rng.uniform(0.012, 0.014) if small else rng.uniform(0.018, 0.023)))
    kind = "small print" if small else "crumpled" if crumpled else "plain"
    return _Plan(kind, letters, partial(_photographed, height, letters, crumpled))


def _photographed(
    height: int,
    letters: int,
    crumpled: bool,
    rng: random.Random,
    script: Script,
    truth: dict[str, Any],
) -> Image.Image:
    """A strip of paper on a table: turned, crumpled, unevenly lit, with sensor noise."""
    width = height * 3 // 4
    paper = _paper(rng, script, truth, letters, 15 * letters)
    table = Image.new("RGB", (width, height), (96, 72, 54))
    table.paste(paper, ((width - paper.width) // 2, max(40, (height - paper.height) // 2)))
    noise = np.random.default_rng(rng.getrandbits(32))
    pixels = _turned(np.asarray(table), rng.uniform(-4, 4))
    if crumpled:
        pixels = _crumpled(pixels, noise)
    lit = pixels * (0.82 + 0.18 * _smooth(noise, pixels.shape[:2], 5)[..., None])
    pixels = (lit + noise.normal(0, rng.uniform(2, 9), pixels.shape)).clip(0, 255)
    return Image.fromarray(pixels.astype(np.uint8))


def _scan(n: int, rng: random.Random) -> _Plan:
    points = (6, 8, 10, 12)[n % 4]
    letters = round(points * POINT)
    return _Plan(f"A4, {points} points", letters, partial(_scanned, letters))


def _scanned(
    letters: int, rng: random.Random, script: Script, truth: dict[str, Any]
) -> Image.Image:
    page = Image.new("RGB", A4, "white")
    page.paste(_paper(rng, script, truth, letters, 40 * letters), (300, 300))
    noise = np.random.default_rng(rng.getrandbits(32))
    blurred = cv2.GaussianBlur(np.asarray(page), (0, 0), 1.0)
    pixels = (blurred + noise.normal(0, 3, blurred.shape)).clip(0, 255)
    return Image.fromarray(pixels.astype(np.uint8))


def _paper(
    rng: random.Random, script: Script, truth: dict[str, Any], letters: int, width: int
) -> Image.Image:
    """The printed strip: shop, date, number, goods with prices, total."""
    face = _font(rng.choice(script.fonts), letters)
    step, margin = round(1.6 * letters), 2 * letters
    goods = [(rng.choice(script.goods), f"{price:,.2f}") for price in truth["prices"]]
    total = (script.total, f"{truth['total']:,.2f}")
    rows = [(truth["printed"], ""), (script.number, truth["number"]), ("", ""), *goods, total]
    paper = Image.new("RGB", (width, 2 * margin + (len(rows) + 2) * step), (250, 249, 245))
    draw = ImageDraw.Draw(paper)
    ink = (rng.randint(20, 70),) * 3
    head = _font(script.fonts[0], round(1.3 * letters))
    draw.text((margin, margin), truth["shop"], font=head, fill=ink)
    for number, (left, right) in enumerate(rows, start=2):
        y = margin + number * step
        draw.text((margin, y), left, font=face, fill=ink)
        beside = width - margin - draw.textlength(right, font=face)
        draw.text((beside, y), right, font=face, fill=ink)
    return paper


def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    package, file = FONTS[name]
    return ImageFont.truetype(str(Path(str(import_module(package).__file__)).parent / file), size)


def _turned(pixels: Array, degrees: float) -> Array:
    height, width = pixels.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    return np.asarray(cv2.warpAffine(pixels, turn, (width, height), borderMode=cv2.BORDER_REFLECT))


def _crumpled(pixels: Array, noise: np.random.Generator) -> Array:
    """Each pixel moved by a smooth field of at most some 0.6 % of the height."""
    height, width = pixels.shape[:2]
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    shift = [height * 0.006 * _smooth(noise, (height, width), 6) for _ in range(2)]
    moved = [
        (axis + field).astype(np.float32) for axis, field in zip((across, down), shift, strict=True)
    ]
    return np.asarray(cv2.remap(pixels, *moved, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT))


def _smooth(noise: np.random.Generator, size: tuple[int, int], cells: int) -> Array:
    """A field of values from -1 to 1 that changes slowly: ``cells`` waves from side to side."""
    grid = noise.uniform(-1, 1, (cells, cells)).astype(np.float32)
    return np.asarray(cv2.resize(grid, size[::-1], interpolation=cv2.INTER_CUBIC)).clip(-1, 1)
