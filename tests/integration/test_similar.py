"""Similar images: compared before anything is uploaded, planned afterwards, undone without loss."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from random import Random

import pytest
from PIL import Image, ImageFilter
from sqlalchemy import text

from core.errors import WrongUsage
from models.reads import pipeline
from tasks import comparing, followups, image_slices, preprocess
from tests.support.account import Account, on_one_database

OpenAccount = Callable[..., Account]


def scene(seed: int) -> Image.Image:
    """Coloured blotches, like nothing that is drawn from another seed."""
    rng = Random(seed)
    small = Image.new("RGB", (6, 5))
    small.putdata([tuple(rng.randint(20, 235) for _ in "rgb") for _ in range(30)])
    return small.resize((320, 240), Image.Resampling.BICUBIC)


def shot(path: Path, seed: int, number: int, second: float, sharp: bool = False) -> Path:
    """One of a burst: number shifts it by so many pixels. All but the sharp one are blurred."""
    view = scene(seed).crop((number, 0, 300 + number, 230))
    noise = Image.effect_noise(view.size, 12).convert("L")
    view = Image.blend(view, noise.convert("RGB"), 0.08)
    if not sharp:
        view = view.filter(ImageFilter.GaussianBlur(2))
    exif = Image.Exif()
    part = exif.get_ifd(0x8769)
    part[0x9003] = f"2026:05:01 12:{int(second) // 60:02}:{int(second) % 60:02}"
    part[0x9291] = f"{int(second % 1 * 1000):03}"
    path.parent.mkdir(parents=True, exist_ok=True)
    view.save(path, quality=90, exif=exif)
    return path


def bursts(folder: Path, count: int, size: int, first: int = 0) -> Path:
    """Bursts a minute apart, the second shot of each the sharpest."""
    for burst in range(first, first + count):
        for number in range(size):
            at = 60 * burst + 0.4 * number
            shot(folder / f"{burst:02} {number}.jpg", burst, number, at, sharp=number == 1)
    return folder


def images_of(account: Account, job: str) -> list[pipeline.ImageRow]:
    with account.services.database.read() as connection:
        return pipeline.images(connection, job)


def requests(account: Account, job: str) -> int:
    with account.services.database.read() as connection:
        return pipeline.used(connection, job).requests


def sql(account: Account, statement: str, **values: object) -> list[tuple[object, ...]]:
    with account.services.database.read() as connection:
        return [tuple(row) for row in connection.execute(text(statement), values)]


def test_the_best_of_each_burst_is_asked_about_in_full_requests(
    open_account: OpenAccount, tmp_path: Path
) -> None:
    account = open_account()  # 6 images a request
    job = account.submit(bursts(tmp_path / "a", 7, 3), similar=True)
    ended = account.ended(job)[0]
    assert ended.status == "completed", ended.reason
    rows = images_of(account, job)
    assert [row.status for row in rows] == ["skipped", "included", "skipped"] * 7
    assert [row.error for row in rows[:3]] == ["similar to [2]", None, "similar to [2]"]
    assert {row.error_code for row in rows if row.status == "skipped"} == {"similar"}
    assert requests(account, job) == 3  # 7 images are 2 leaves and a root, not 21 in 4
    leaves = sql(
        account, "SELECT pending, status FROM nodes WHERE job_id = :job AND kind = 'leaf'", job=job
    )
    assert sorted(leaves) == [(0, "done"), (0, "done")]
