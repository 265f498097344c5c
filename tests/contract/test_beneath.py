"""Files are opened beneath their folder: with openat2, and without it folder by folder."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clients import beneath, local_files
from clients.local_files import Folders, Place
from core.errors import ImageRefused, RefusalCode
from tests.support.descriptors import open_below

SECRET = b"\xff\xd8\xff a secret"
PHOTO = b"\xff\xd8\xff a photo"


@pytest.fixture(params=["openat2", "walk"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "walk":  # as on macOS, or where a container forbids the call
        monkeypatch.setattr(beneath, "has_openat2", lambda: False)
    elif not beneath.has_openat2():
        pytest.skip("this kernel has no openat2, or the sandbox forbids it")
    return str(request.param)


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """A folder with a photo, beside a folder with a secret."""
    for name, data in (("given/deep/a.jpg", PHOTO), ("elsewhere/secret.jpg", SECRET)):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
    return tmp_path / "in/given"


def read(path: Path, root: Path | str, private: tuple[str, ...] = ()) -> bytes:
    with local_files.opened(Place(str(path), str(root), private)) as (file, _):
        return file.read()


def code_of(path: Path, root: Path | str, private: tuple[str, ...] = ()) -> RefusalCode:
    with pytest.raises(ImageRefused) as refused:
        read(path, root, private)
    return refused.value.code


Link = Callable[[Path], None]


def to(target: str) -> Link:
    return lambda given: (given / "link").symlink_to(target.replace("GIVEN", str(given)))


@pytest.mark.parametrize(
    ("link", "inner"),
    [
        (to("deep/a.jpg"), "link"),
        (to("GIVEN/deep/a.jpg"), "link"),
        (to("deep"), "link/a.jpg"),
        (to("GIVEN/deep"), "link/a.jpg"),
        (to("../given/deep"), "link/a.jpg"),
        (to("."), "link/link/deep/a.jpg"),
    ],
)
def test_links_that_stay_inside_are_followed(way: str, given: Path, link: Link, inner: str) -> None:
    link(given)
    assert read(given / inner, given) == PHOTO


@pytest.mark.parametrize(
    ("link", "inner"),
    [
        (to("../elsewhere/secret.jpg"), "link"),
        (to("GIVEN/../elsewhere/secret.jpg"), "link"),
        (to("../elsewhere"), "link/secret.jpg"),
        (to("/proc/self/cwd"), "link/setup.cfg"),
        (to("../elsewhere/nothing-here.jpg"), "link"),
        (to("/nothing/here"), "link"),
        (to("deep"), "../elsewhere/secret.jpg"),
    ],
)
def test_whatever_leaves_is_refused_alike_whether_it_exists_or_not(
    way: str, given: Path, link: Link, inner: str
) -> None:
    link(given)
    assert code_of(given / inner, given) is RefusalCode.OUTSIDE_FOLDER


@pytest.mark.parametrize("inner", ["link", "deep/a.jpg"])
def test_a_link_swapped_between_check_and_open_changes_nothing(
    way: str, given: Path, monkeypatch: pytest.MonkeyPatch, inner: str
) -> None:
    """Whoever may write there swaps the file at the moment after it was looked up."""
    secret = given.parent / "elsewhere/secret.jpg"
    (given / "link").symlink_to(given / "deep/a.jpg")
    looked_up, opened = os.path.realpath, beneath.open_beneath

    def swap() -> None:
        (given / "deep/a.jpg").unlink(missing_ok=True)
        (given / "deep/a.jpg").symlink_to(secret)

    def lookup(path: str, *, strict: bool = False) -> str:
        found = looked_up(path, strict=strict)
        swap()
        return found

    def open_late(folder: int, path: str, flags: int) -> int:
        swap()
        return opened(folder, path, flags)

    monkeypatch.setattr(os.path, "realpath", lookup)
    monkeypatch.setattr(local_files, "open_beneath", open_late)
    assert code_of(given / inner, given) is RefusalCode.OUTSIDE_FOLDER


def test_a_folder_swapped_beneath_its_own_root_is_refused(way: str, given: Path) -> None:
    """A submission's folder is in an input root: replacing the folder leads nowhere either."""
    root = f"{given.parent}{local_files.BELOW}given"
    assert read(given / "deep/a.jpg", root) == PHOTO
    outside = given.parent.parent / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep/a.jpg").write_bytes(SECRET)
    given.rename(given.with_name("before"))
    given.symlink_to(outside)
    assert code_of(given / "deep/a.jpg", root) is RefusalCode.OUTSIDE_FOLDER


@pytest.mark.parametrize("link", [None, "deep/a.jpg", "GIVEN/deep/a.jpg"])
def test_private_folders_are_never_opened(way: str, given: Path, link: str | None) -> None:
    if link:
        to(link)(given)
    file = given / ("link" if link else "deep/a.jpg")
    assert code_of(file, given, (str(given / "deep"),)) is RefusalCode.OUTSIDE_FOLDER
    with (
        pytest.raises(ImageRefused, match="own"),
        local_files.opened(Place(str(file), None, (str(given / "deep"),))),
    ):
        pass


def test_a_missing_file_is_missing_and_a_folder_is_no_file(way: str, given: Path) -> None:
    assert code_of(given / "nothing.jpg", given) is RefusalCode.MISSING
    assert code_of(given / "deep/a.jpg/b.jpg", given) is RefusalCode.MISSING
    assert code_of(given / "deep", given) is RefusalCode.UNREADABLE
    assert code_of(given / "a\0b", given) is RefusalCode.MISSING


@pytest.fixture(autouse=True)
def no_leak(tmp_path: Path) -> Iterator[None]:
    yield
    assert not open_below(tmp_path)


def test_many_files_open_their_root_once(way: str, given: Path) -> None:
    with Folders() as folders:
        first = folders.descriptor(str(given))
        for _ in range(3):
            os.close(folders.open(Place(str(given / "deep/a.jpg"), str(given)), os.O_RDONLY))
        assert folders.descriptor(str(given)) == first


def test_a_system_without_the_call_is_recognized(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> int:
        raise OSError(errno.EPERM, "forbidden")

    monkeypatch.setattr(beneath, "_openat2", forbidden)
    assert not beneath.has_openat2.__wrapped__()
