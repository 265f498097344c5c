"""The example photographs are reproducible, all different, and valid image files."""

import subprocess
import sys
from pathlib import Path

from PIL import Image

SCRIPT = Path(__file__).parents[2] / "examples" / "make_photos.py"


def _photos(out: Path, count: int) -> dict[str, bytes]:
    subprocess.run([sys.executable, SCRIPT, "--out", out, "--count", str(count)], check=True)
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*.*")}


def test_photographs_repeat_differ_and_open(tmp_path: Path) -> None:
    first, again = _photos(tmp_path / "a", 18), _photos(tmp_path / "b", 18)
    assert first == again
    assert len(set(first.values())) == 18
    assert {Path(name).parts[0] for name in first} == {"coast", "city", "land", "still life"}
    turned = 0
    for name in first:
        with Image.open(tmp_path / "a" / name) as photo:
            photo.load()
            turned += photo.getexif().get(0x0112, 1) != 1
    assert turned == 3
