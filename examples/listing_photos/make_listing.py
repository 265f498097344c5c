"""Makes the photographs of a listing: rooms and views, some under-exposed, one duplicate.

python examples/listing_photos/make_listing.py build/examples/listing_photos
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

from PIL import Image, ImageEnhance

sys.path.insert(0, str(Path(__file__).parents[1]))  # the examples share photolab

from photolab import city, coast, land, table
from photolab.paint import Size, film

PHOTOS = 24
DARK_EVERY = 7
SIZES: tuple[Size, ...] = ((960, 640), (640, 960), (1024, 768))
SHOTS: tuple[tuple[str, Callable[[Random, Size], Image.Image]], ...] = (
    ("front", city.facade),
    ("street", city.street),
    ("kitchen table", table.fruit),
    ("breakfast", table.coffee),
    ("garden", land.meadow),
    ("view by day", city.skyline_by_day),
    ("flowers", table.tulips),
    ("lake nearby", coast.lake),
)


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for number in range(PHOTOS):
        rng = Random(f"listing/{number}")
        name, paint = SHOTS[number % len(SHOTS)]
        photo = film(rng, paint(rng, rng.choice(SIZES)))
        if number % DARK_EVERY == DARK_EVERY - 1:
            photo = ImageEnhance.Brightness(photo).enhance(0.15)
        photo.save(out / f"{number + 1:02d} {name}.jpg", quality=70)
    shutil.copy(out / "01 front.jpg", out / f"{PHOTOS + 1:02d} front again.jpg")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
