"""Inputs become the list of images that the user meant, on a real file system."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from glob import glob
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from clients import local_files
from clients.images.decoder import Decoder
from clients.local_files import Place
from clients.sources import duplicates, location
from clients.sources.duplicates import content_twins
from clients.sources.expand import expand
from clients.sources.location import Source, local_path, place_of
from core.errors import ImageRefused, RefusalCode, WrongUsage
from core.images.inputs import SKIP_FILES, SKIP_FOLDERS
from core.images.sizing import DecoderLimits, ImageLimits
from core.settings import load
from core.text.printable import printable_name
from tests.support import corpus, raws

LIMITS = ImageLimits()
DECODER = Decoder(DecoderLimits())
JPEG = b"\xff\xd8\xff\xe0 a photo"
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")


def put(root: Path, *names: str, data: bytes = JPEG) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def names(*inputs: str | Path, limits: ImageLimits = LIMITS) -> list[str]:
    return [s.name for s in expand([str(i) for i in inputs], limits, DECODER).sources]


def read(source: Source) -> bytes:
    """The file's bytes, opened as preprocess opens it."""
    with local_files.opened(place_of(source.location, source.root)) as (file, _):
        return file.read()


def code_of(source: Source) -> RefusalCode:
    with pytest.raises(ImageRefused) as refused:
        read(source)
    return refused.value.code


# --- folders


def test_a_folder_gives_its_images_in_natural_order(tmp_path: Path) -> None:
    put(tmp_path, "img10.jpg", "img2.JPG", "IMG1.jpeg", "b/2.png", "b/10.png", "a/z.webp")
    assert names(tmp_path) == [
        "a/z.webp", "b/2.png", "b/10.png", "IMG1.jpeg", "img2.JPG", "img10.jpg",
    ]  # fmt: skip


@pytest.mark.parametrize("inner", ["closed", "closed/0.jpg", "closed/*.jpg", "closed/a/*/b.jpg"])
def test_an_unreadable_folder_is_reported_by_name_and_permission(nobodys: Path, inner: str) -> None:
    with pytest.raises(WrongUsage, match=r"closed.*Permission denied"):
        expand([str(nobodys / inner)], LIMITS, DECODER)


@pytest.mark.parametrize("inner", ["", "*/*.jpg", "**/*.jpg", "**"])
def test_an_unreadable_subfolder_fails_like_an_unreadable_file(nobodys: Path, inner: str) -> None:
    expansion = expand([str(nobodys / inner)], LIMITS, DECODER)
    closed = next(s for s in expansion.sources if s.name == "closed/")
    assert "closed/" not in expansion.ignored
    assert code_of(closed) == RefusalCode.UNREADABLE


def test_hidden_files_are_skipped_and_other_files_are_reported(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", ".b.jpg", ".cache/c.jpg", "photo-without-ending")
    put(tmp_path, "notes.txt", "sub/data.csv", data=b"text")
    expansion = expand([str(tmp_path)], LIMITS, DECODER)
    assert [s.name for s in expansion.sources] == ["a.jpg", "photo-without-ending"]
    assert expansion.ignored == ["notes.txt", "sub/data.csv"]


CLUTTER = (
    *("@eaDir/1.jpg/SYNOPHOTO_THUMB_XL.jpg", "album/@eaDir/2.jpg/SYNOPHOTO_THUMB_M.jpg"),
    *("#recycle/9.jpg", "@Recycle/9.jpg", "$Recycle.Bin/S-1-5/9.jpg", ".Trashes/501/9.jpg"),
    *(".thumbnails/1.jpg", ".@__thumb/1.jpg", "album/.picasaoriginals/2.jpg", "lost+found/9.jpg"),
    *("__MACOSX/._1.jpg", "._1.jpg", "album/._2.jpg", "Thumbs.db", "album/2.thm"),
    *("Catalog Previews.lrdata/a/1.jpg", "My.photoslibrary/resources/derivatives/1.jpg"),
)


def test_what_systems_and_photo_programs_keep_is_passed_over_and_counted(tmp_path: Path) -> None:
    put(tmp_path, "1.jpg", "album/2.jpg", "My.photoslibrary/originals/3.jpg", *CLUTTER)
    expansion = expand([str(tmp_path)], LIMITS, DECODER)
    mine = ["1.jpg", "album/2.jpg", "My.photoslibrary/originals/3.jpg"]
    assert sorted(s.name for s in expansion.sources) == sorted(mine)
    assert expansion.ignored == []
    assert sorted(expansion.passed_over) == sorted(
        [
            *("@eaDir", "album/@eaDir", "#recycle", "@Recycle", "$Recycle.Bin", ".Trashes"),
            *(".thumbnails", ".@__thumb", "album/.picasaoriginals", "lost+found", "__MACOSX"),
            *("._1.jpg", "album/._2.jpg", "Thumbs.db", "album/2.thm"),
            *("Catalog Previews.lrdata", "My.photoslibrary/resources"),
        ]
    )
    assert sorted(names(tmp_path / "**/*.jpg")) == sorted(mine)
    assert names(tmp_path / "*/*.jpg") == ["album/2.jpg"]


@pytest.mark.parametrize(
    "given",
    ["@eaDir", "@eaDir/*/*.jpg", "album/@eaDir", "*/@eaDir/*/*.jpg", ".thumbnails", "album/2.thm"],
)
def test_what_is_named_outright_is_read(tmp_path: Path, given: str) -> None:
    put(tmp_path, "1.jpg", "album/2.jpg", *CLUTTER)
    assert len(names(tmp_path / given)) == 1


@pytest.mark.parametrize("name", ["scan", "scan.jpg", "Invoice 2.5", "scan.pdf.download"])
@pytest.mark.parametrize("kind", ["PDF", "TIFF"])
def test_a_document_has_all_its_pages_whatever_it_is_called(
    tmp_path: Path, name: str, kind: str
) -> None:
    pages = [Image.new("L", (50, 50), n) for n in range(3)]
    pages[0].save(tmp_path / name, kind, save_all=True, append_images=pages[1:])
    put(tmp_path, "really-a-photo.pdf")
    every = [f"{name}[{page}]" for page in (1, 2, 3)]
    assert names(tmp_path / name) == every
    assert sorted(names(tmp_path)) == sorted([*every, "really-a-photo.pdf"])
    (tmp_path / name).write_bytes(raws.dng(b"", 1))
    assert names(tmp_path / name) == [name]


def test_files_that_a_cloud_service_keeps_are_counted_and_told(tmp_path: Path) -> None:
    put(tmp_path, "1.jpg")
    put(tmp_path, ".2.jpg.icloud", "album/.3.HEIC.icloud", data=b"bplist00")
    put(tmp_path, "4.png.nextcloud", "album/5.png.owncloud", data=b" ")
    put(tmp_path, ".notes.txt.icloud", ".hidden.icloud", data=b"bplist00")
    expected = ["1.jpg", "2.jpg", "4.png", "album/3.HEIC", "album/5.png"]
    found = expand([str(tmp_path)], LIMITS, DECODER)
    assert sorted(source.name for source in found.sources) == expected
    assert names(tmp_path / "*.jpg") == ["1.jpg", "2.jpg"]
    (named,) = expand([str(tmp_path / "2.jpg")], LIMITS, DECODER).sources
    assert named.name == "2.jpg"
    for source in (named, *(source for source in found.sources if source.name != "1.jpg")):
        assert code_of(source) is RefusalCode.NOT_DOWNLOADED
    assert content_twins(found.sources) == {}


def test_the_documents_name_all_that_is_passed_over() -> None:
    page = (Path(__file__).parents[2] / "docs/images.md").read_text("utf-8")
    parts = {
        name.removeprefix("*.photoslibrary/")
        .removeprefix("*.photolibrary/")
        .removeprefix("*.aplibrary/")
        for name in (*SKIP_FOLDERS, *SKIP_FILES)
    }
    assert [name for name in parts if f"`{name}`" not in page] == []


def test_the_person_chooses_what_is_passed_over(tmp_path: Path) -> None:
    put(tmp_path, "1.jpg", "@eaDir/1.jpg", "web previews/1.jpg", "album/Thumbs/2.jpg")
    found = {}
    for setting in ("none", "web previews, thumbs", "+web previews,+album/thumbs/", None):
        own = load(**({"skip_folders": setting} if setting else {})).own_inputs
        found[setting] = len(expand([str(tmp_path)], LIMITS, DECODER, own).sources)
    assert found == {
        "none": 4,
        "web previews, thumbs": 2,
        "+web previews,+album/thumbs/": 1,
        None: 3,
    }


def test_a_folder_with_nothing_else_says_what_was_passed_over(tmp_path: Path) -> None:
    put(tmp_path, "album/@eaDir/1.jpg")
    with pytest.raises(WrongUsage, match=r"@eaDir.*OVERSTORY_SKIP_FOLDERS=none"):
        expand([str(tmp_path)], LIMITS, DECODER)


def test_a_file_with_an_image_extension_is_counted(tmp_path: Path) -> None:
    put(tmp_path, "broken.jpg", data=b"")
    assert names(tmp_path) == ["broken.jpg"]


@pytest.mark.timeout(60)
def test_folders_that_loop_are_walked_once(tmp_path: Path) -> None:
    put(tmp_path, "a/b/1.jpg", "c/2.jpg")
    (tmp_path / "a/b/up").symlink_to(tmp_path)
    (tmp_path / "c/again").symlink_to(tmp_path / "a")
    (tmp_path / "self").symlink_to(tmp_path / "self")
    assert names(tmp_path) == ["a/b/1.jpg", "c/2.jpg"]


def test_links_may_not_leave_the_folder(tmp_path: Path) -> None:
    put(tmp_path, "given/a.jpg", "elsewhere/secret.jpg", "elsewhere/deep/more.jpg")
    given_folder = tmp_path / "given"
    (given_folder / "inside.jpg").symlink_to(given_folder / "a.jpg")
    (given_folder / "outside.jpg").symlink_to(tmp_path / "elsewhere/secret.jpg")
    (given_folder / "folder").symlink_to(tmp_path / "elsewhere")
    expansion = expand([str(given_folder)], LIMITS, DECODER)
    by_name = {s.name: s for s in expansion.sources}
    assert list(by_name) == ["a.jpg", "inside.jpg", "outside.jpg"]
    assert expansion.ignored == ["folder (a link out of the folder)"]
    assert read(by_name["inside.jpg"]) == JPEG
    assert code_of(by_name["outside.jpg"]) is RefusalCode.OUTSIDE_FOLDER


@pytest.mark.parametrize("parts", [(), ("empty",), ("texts",), ("nothing-here",), ("*.xyz",)])
def test_inputs_without_images_are_wrong_usage(tmp_path: Path, parts: tuple[str, ...]) -> None:
    (tmp_path / "empty").mkdir()
    put(tmp_path, "texts/notes.txt", data=b"text")
    with pytest.raises(WrongUsage) as wrong:
        expand([str(tmp_path / part) for part in parts], LIMITS, DECODER)
    assert all(part in str(wrong.value) for part in parts)
    assert ":" in str(wrong.value)


# --- files and patterns


def test_a_named_file_is_submitted_even_if_it_is_not_an_image(tmp_path: Path) -> None:
    put(tmp_path, "notes.txt", data=b"text")
    assert names(tmp_path / "notes.txt", tmp_path / "notes.txt") == ["notes.txt", "notes.txt"]


def test_a_broken_link_is_submitted_and_missing(tmp_path: Path) -> None:
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere")
    (source,) = expand([str(tmp_path / "gone.jpg")], LIMITS, DECODER).sources
    assert source.bytes is None
    assert code_of(source) is RefusalCode.MISSING


def test_patterns_reach_deep_and_keep_the_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "p/10.jpg", "p/9.jpg", "p/q/r/1.jpg", "p/x.png")
    put(tmp_path, "p/notes.jpg.txt", data=b"text")
    assert names(tmp_path / "p/*.jpg") == ["9.jpg", "10.jpg"]
    assert names(tmp_path / "p/**/*.jpg") == ["9.jpg", "10.jpg", "q/r/1.jpg"]
    monkeypatch.chdir(tmp_path)
    assert names("p/**/*.jpg") == ["9.jpg", "10.jpg", "q/r/1.jpg"]
    assert names("*/*.png") == ["p/x.png"]
    assert expand(["p/*"], LIMITS, DECODER).ignored == ["notes.jpg.txt"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jpg", ["1.jpg", "2.jpg"]),
        ("?.jpg", ["1.jpg", "2.jpg"]),
        ("[2-9].jpg", ["2.jpg"]),
        ("[!2].jpg", ["1.jpg"]),
        ("*/*.jpg", ["a/1.jpg", "b/1.jpg"]),
        ("[a]/**/*.jpg", ["a/1.jpg", "a/b/1.jpg", "a/b/c/1.jpg"]),
        ("**/b/*.jpg", ["a/b/1.jpg", "b/1.jpg"]),
        ("**/b/**/1.jpg", ["a/b/1.jpg", "a/b/c/1.jpg", "b/1.jpg"]),
        ("*/**", ["a/1.jpg", "a/b/1.jpg", "a/b/c/1.jpg", "b/1.jpg"]),
        (".hidden/*", [".hidden/1.jpg"]),
        (".*/*.jpg", [".hidden/1.jpg"]),
        ("**/.*.jpg", [".3.jpg"]),
    ],
)
def test_patterns_mean_what_they_mean_to_glob(
    tmp_path: Path, pattern: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "1.jpg", "2.jpg", ".3.jpg", ".hidden/1.jpg")
    put(tmp_path, "a/1.jpg", "a/b/1.jpg", "a/b/c/1.jpg", "b/1.jpg")
    monkeypatch.chdir(tmp_path)
    found = [
        Path(s.location).relative_to(tmp_path) for s in expand([pattern], LIMITS, DECODER).sources
    ]
    assert [str(path) for path in found] == expected
    inner = {name for name in glob(pattern, recursive=True) if Path(name).is_file()}  # noqa: PTH207
    assert {str(path) for path in found} == inner


def test_a_folder_is_matched_at_each_place_in_a_pattern(tmp_path: Path) -> None:
    """The first way to a folder may not fit the pattern, and the second may."""
    put(tmp_path, "b/c/x.jpg")
    (tmp_path / "a").symlink_to("b/c")
    assert names(tmp_path / "*/*/*.jpg") == ["b/c/x.jpg"]


@pytest.mark.parametrize("inner", ["open", "open/*", "open/**", "open/link.jpg"])
def test_a_link_into_a_closed_folder_fails_like_an_unreadable_file(
    nobodys: Path, inner: str
) -> None:
    person = os.geteuid()
    os.seteuid(os.getuid())
    (nobodys / "open").mkdir()
    (nobodys / "open/link").symlink_to("../closed")
    (nobodys / "open/link.jpg").symlink_to("../closed/0.jpg")
    os.seteuid(person)
    found = expand([str(nobodys if inner == "open" else nobodys / inner)], LIMITS, DECODER)
    links = [source for source in found.sources if "link" in source.name]
    assert links
    assert {code_of(source) for source in links} <= {
        RefusalCode.UNREADABLE,
        RefusalCode.OUTSIDE_FOLDER,
    }


def test_a_name_that_looks_like_a_pattern_is_also_tried_literally(tmp_path: Path) -> None:
    put(tmp_path, "shot[1].jpg", "shot1.jpg", "what?.jpg")
    assert names(tmp_path / "shot[1].jpg") == ["shot[1].jpg"]
    assert names(tmp_path / "what?.jpg") == ["what?.jpg"]


def test_documents_are_their_pages(tmp_path: Path) -> None:
    for name, kind in (("SCAN.TIF", "TIFF"), ("scan.pdf", "PDF")):
        pages = [Image.new("L", (40, 40), n) for n in range(3)]
        pages[0].save(tmp_path / name, format=kind, save_all=True, append_images=pages[1:])
    for name in ("single.tif", "single.pdf"):
        Image.new("L", (40, 40)).save(tmp_path / name)
    put(tmp_path, "broken.pdf", data=b"%PDF-1.7 nothing")
    found = expand([str(tmp_path)], LIMITS, DECODER).sources
    assert [(s.name, s.page) for s in found] == [
        ("broken.pdf", None),
        *((f"scan.pdf[{n}]", n) for n in (1, 2, 3)),
        *((f"SCAN.TIF[{n}]", n) for n in (1, 2, 3)),
        ("single.pdf[1]", 1),
        ("single.tif", None),
    ]
    assert names(tmp_path / "scan.pdf", limits=ImageLimits(max_pages=2)) == ["scan.pdf"]
    (tmp_path / "no-pages.pdf").write_bytes(corpus.pdf_of("", pages=0))
    assert names(tmp_path / "no-pages.pdf") == ["no-pages.pdf"]


# --- names


def test_equal_names_are_shown_with_their_folders(tmp_path: Path) -> None:
    put(tmp_path, "monday/1.jpg", "tuesday/1.jpg", "tuesday/2.jpg")
    assert names(tmp_path / "monday", tmp_path / "tuesday") == [
        "monday/1.jpg", "tuesday/1.jpg", "2.jpg",
    ]  # fmt: skip


def test_urls_are_named_without_their_secrets() -> None:
    urls = ["https://u.example/a%20b.jpg?sig=secret", "http://u.example/a%20b.jpg?sig=other"]
    found = expand(urls, LIMITS, DECODER).sources
    assert [s.location for s in found] == urls
    assert [s.name for s in found] == ["u.example/a b.jpg#2", "u.example/a b.jpg#1"]


@pytest.mark.parametrize("name", ["a b.jpg", "图片.jpg", "ünï.jpg", "مرحبا.jpg", "a\u202fb.jpg"])
def test_names_in_all_scripts_are_unchanged(tmp_path: Path, name: str) -> None:
    put(tmp_path, name)
    (source,) = expand([str(tmp_path)], LIMITS, DECODER).sources
    assert source.name == name
    assert read(source) == JPEG


@linux_only
def test_names_that_are_not_valid_text_are_shown_and_opened(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/caf\xe9\n\x1b[1m%41.jpg"
    Path(os.fsdecode(raw)).write_bytes(JPEG)
    (source,) = expand([str(tmp_path)], LIMITS, DECODER).sources
    assert source.name == "caf\\xe9\\n\\x1b[1m%41.jpg"
    assert source.location.encode().isascii()
    assert read(source) == JPEG


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("http://", "has no host"),
        ("https:///x.jpg", "has no host"),
        ("http://[::1/x.jpg", "has no host"),
        ("ftp://x/y.jpg", "URLs begin with http:// or https://"),
        ("s3:///*.jpg", "names no bucket"),
        ("file:///x.jpg", "give files by path"),
    ],
)
def test_a_url_that_cannot_be_fetched_is_refused_before_anything_is_sent(
    wrong: str, said: str
) -> None:
    with pytest.raises(WrongUsage, match=said):
        expand([wrong], LIMITS, DECODER)


def test_a_url_in_capitals_is_also_a_url() -> None:
    (found,) = expand(["HTTPS://U.example/X.jpg?Sig=A:B"], LIMITS, DECODER).sources
    assert found.location == "https://U.example/X.jpg?Sig=A:B"


@linux_only
@given(st.binary(min_size=1, max_size=30).filter(lambda b: b"\0" not in b and b"/" not in b))
def test_every_name_survives_storage(raw: bytes) -> None:
    path = Path("/root-folder", os.fsdecode(raw))
    if path.name in ("", ".", ".."):
        return
    assert local_path(location.location_of(path)) == path
    shown = printable_name(path.name)
    assert shown.encode()
    assert "\n" not in shown


def test_right_to_left_overrides_in_names_have_no_effect(tmp_path: Path) -> None:
    put(tmp_path, "a\u202egpj.jpg")
    assert names(tmp_path) == ["a\\u202egpj.jpg"]


# --- duplicates


def test_equal_bytes_are_duplicates_of_the_first(tmp_path: Path) -> None:
    put(tmp_path, "1.jpg", "3.jpg", "deep/4.jpg")
    put(tmp_path, "2.jpg", data=JPEG.replace(b"photo", b"PHOTO"))
    put(tmp_path, "5.jpg", data=JPEG + b"!")
    found = expand([str(tmp_path), str(tmp_path / "5.jpg")], LIMITS, DECODER).sources
    assert [s.name for s in found] == ["1.jpg", "2.jpg", "3.jpg", "5.jpg", "deep/4.jpg", "5.jpg"]
    assert content_twins(found) == {2: 0, 4: 0, 5: 3}


def test_a_page_is_a_duplicate_only_of_the_same_page_of_a_copy(tmp_path: Path) -> None:
    pages = [Image.new("L", (40, 40), 9) for _ in range(2)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    (tmp_path / "b.tif").write_bytes((tmp_path / "a.tif").read_bytes())
    found = expand([str(tmp_path)], LIMITS, DECODER).sources
    assert [s.name for s in found] == ["a.tif[1]", "a.tif[2]", "b.tif[1]", "b.tif[2]"]
    assert content_twins(found) == {2: 0, 3: 1}


def test_only_files_of_equal_size_are_sampled_and_only_similar_ones_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = JPEG + bytes(5 * duplicates.SAMPLE_BYTES)
    put(tmp_path, "1.jpg", "2.jpg", data=long)
    put(tmp_path, "3.jpg", data=long[:-1] + b"!")
    put(tmp_path, "4.jpg", data=JPEG.replace(b"photo", b"PHOTO") + long[len(JPEG) :])
    put(tmp_path, "5.jpg", data=long + b"!")
    looked: list[str] = []
    whole: list[str] = []
    sampled, hashed = local_files.samples, duplicates._hash

    def look(
        wanted: Sequence[tuple[Place, Sequence[int]]], length: int
    ) -> Iterator[list[bytes] | None]:
        looked.extend(at.name for at, _ in wanted)
        return sampled(wanted, length)

    def hash_whole(at: str, root: str | None) -> str | None:
        whole.append(Path(at).name)
        return hashed(at, root)

    monkeypatch.setattr(local_files, "samples", look)
    monkeypatch.setattr(duplicates, "_hash", hash_whole)
    assert content_twins(expand([str(tmp_path)], LIMITS, DECODER).sources) == {1: 0}
    assert sorted(looked[:4]) == ["1.jpg", "2.jpg", "3.jpg", "4.jpg"]
    assert sorted(looked[4:]) == ["1.jpg", "2.jpg", "3.jpg"]
    assert whole == ["1.jpg", "2.jpg"]


@pytest.mark.parametrize("place", [0, 17 * 1024, 40 * 1024, 63 * 1024])
def test_files_of_equal_size_that_differ_anywhere_are_not_duplicates(
    tmp_path: Path, place: int
) -> None:
    data = bytearray(64 * 1024)
    data[:3] = JPEG[:3]
    put(tmp_path, "1.jpg", data=bytes(data))
    data[place + 3] = 1
    put(tmp_path, "2.jpg", data=bytes(data))
    assert content_twins(expand([str(tmp_path)], LIMITS, DECODER).sources) == {}


def test_a_good_file_is_not_a_duplicate_of_one_that_fails(tmp_path: Path) -> None:
    put(tmp_path, "given/b.jpg", "given/c.jpg", "elsewhere/a.jpg")
    (tmp_path / "given/a.jpg").symlink_to(tmp_path / "elsewhere/a.jpg")
    found = expand([str(tmp_path / "given")], LIMITS, DECODER).sources
    assert content_twins(found) == {2: 1}
    (tmp_path / "given/b.jpg").unlink()
    assert content_twins(found) == {}


def test_the_same_url_twice_is_a_duplicate() -> None:
    found = expand(
        ["https://a.example/x", "https://a.example/y", "https://a.example/x"], LIMITS, DECODER
    )
    assert content_twins(found.sources) == {2: 0}


@pytest.mark.parametrize("part", ["x/" * 3_000, "\x9b" * 4_000, "x" * 8_000])
def test_a_long_path_is_refused_in_a_short_sentence(part: str) -> None:
    with pytest.raises(WrongUsage) as refused:
        expand([f"/nowhere/{part}"], LIMITS, DECODER)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 1_000
