"""Read-ahead hints, which must never cost more than they save, and samples of files."""

from __future__ import annotations

import os
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from clients import local_files
from core.job_options import JobOptions
from models.claims import ImageWork
from tasks import preprocess
from tests.support.descriptors import open_below

UNREADABLE = ("missing", "folder", "pipe", "empty")


def _unreadable(folder: Path, kind: str) -> Path:
    path = folder / kind
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "empty":
        path.touch()
    return path


@pytest.mark.parametrize("kind", UNREADABLE)
def test_reading_ahead_never_blocks_or_raises(tmp_path: Path, kind: str) -> None:
    local_files.read_ahead(_unreadable(tmp_path, kind))


@pytest.mark.parametrize("ahead", [True, False])
def test_samples_are_in_file_order_and_empty_for_unreadable_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: bool
) -> None:
    if not ahead:  # as on macOS
        monkeypatch.delattr(os, "posix_fadvise")
    wanted: list[tuple[Path, list[int]]] = [
        (_unreadable(tmp_path, kind), [0]) for kind in UNREADABLE
    ]
    for n in range(2 * local_files.SAMPLED_AT_ONCE):
        path = tmp_path / f"{n}"
        path.write_bytes(b"%04d" % n * 3)
        wanted.append((path, [0, 10]))
    found = list(local_files.samples(wanted, 6))
    assert found[: len(UNREADABLE)] == [None] * len(UNREADABLE)
    expected = [[b"%04d%02d" % (n, n // 100), b"%02d" % (n % 100)] for n in range(len(found) - 4)]
    assert found[len(UNREADABLE) :] == expected
    assert not open_below(tmp_path)


def test_the_next_file_is_read_ahead_while_one_is_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = _in_order(monkeypatch, from_disk=set())
    names = ["a.jpg", "b.jpg", "https://a.example/c.jpg", "d.jpg"]
    preprocess.work(MagicMock(), [_image(n, name, tmp_path) for n, name in enumerate(names, 1)])
    assert order == [
        *("ahead a.jpg", "ahead b.jpg", "prepare a.jpg", "prepare b.jpg"),
        *("ahead d.jpg", f"prepare {names[2]}", "prepare d.jpg"),
    ]


def test_a_file_read_from_disk_leaves_the_page_cache_when_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a file that was cached before, and a document only after its last page."""
    order = _in_order(monkeypatch, from_disk={"a.jpg", "c.pdf"})
    names = ["a.jpg", "b.jpg", "c.pdf", "c.pdf"]
    preprocess.work(MagicMock(), [_image(n, name, tmp_path) for n, name in enumerate(names, 1)])
    assert [each for each in order if not each.startswith("ahead")] == [
        *("prepare a.jpg", "let go a.jpg", "prepare b.jpg"),
        *("prepare c.pdf", "prepare c.pdf", "let go c.pdf"),
    ]


def test_the_system_reports_whether_a_file_is_cached(tmp_path: Path) -> None:
    """Several files, because a system may ignore the hint to drop one of them."""
    if not any(_tells(each) for each in _on_disk(tmp_path, "probe")):
        pytest.skip("this file system cannot tell, so nothing is ever let go")
    photos = _on_disk(tmp_path, "photo")
    assert not any(local_files.read_ahead(each) for each in photos)
    for each in photos:
        local_files.let_go(each)
    assert any(local_files.read_ahead(each) for each in photos)
    assert all(len(each.read_bytes()) == each.stat().st_size for each in photos)
    assert not any(local_files.read_ahead(each) for each in photos)


def _on_disk(folder: Path, name: str) -> list[Path]:
    """Cached files that are also written to disk, because only such pages can be dropped."""
    paths = [folder / f"{name}-{number}.jpg" for number in range(5)]
    for path in paths:
        with path.open("wb") as file:
            file.write(os.urandom(1_000_000))
            os.fsync(file.fileno())
    return paths


def _tells(path: Path) -> bool:
    """Whether this system refuses a read that would wait for the disk.

    Uses its own file: a refused read makes the system start reading, so later results on the same
    file depend on the speed of the disk.
    """
    local_files.let_go(path)
    with path.open("rb") as file:
        try:
            os.preadv(file.fileno(), [bytearray(1)], 625_000, getattr(os, "RWF_NOWAIT", 0))
        except BlockingIOError:
            return True
        except OSError:
            return False
    return False


def _in_order(monkeypatch: pytest.MonkeyPatch, from_disk: set[str]) -> list[str]:
    """Records the calls per file; files named ``from_disk`` are not cached."""
    order: list[str] = []

    def ahead(path: Path) -> bool:
        order.append(f"ahead {path.name}")
        return path.name in from_disk

    monkeypatch.setattr(local_files, "read_ahead", ahead)
    monkeypatch.setattr(local_files, "let_go", lambda path: order.append(f"let go {path.name}"))
    monkeypatch.setattr(preprocess, "_rules", lambda services, image: preprocess.Rules())
    monkeypatch.setattr(
        preprocess, "attempt", lambda services, image, work: order.append(f"prepare {image.name}")
    )
    return order


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
        version=None,
        sha256=None,
        mime=None,
        prepared_bytes=None,
        attempts=1,
        look=1,
        endpoint="e",
        model="m",
        detail="low",
        options=JobOptions(),
    )
