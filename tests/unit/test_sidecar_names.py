"""Names of files beside pictures: each picture has one of its own, and no picture is hit."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.reads.beside import ImagePlace
from overstory.export.captions import Caption
from overstory.export.sidecar_names import SidecarNames
from overstory.export.xmp import packet

LI = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}li"


def place(location: str, number: int = 1, page: int | None = None, **more: Any) -> ImagePlace:
    name = location.rpartition("/")[2]
    values = {"root": None, "duplicate_of": None, "unit": None, "name": name} | more
    return ImagePlace(position=number, location=location, page=page, **values)


def named(locations: Sequence[str], **options: Any) -> list[str | None]:
    images = [place(location, n) for n, location in enumerate(locations, start=1)]
    names = SidecarNames(images, ".txt", **options)
    targets = [names.target(image) for image in images]
    return [None if each is None else f"{each.folder}/{each.name}" for each in targets]


@pytest.mark.parametrize(
    ("locations", "wanted"),
    [
        (["/p/a.jpg", "/p/b.c.png"], ["/p/a.txt", "/p/b.c.txt"]),
        (["/p/a.jpg", "/p/a.png", "/q/a.jpg"], ["/p/a.jpg.txt", "/p/a.png.txt", "/q/a.txt"]),
        (["/p/a.jpg", "/p/A.png"], ["/p/a.jpg.txt", "/p/A.png.txt"]),  # one name on a Mac
        (["/p/a.jpg", "/p/a.jpg"], ["/p/a.txt", "/p/a.txt"]),  # the same file, given twice
        (["/p/a.txt"], ["/p/a.txt.txt"]),  # a picture that is called like a text
        (["/p/a.jpg", "/p/a.jpg.txt"], ["/p/a.txt", "/p/a.jpg.txt.txt"]),
        (["/p/a", "/p/a.jpg", "/p/a.txt"], ["/p/a-1.txt", "/p/a.jpg.txt", "/p/a.txt.txt"]),
        (["file-bytes:/p!/%FF.jpg"], ["/p!/\udcff.txt"]),
        (["https://h.org/a.jpg", "upload:me/00"], [None, None]),
        (["s3://bucket/a.jpg", "zip:/p/a.zip!/a.jpg"], [None, None]),
    ],
)
def test_each_picture_has_a_name_of_its_own(locations: list[str], wanted: list[str]) -> None:
    assert named(locations) == wanted


def test_a_picture_that_is_not_in_the_job_keeps_its_name_for_itself() -> None:
    beside = {"/p": ["a.jpg", "a.nef", "b.jpg"]}
    found = named(["/p/a.jpg", "/p/b.jpg"], pictures_in=lambda folder, root: beside[folder])
    assert found == ["/p/a.jpg.txt", "/p/b.txt"]


def test_full_names_are_never_shortened() -> None:
    assert named(["/p/a.jpg", "/p/b.png"], full=True) == ["/p/a.jpg.txt", "/p/b.png.txt"]


@pytest.mark.parametrize(
    ("images", "wanted"),
    [
        (
            [place("/p/x/a.jpg", 1, root="/p"), place("/p/b.jpg", 2, root="/p")],
            ["x/a.txt", "/b.txt"],
        ),
        ([place("/in/p/a.jpg", 1, root="/in//p")], ["/a.txt"]),
        ([place("/p/a.jpg", 1), place("/q/r/a.jpg", 2)], ["p/a.txt", "q/r/a.txt"]),
        ([place("/p/s.pdf", n, page=n) for n in (1, 2)], ["/s.pdf-1.txt", "/s.pdf-2.txt"]),
        (
            [place("https://h.org/x/../../a%2Fb.jpg"), place("https://h.org/a/b.jpg", 2)],
            ["h.org/x/a/b.txt", "h.org/a/b.txt"],
        ),
        (
            [place("https://h.org/b.jpg?k=1", 1), place("https://h.org/b.jpg?k=2", 2)],
            ["h.org/b.jpg.txt", "h.org/b.jpg-2.txt"],
        ),
        ([place("s3://bucket/2024/a.jpg")], ["bucket/2024/a.txt"]),
        ([place("zip:/p/set.zip!/in/../a.jpg")], ["set.zip/in/a.txt"]),
        ([place("upload:me/00ff", name="mine/a.jpg")], ["mine/a.txt"]),
        ([place("https://h.org/")], ["h.org/image.txt"]),
        ([place('https://h.org/..%5c..%5Cx:"%0a.jpg')], ["h.org/_.._x___n.txt"]),
    ],
)
def test_below_another_folder_the_structure_is_mirrored(
    images: list[ImagePlace], wanted: list[str]
) -> None:
    names = SidecarNames(images, ".txt", into=True)
    targets = [names.target(image) for image in images]
    assert [f"{each.folder}/{each.name}" for each in targets if each] == wanted
    assert all(each.original is None for each in targets if each)
    assert names.shared == (2 if "h.org/b.jpg.txt" in wanted else 0)


PART = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/"), min_size=1)


@given(
    st.lists(st.sampled_from(["/p/a", "/p/A", "/p/a.jpg", "/p/a.txt", "/p/a.jpg.txt", "/p/a-1"]))
)
def test_no_two_files_share_a_sidecar_and_no_picture_is_one(locations: list[str]) -> None:
    found = named(locations)
    assert not {name.casefold() for name in found if name} & {each.casefold() for each in locations}
    of = {}
    for location, name in zip(locations, found, strict=True):
        assert name is not None
        assert of.setdefault(name.casefold(), location) == location


@given(st.lists(PART, min_size=1))
def test_no_url_leads_out_of_the_folder(parts: list[str]) -> None:
    image = place("https://host/" + "/".join(parts))
    target = SidecarNames([image], ".xmp", into=True).target(image)
    assert target is not None
    whole = [*target.folder.split("/"), target.name]
    assert not {"..", "."} & set(whole)
    assert not target.folder.startswith("/")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("a ]]> <b> & \"c\" 'd'", None),
        ("first\r\nsecond\rthird", "first\nsecond\nthird"),
        ("\0a\x1b[31mb\ufffe\x7f", "a[31mb\x7f"),
        ("\U0001f426 žluť 日本", None),
        ("x" * 100_000, None),
        ("\ud800", ""),
    ],
)
def test_a_packet_is_xml_whatever_is_said(text: str, read: str | None) -> None:
    wanted = text if read is None else read
    parsed = ET.fromstring(packet(Caption(f"<{text}", "T", (f"k{text}", "second"))))
    assert [each.text for each in parsed.iter(LI)] == [f"<{wanted}", "T", f"k{wanted}", "second"]
