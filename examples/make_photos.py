"""Makes a folder of generated photographs: seeded, all different, free to use.

They resemble a camera roll: landscape and portrait; JPEG, PNG and WebP; some stored rotated with
an EXIF orientation; with dates and camera names; in folders, with names in many scripts.

    python examples/make_photos.py --out examples/photos --count 132 --seed 7
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from photolab import city, coast, land, table
from photolab.paint import Size, film
from PIL import Image


@dataclass(frozen=True)
class Scene:
    folder: str
    paint: Callable[[Random, Size], Image.Image]
    titles: tuple[str, ...]


SCENES = (
    Scene(
        "coast", coast.open_sea, ("закат над морем", "open sea", "海と空", "le large", "θάλασσα")
    ),
    Scene(
        "city",
        city.skyline_by_night,
        ("港の夜景", "harbour front", "ночной город", "la ville, la nuit"),
    ),
    Scene(
        "still life", table.fruit, ("fruit on a table", "яблоки и лимоны", "nature morte", "果物")
    ),
    Scene("land", land.misty_hills, ("misty hills", "туманные холмы", "霧の山", "collines")),
    Scene("coast", coast.beach, ("été à la plage", "beach", "пляж", "夏の浜", "praia")),
    Scene("city", city.street, ("after the rain", "после дождя", "雨上がり", "rue mouillée")),
    Scene("still life", table.flower, ("flower", "цветок", "花", "fleur (macro)", "زهرة")),
    Scene("land", land.snow_peak, ("the peak", "вершина", "雪山", "Großer Gipfel")),
    Scene("coast", coast.lighthouse, ("lighthouse", "маяк", "灯台", "phare breton")),
    Scene("city", city.skyline_by_day, ("downtown", "небоскрёбы", "都市", "Hochhäuser")),
    Scene("still life", table.coffee, ("coffee", "утренний кофе", "コーヒー", "café crème")),
    Scene("land", land.foggy_forest, ("fog in the wood", "лес в тумане", "霧の森", "forêt")),
    Scene("coast", coast.lake, ("mirror lake", "озеро", "湖", "lac d'été")),
    Scene("city", city.bridge, ("the bridge", "мост", "大橋", "pont suspendu")),
    Scene("still life", table.tulips, ("tulips", "тюльпаны", "チューリップ", "tulipes & vase")),
    Scene("land", land.desert, ("dunes", "пустыня", "砂漠", "désert", "صحراء")),
    Scene("city", city.lights_out_of_focus, ("city lights", "огни", "夜の光", "lumières")),
    Scene("still life", table.candles, ("candles", "свечи", "ろうそく", "bougies")),
    Scene("land", land.winter, ("first snow", "зима", "冬", "neige")),
    Scene("land", land.flower_rows, ("flower field", "поле", "花畑", "champ de fleurs")),
    Scene("still life", table.citrus, ("citrus", "цитрусы", "柑橘", "agrumes")),
    Scene("land", land.balloons, ("balloons", "воздушные шары", "気球", "montgolfières")),
    Scene("city", city.facade, ("windows", "окна", "窓", "façade, côté cour")),
    Scene("land", land.meadow, ("meadow", "луг", "草原", "prairie")),
    Scene("still life", table.pebbles, ("pebbles", "галька", "小石", "galets")),
    Scene("land", land.night_sky, ("northern night", "звёздное небо", "星空", "nuit claire")),
)

SIZES: tuple[Size, ...] = (
    *((960, 640), (900, 600), (800, 533), (840, 560), (960, 540), (1280, 853)),
    *((600, 800), (600, 900), (576, 768), (683, 1024), (1024, 1365)),
    (720, 720),
)
CAMERAS = (
    ("Lumen", "Lumen F2"),
    ("Kestrel", "Kestrel 35"),
    ("Aster", "Aster Phone 9"),
    ("Orbis", "Orbis Mark IV"),
)
TURNS = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270, 3: Image.Transpose.ROTATE_180}
ORIENTATION, MAKE, MODEL, DATE, TAKEN, DETAILS = 0x0112, 0x010F, 0x0110, 0x0132, 0x9003, 0x8769
PNG_SIDE, PNG_COLOURS = 480, 96  # grain makes PNGs of photographs large


def main(words: list[str] | None = None) -> None:
    options = _options(words)
    total = 0
    for index in range(options.count):
        total += make(options.out, index, options.seed).stat().st_size
        _progress(index + 1, options.count)
    print(f"{options.count} photographs, {total / 1e6:.1f} MB, in {options.out}")


def _options(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "photos", metavar="DIR")
    parser.add_argument("--count", type=int, default=132, metavar="N")
    parser.add_argument("--seed", type=int, default=7, metavar="S")
    return parser.parse_args(words)


def _progress(done: int, count: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if done == count else ""
        print(f"\rmaking photographs: {done} of {count}", end=end, file=sys.stderr, flush=True)


def make(out: Path, index: int, seed: int) -> Path:
    """Paints and saves photograph ``index``. The same seed always gives the same photograph."""
    rng = Random(f"{seed}/{index}")
    scene = SCENES[index % len(SCENES)]
    photo = film(rng, scene.paint(rng, rng.choice(SIZES)))
    path = out / scene.folder / _name(rng, scene, index + 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    _save(rng, photo, path, index)
    return path


def _name(rng: Random, scene: Scene, number: int) -> str:
    """A file name as people write them. The number makes it unique."""
    title = rng.choice(scene.titles)
    stem = rng.choice((f"{number:02d} {title}", f"{title} {number}", f"{title}_{number:03d}"))
    return stem + _suffix(rng, number)


def _suffix(rng: Random, number: int) -> str:
    if number % 29 == 0:
        return ".png"
    if number % 17 == 0:
        return ".webp"
    return rng.choice((".jpg", ".jpg", ".jpg", ".jpeg", ".JPG"))


def _save(rng: Random, photo: Image.Image, path: Path, index: int) -> None:
    if path.suffix == ".png":
        photo.thumbnail((PNG_SIDE, PNG_SIDE))
        photo.quantize(PNG_COLOURS).save(path, optimize=True)
    elif path.suffix == ".webp":
        photo.save(path, quality=72, method=3)
    else:
        turned, exif = _as_held(rng, photo, index)
        turned.save(path, "JPEG", quality=rng.randint(62, 71), optimize=True, exif=exif)


def _as_held(rng: Random, photo: Image.Image, index: int) -> tuple[Image.Image, Image.Exif]:
    """The photo as stored, and its EXIF: one in six is rotated, one in nine has no EXIF."""
    exif = Image.Exif()
    if index % 9 == 4:
        return photo, exif
    taken = datetime(2024, 1, 1) + timedelta(minutes=rng.randrange(2 * 365 * 24 * 60))  # noqa: DTZ001  EXIF has no zone
    exif[MAKE], exif[MODEL] = rng.choice(CAMERAS)
    exif[DATE] = exif.get_ifd(DETAILS)[TAKEN] = f"{taken:%Y:%m:%d %H:%M:%S}"
    turn = rng.choice(tuple(TURNS)) if index % 6 == 2 else None
    exif[ORIENTATION] = turn or 1
    return (photo.transpose(TURNS[turn]) if turn else photo), exif


if __name__ == "__main__":
    main()
