"""The report page: data stays in its island, and only our own code runs."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re

import pytest

from core.errors import WrongUsage
from core.states import NodeKind
from models.reads.parts import Moments
from overstory.report.command import check_writable
from overstory.report.page import island, page
from overstory.report.pictures import PICTURES_MAX, size_for
from overstory.report.timeline import lanes

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "]]>",
    '" onload="x',
    "&lt;\u2028\u2029",
    "\udce9 surrogate",
    "@@SCRIPT@@",
    "\x00\x1b[31m",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_leaves_the_island(text: str) -> None:
    made = island({"ask": text})
    assert not set("<>&") & set(made)
    assert made.isascii()
    assert json.loads(made) == {"ask": text}


def test_the_page_holds_one_island_and_no_placeholder() -> None:
    made = page({"ask": HOSTILE})
    found = re.findall(r'<script type="application/json" id="data">(.*?)</script>', made, re.DOTALL)
    assert [json.loads(each) for each in found] == [{"ask": HOSTILE}]
    assert "@@" not in made.replace(found[0], "")


def test_the_policy_allows_only_our_style_and_script_by_hash() -> None:
    made = page({"ask": "?"})
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', made)
    assert policy is not None
    for tag in ("style", "script"):
        inside = re.findall(rf"<{tag}>(.*?)</{tag}>", made, re.DOTALL)
        assert len(inside) == 1
        digest = base64.b64encode(hashlib.sha256(inside[0].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy[1]
    assert "default-src 'none'" in policy[1]
    assert "unsafe" not in policy[1]


def test_the_page_contains_no_url_except_the_svg_namespace() -> None:
    assert set(re.findall(r"https?://[^\"'\s)]+", page({}))) <= {"http://www.w3.org/2000/svg"}


def test_the_script_never_parses_text_as_html() -> None:
    made = page({})
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert word not in made


def test_the_more_pictures_the_smaller_they_are() -> None:
    sizes = [size_for(count).side for count in (1, 200, 700, 1_500, 5_000, PICTURES_MAX)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 96


def test_every_stage_with_events_has_a_lane() -> None:
    moments = [
        Moments("image.prepared", None, 0, 2, 10.5, 10.6),
        Moments("image.prepared", None, 95, 1, 14.9, 14.9),
        Moments("node.done", NodeKind.LEAF, 50, 1, 13.0, 13.0),
        Moments("node.done", NodeKind.BRANCH, 60, 1, 14.0, 14.0),
    ]
    made = lanes(moments, 10.0)
    assert [(lane.name, lane.total, lane.first, lane.last) for lane in made] == [
        ("Prepare", 3, 0.5, pytest.approx(4.9)),
        ("Summarise", 1, 4.0, 4.0),
    ]
    assert (made[0].bins[0], made[0].bins[95], sum(made[0].bins)) == (2, 1, 3)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("", "is a folder"),
        ("nowhere/r.html", "does not exist"),
        ("file/r.html", "does not exist"),
        ("pipe", "is a device or a pipe"),
    ],
)
def test_an_unwritable_report_path_is_refused_before_anything_is_paid(
    tmp_path, name, sentence
) -> None:
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(WrongUsage, match=sentence):
        check_writable(tmp_path / name)


def test_checking_a_writable_path_leaves_it_unchanged(tmp_path) -> None:
    check_writable(tmp_path / "new.html")
    (tmp_path / "old.html").write_text("old")
    check_writable(tmp_path / "old.html")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["old.html"]
    assert (tmp_path / "old.html").read_text() == "old"
