"""Files and folders for their owner alone: a planted link, pipe or folder is refused, not used."""

from __future__ import annotations

import os
import pickle
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from clients import private_files
from clients.private_files import NotOurs
from clients.spool import Spool, Spooled
from core.reply import Reply, Usage
from tests.support.strangers import NOBODY, mode, needs_root

pytestmark = pytest.mark.usefixtures("usual_umask")

REPLY = Reply("a paid answer", "", "stop", Usage(1, 0, 1), None, "m")


@pytest.mark.parametrize(
    "act",
    [
        private_files.lock_file,
        private_files.log_file,
        private_files.private_folder,
        private_files.read,
        private_files.check_socket,
    ],
)
def test_a_link_is_refused_with_a_sentence(
    act: Callable[[Path], object], tmp_path: Path, victim: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(victim)
    tmp_path.chmod(0o700)
    with pytest.raises(NotOurs, match=r"link (is a link|is not a socket)"):
        act(link)


def test_a_link_is_replaced_by_a_private_file(tmp_path: Path, victim: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(victim)
    private_files.write(link, "ours")
    assert not link.is_symlink()
    assert mode(link) == 0o600
    assert private_files.read(link) == "ours"


@pytest.mark.parametrize("act", [private_files.lock_file, private_files.log_file])
def test_a_pipe_is_refused_at_once(act: Callable[[Path], object], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotOurs, match="is not a file"):
        act(tmp_path / "pipe")


@needs_root
def test_what_belongs_to_another_user_is_refused(tmp_path: Path) -> None:
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.touch(0o600)
    folder.mkdir(0o700)
    for path in (file, folder):
        os.chown(path, NOBODY, NOBODY)
    for act, path in (
        (private_files.lock_file, file),
        (private_files.read, file),
        (private_files.private_folder, folder),
    ):
        with pytest.raises(NotOurs, match="belongs to another user"):
            act(path)
    assert folder.stat().st_uid == NOBODY


def test_a_folder_of_ours_loses_the_rights_of_others_and_its_parent_none(tmp_path: Path) -> None:
    parent = tmp_path / "parent"
    parent.mkdir()
    parent.chmod(0o750)
    (parent / "open").mkdir()
    (parent / "open").chmod(0o777)
    for name in ("open", "new"):
        private_files.private_folder(parent / name)
        assert mode(parent / name) == 0o700
    assert mode(parent) == 0o750


@pytest.mark.parametrize(("file", "folder"), [(0o644, 0o700), (0o620, 0o700), (0o600, 0o750)])
def test_a_text_that_others_can_reach_is_not_read(tmp_path: Path, file: int, folder: int) -> None:
    within = tmp_path / "run"
    within.mkdir()
    path = within / "text"
    path.write_text("told")
    path.chmod(file)
    within.chmod(folder)
    with pytest.raises(NotOurs, match="is open to other users"):
        private_files.read(path)


def test_a_socket_is_used_only_in_a_private_folder(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    folder.mkdir(0o700)
    path = folder / "x.sock"
    private_files.check_socket(path)  # nobody's
    with socket.socket(socket.AF_UNIX) as served:
        served.bind(os.path.relpath(path))
        private_files.check_socket(path)
        folder.chmod(0o755)
        with pytest.raises(NotOurs, match="open to other users"):
            private_files.check_socket(path)


def test_a_file_for_the_person_has_the_rights_of_their_umask(tmp_path: Path, victim: Path) -> None:
    out = tmp_path / "out.html"
    out.symlink_to(victim)
    os.umask(0o027)
    with private_files.private_umask():
        with private_files.for_the_person(out) as file:
            file.write(b"page")
        (tmp_path / "ours").touch()
    assert (mode(out), mode(tmp_path / "ours")) == (0o640, 0o600)
    assert out.read_text() == "page"


def test_a_file_for_the_person_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no"), private_files.for_the_person(tmp_path / "out"):
        raise ValueError("no")
    assert not list(tmp_path.iterdir())


def test_a_spooled_reply_is_private_and_follows_no_link(tmp_path: Path, victim: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.folder.mkdir(0o700)
    (spool.folder / f"call-1.part-{os.getpid()}").symlink_to(victim)
    path = spool.keep(Spooled(1, 0.5, REPLY))
    assert mode(path) == 0o600
    assert [kept.reply for _, kept in spool.waiting()] == [REPLY]


def test_the_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(NotOurs("/a", "is a link")))
    assert str(error) == error.strerror == "/a is a link"
