"""Copies of the next images of a slice, while the present one is prepared."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from clients.sources.ahead import AT_ONCE, Ahead
from core.errors import ImageRefused, RefusalCode


def test_copies_come_in_order_and_only_so_many_are_there() -> None:
    begun: list[int] = []
    lock = threading.Lock()

    def save(number: int, path: Path) -> None:
        with lock:
            begun.append(number)
        path.write_text(str(number))

    numbers = range(3 * AT_ONCE)
    saves = {number: (lambda path, number=number: save(number, path)) for number in numbers}
    with Ahead(saves) as ahead:
        for number in numbers:
            assert len(begun) <= number + AT_ONCE
            with ahead.file(number) as path:
                assert path.read_text() == str(number)
                assert len(list(path.parent.iterdir())) <= AT_ONCE
            assert not path.exists()
            folder = path.parent
    assert sorted(begun) == list(numbers)
    assert not folder.exists()


def test_the_next_copies_are_made_while_one_is_used() -> None:
    others = threading.Barrier(AT_ONCE)  # those beside the first, and the one that uses it

    def save(path: Path) -> None:
        others.wait(60.0)
        path.touch()

    saves: dict[int, Callable[[Path], None]] = dict.fromkeys(range(1, AT_ONCE), save)
    saves = {0: lambda path: path.touch()} | saves
    with Ahead(saves) as ahead, ahead.file(0):
        others.wait(60.0)  # breaks if they are not all begun


def test_a_failure_is_that_of_its_image() -> None:
    def refused(path: Path) -> None:
        raise ImageRefused(RefusalCode.MISSING, "gone")

    with Ahead({1: refused, **dict.fromkeys(range(2, 9), Path.touch)}) as ahead:
        with pytest.raises(ImageRefused, match="gone"), ahead.file(1):
            pass
        for number in range(2, 9):
            with ahead.file(number) as path:
                assert path.exists()


def test_copies_that_nobody_used_are_deleted() -> None:
    made: list[Path] = []

    def save(path: Path) -> None:
        path.touch()
        made.append(path)

    with Ahead(dict.fromkeys(range(9), save)) as ahead:
        assert 0 in ahead
        assert 8 not in ahead
    assert len(made) <= AT_ONCE
    assert not any(path.exists() for path in made)
    with Ahead({}) as nothing:
        assert 0 not in nothing
