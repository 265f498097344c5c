"""ZIP and tar files as folders: what is in them, what is refused, and copies of their files."""

from __future__ import annotations

import errno
import io
import lzma
import os
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import IO
from unittest.mock import Mock

import pytest

from clients import archives, unpacked
from clients.images.decoder import Decoder
from clients.sources import original
from clients.sources.duplicates import content_twins
from clients.sources.expand import expand
from clients.sources.location import Expansion, Source
from core.errors import ImageRefused, InputRefused, RefusalCode, ServiceAway, WrongUsage
from core.images.inputs import InputRules
from core.images.sizing import DecoderLimits, ImageLimits

DECODER = Decoder(DecoderLimits())
PNG = b"\x89PNG\r\n\x1a\n"
FILES = {
    "trip/img10.jpg": b"ten",
    "trip/img2.jpg": b"two",
    "trip/copy.jpg": b"two",
    "trip/other": PNG,
    "trip/other.jpg": b"TWO",
    "notes.txt": b"text",
    "inner.zip": b"PK\x03\x04",
    "__MACOSX/._a.jpg": b"x",
    "trip/.hidden.jpg": b"x",
    "../evil.jpg": b"x",
    "/abs.jpg": b"x",
}
KINDS = ("zip", "tar", "tgz", "tar.bz2", "tar.xz")
MODES = {"tar": "w", "tgz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}


@pytest.fixture(autouse=True)
def _own_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def make(path: Path, files: Mapping[str, bytes] = FILES, time: int = 0) -> Path:
    """An archive whose kind its name tells. ``time``: of all files in a tar; 0: each another."""
    kind = path.name.partition(".")[2]
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return path
    with tarfile.open(path, MODES[kind]) as tar:  # type: ignore[call-overload]
        for number, (name, data) in enumerate(files.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), time or 1_000 + number
            tar.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return path


def found(path: Path, rules: InputRules | None = None) -> Expansion:
    return expand([str(path)], ImageLimits(), DECODER, rules or InputRules())


def read(source: Source, most: int | None = None) -> bytes:
    where = (source.location, source.root)
    with original.copied(*where, most, source.version) as path:
        return path.read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_is_a_folder(tmp_path: Path, kind: str) -> None:
    path = make(tmp_path / f"photos.{kind}")
    expansion = found(path)
    names = [source.name for source in expansion.sources]
    assert names == [
        *("trip/copy.jpg", "trip/img2.jpg", "trip/img10.jpg", "trip/other", "trip/other.jpg")
    ]
    assert [read(source) for source in expansion.sources] == [FILES[name] for name in names]
    assert content_twins(expansion.sources) == {1: 0}
    scheme = "zip" if kind == "zip" else "tar"
    assert expansion.sources[0].location == f"{scheme}:{path}!/trip/copy.jpg"
    links = [] if kind == "zip" else ["link.jpg (a link or a device)"]
    assert expansion.ignored == [
        *("/abs.jpg (a path out of the archive)", "../evil.jpg (a path out of the archive)"),
        *("inner.zip (an archive in an archive)", *links, "notes.txt"),
    ]
    assert expansion.passed_over == ["__MACOSX"]


def test_an_archive_is_known_by_its_content_and_a_document_is_none(tmp_path: Path) -> None:
    plain = make(tmp_path / "photos.zip").rename(tmp_path / "photos")
    assert len(found(plain).sources) == 5
    word = make(tmp_path / "a.zip", {"[Content_Types].xml": b"", "word/media/a.png": PNG})
    assert [source.name for source in found(word).sources] == ["a.zip"]


def test_an_archive_in_a_folder_is_ignored_with_a_word(tmp_path: Path) -> None:
    make(tmp_path / "photos.zip")
    with pytest.raises(WrongUsage, match=r"archives such as 'photos\.zip': name those"):
        found(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"x")
    assert found(tmp_path).ignored == ["photos.zip (an archive: name it to open it)"]


def test_a_submission_opens_archives_beneath_its_roots_alone(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    make(outside / "photos.zip")
    (inside / "link.zip").symlink_to(outside / "photos.zip")
    rules = InputRules((str(inside),), skip_folders=())
    for path in (outside / "photos.zip", inside / "link.zip"):
        with pytest.raises(InputRefused, match="outside OVERSTORY_INPUT_ROOTS"):
            found(path, rules)
    own = make(inside / "photos.zip", {"a.jpg": b"a"})
    (source,) = found(own, rules).sources
    assert source.root == str(inside)
    own.unlink()
    own.symlink_to(outside / "photos.zip")  # after it was planned
    with pytest.raises(ImageRefused) as refused:
        read(source)
    assert refused.value.code == RefusalCode.OUTSIDE_FOLDER
    private = InputRules(None, private=(str(outside),))
    with pytest.raises(WrongUsage, match="Overstory's own"):
        found(outside / "photos.zip", private)


def test_an_unchanged_file_of_a_changed_archive_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "photos.zip"
    before = found(make(path, {"a.jpg": b"one", "b.jpg": b"two"})).sources
    after = found(make(path, {"a.jpg": b"one", "b.jpg": b"2wo", "c.jpg": b"three"})).sources
    assert before[0] == after[0]
    assert before[1] != after[1]
    for source in before[1], Source("x", before[0].location.replace("a.jpg", "x.jpg")):
        with pytest.raises(ImageRefused, match="the archive changed since") as refused:
            read(source)
        assert refused.value.code == RefusalCode.CHANGED


def test_a_tar_with_one_time_for_all_is_known_as_a_whole(tmp_path: Path) -> None:
    path, files = tmp_path / "photos.tar", {"a.jpg": b"one", "b.jpg": b"two"}

    def versions(changed: int, time: int) -> list[str | None]:
        os.utime(make(path, files, time), ns=(changed, changed))
        return [source.version for source in found(path).sources]

    assert versions(5, time=7) == versions(5, time=7)
    assert versions(5, time=7) != versions(6, time=7)
    assert versions(5, time=0) == versions(6, time=0)  # each has its own time, like files on disk


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_archive_is_told(tmp_path: Path, kind: str) -> None:
    path = make(tmp_path / f"photos.{kind}", {f"{n}.jpg": os.urandom(9_000) for n in range(9)})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(WrongUsage, match=r"photos\..* cannot be (read|unpacked)"):
        found(path)


def test_what_a_zip_does_not_give(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("lzma.jpg", b"x" * 99)
    (source,) = found(path).sources
    with pytest.raises(ImageRefused, match="by a method that is not read here") as refused:
        read(source)
    assert refused.value.code == RefusalCode.UNSUPPORTED
    make(path, {"a.jpg": b"x" * 99})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # encrypted
    path.write_bytes(data)
    (source,) = found(path).sources
    with pytest.raises(ImageRefused) as refused:
        read(source)
    assert refused.value.code == RefusalCode.ENCRYPTED


def test_bytes_that_are_not_what_the_archive_says(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:  # stored
        archive.writestr("a.jpg", b"A" * 99)
    path.write_bytes(path.read_bytes().replace(b"A" * 99, b"B" * 99))
    (source,) = found(path).sources
    with pytest.raises(ImageRefused, match="cannot be unpacked from the archive") as refused:
        read(source)
    assert refused.value.code == RefusalCode.CORRUPT
    with pytest.raises(ImageRefused, match="more than the 5 allowed"):
        read(source, most=5)


# --- bounds


def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = make(tmp_path / "bomb.zip", {"a.bmp": bytes(3_000_000)})
    monkeypatch.setattr(archives, "FREE_BYTES", 1_000_000)
    with pytest.raises(InputRefused, match="holds more than 3,000,000 bytes in"):
        found(bomb)
    monkeypatch.setattr(archives, "ENTRIES_MAX", 2)
    for kind in ("zip", "tar"):
        with pytest.raises(InputRefused, match="holds more than 2 files"):
            found(make(tmp_path / f"many.{kind}"))
    monkeypatch.setattr(archives, "LIST_BYTES_MAX", 100)
    with pytest.raises(InputRefused, match="a list of files that is too long"):
        found(make(tmp_path / "list.zip"))


@pytest.mark.parametrize("kind", ["tgz", "tar.bz2", "tar.xz"])
def test_a_compressed_tar_unpacks_to_so_much_and_no_more(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = make(tmp_path / f"bomb.{kind}", {"a.bmp": bytes(9_000_000)})
    monkeypatch.setattr(unpacked, "FREE_BYTES", 2_000_000)
    monkeypatch.setattr(unpacked, "RATIO_MAX", 10)
    with pytest.raises(InputRefused, match="a compressed tar with more than"):
        found(bomb)
    monkeypatch.setattr(unpacked, "RATIO_MAX", 1e9)
    monkeypatch.setattr(unpacked, "MOST", 5_000_000)
    with pytest.raises(InputRefused, match="unpack it and name the folder"):
        found(bomb)


def test_xz_that_asks_for_much_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "a.tar.xz")
    assert len(lzma.decompress(path.read_bytes())) > 1_000
    monkeypatch.setattr(unpacked, "MEMORY", 1_000)
    with pytest.raises(WrongUsage, match=r"cannot be unpacked \(LZMAError\)"):
        found(path)


def test_a_compressed_tar_is_unpacked_once_and_again_when_its_copy_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    unpack = unpacked._unpack

    def noted(file: BufferedReader, copy: IO[bytes], shown: str) -> None:
        done.append(shown)
        unpack(file, copy, shown)

    monkeypatch.setattr(unpacked, "_unpack", noted)
    sources = found(make(tmp_path / "photos.tgz")).sources
    assert [read(source) for source in sources[:2]] == [b"two", b"two"]
    assert len(done) == 1
    folder = tmp_path / f"overstory-tars-{os.geteuid()}"
    assert folder.stat().st_mode & 0o077 == 0
    (copy,) = (path for path in folder.iterdir() if path.name != ".lock")
    left = copy.with_suffix(unpacked.PARTIAL)  # of a killed process
    copy.rename(left)
    assert read(sources[0]) == b"two"
    assert len(done) == 2
    assert not left.exists()
    (old,) = (path for path in folder.iterdir() if path.name != ".lock")
    os.utime(old, (1, 1))
    found(make(tmp_path / "other.tgz"))
    assert not old.exists()


def test_a_full_disk_refuses_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(unpacked, "_unpack", Mock(side_effect=full))
    with pytest.raises(ServiceAway, match=r"\(No space left on device\): free space, or set"):
        found(make(tmp_path / "photos.tgz"))


def test_headers_inside_each_other_end(tmp_path: Path) -> None:
    name = tarfile.TarInfo("././@LongLink")
    name.type, name.size = tarfile.GNUTYPE_LONGNAME, 1
    path = tmp_path / "a.tar"
    path.write_bytes((name.tobuf(tarfile.GNU_FORMAT) + b"a" + bytes(511)) * 3_000)
    with pytest.raises(WrongUsage, match="cannot be read as an archive"):
        found(path)
