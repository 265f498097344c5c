"""Reading ahead, a hint to the system which must never cost more than it saves, and samples."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clients import local_files
from core.job_options import JobOptions
from models.claims import ImageWork
from tasks import preprocess

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
def test_reading_ahead_waits_for_nothing_and_raises_nothing(tmp_path: Path, kind: str) -> None:
    local_files.read_ahead(_unreadable(tmp_path, kind))


@pytest.mark.parametrize("ahead", [True, False])
def test_samples_are_those_of_each_file_in_order_and_none_where_there_is_nothing_to_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: bool
) -> None:
    if not ahead:  # as on a Mac
        monkeypatch.delattr(os, "posix_fadvise")
    wanted: list[tuple[Path, list[int]]] = [
        (_unreadable(tmp_path, kind), [0]) for kind in UNREADABLE
    ]
    for n in range(2 * local_files.SAMPLED_AT_ONCE):
        path = tmp_path / f"{n}"
        path.write_bytes(b"%04d" % n * 3)
        wanted.append((path, [0, 10]))
    before = {path.name for path in Path("/dev/fd").iterdir()}
    found = list(local_files.samples(wanted, 6))
    assert found[: len(UNREADABLE)] == [None] * len(UNREADABLE)
    expected = [[b"%04d%02d" % (n, n // 100), b"%02d" % (n % 100)] for n in range(len(found) - 4)]
    assert found[len(UNREADABLE) :] == expected
    assert {path.name for path in Path("/dev/fd").iterdir()} == before


def test_the_disk_is_at_the_next_file_while_one_is_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = _in_order(monkeypatch, from_disk=set())
    names = ["a.jpg", "b.jpg", "https://a.example/c.jpg", "d.jpg"]
    preprocess.work(None, [_image(n, name, tmp_path) for n, name in enumerate(names, 1)])  # type: ignore[arg-type]
    assert order == [
        *("ahead a.jpg", "ahead b.jpg", "prepare a.jpg", "prepare b.jpg"),
        *("ahead d.jpg", f"prepare {names[2]}", "prepare d.jpg"),
    ]


def test_a_file_that_came_from_the_disk_leaves_memory_when_it_is_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one that was in memory before, and a document only after its last page."""
    order = _in_order(monkeypatch, from_disk={"a.jpg", "c.pdf"})
    names = ["a.jpg", "b.jpg", "c.pdf", "c.pdf"]
    preprocess.work(None, [_image(n, name, tmp_path) for n, name in enumerate(names, 1)])  # type: ignore[arg-type]
    assert [each for each in order if not each.startswith("ahead")] == [
        *("prepare a.jpg", "let go a.jpg", "prepare b.jpg"),
        *("prepare c.pdf", "prepare c.pdf", "let go c.pdf"),
    ]


def test_the_system_is_asked_whether_it_holds_a_file(tmp_path: Path) -> None:
    """Several files, for a system may pass over the hint to let one of them go."""
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
    """Files whose bytes are in memory and, for only such can be let go, on the disk."""
    paths = [folder / f"{name}-{number}.jpg" for number in range(5)]
    for path in paths:
        with path.open("wb") as file:
            file.write(os.urandom(1_000_000))
            os.fsync(file.fileno())
    return paths


def _tells(path: Path) -> bool:
    """Whether a read that must not wait for the disk is refused here.

    Of a file of its own: a read that is refused makes the system begin to read, so what is asked
    after it depends on how fast the disk is.
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
    """What is done to which file; those named ``from_disk`` are in memory nowhere."""
    order: list[str] = []

    def ahead(path: Path) -> bool:
        order.append(f"ahead {path.name}")
        return path.name in from_disk

    monkeypatch.setattr(local_files, "read_ahead", ahead)
    monkeypatch.setattr(local_files, "let_go", lambda path: order.append(f"let go {path.name}"))
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
        sha256=None,
        mime=None,
        prepared_bytes=None,
        attempts=1,
        detail="low",
        options=JobOptions(),
    )
