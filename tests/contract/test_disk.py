"""Reading ahead: a hint to the system, which must never cost more than it saves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clients import disk
from models.claims import ImageWork
from tasks import preprocess


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "empty"])
def test_reading_ahead_waits_for_nothing_and_raises_nothing(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "empty":
        path.touch()
    disk.read_ahead(path)


def test_the_disk_is_at_the_next_file_while_one_is_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    monkeypatch.setattr(disk, "read_ahead", lambda path: order.append(f"ahead {path.name}"))
    monkeypatch.setattr(
        preprocess, "attempt", lambda services, image, work: order.append(f"prepare {image.name}")
    )
    names = ["a.jpg", "b.jpg", "https://a.example/c.jpg", "d.jpg"]
    preprocess.work(None, [_image(n, name, tmp_path) for n, name in enumerate(names, 1)])  # type: ignore[arg-type]
    assert order == [
        *("ahead b.jpg", "prepare a.jpg", "prepare b.jpg"),
        *("ahead d.jpg", f"prepare {names[2]}", "prepare d.jpg"),
    ]


def _image(number: int, name: str, folder: Path) -> ImageWork:
    location = name if name.startswith("https://") else str(folder / name)
    return ImageWork(
        id=number,
        job_id="job",
        position=number,
        name=name,
        location=location,
        page=None,
        root=None,
        sha256=None,
        mime=None,
        prepared_bytes=None,
        attempts=1,
        detail="low",
        options={},
    )
