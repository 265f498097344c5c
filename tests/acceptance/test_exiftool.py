"""Sidecars by the real command, read back by exiftool: the judge that photo programs agree with."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from overstory.export.captions import Caption
from overstory.export.xmp import packet
from tests.support.command import Person

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(not shutil.which("npm"), reason="npm is not on this machine"),
    pytest.mark.skipif(not shutil.which("perl"), reason="perl is not on this machine"),
]
PACKAGE = Path(__file__).with_name("exiftool")
BUILD = Path(__file__).parents[2] / "build" / "exiftool"
SCHEMA = {
    "type": "object",
    "properties": {
        "description": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["description", "tags"],
    "additionalProperties": False,
}
SAID = 'a ]]> <b> & "c"\nžluť 日本 \U0001f426 ' + "x" * 100_000


def read_back(*files: Path) -> list[dict[str, Any]]:
    """What exiftool finds in files."""
    BUILD.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(PACKAGE / name, BUILD)
    install = ["npm", "ci", "--no-audit", "--no-fund"]
    installed = subprocess.run(install, cwd=BUILD, capture_output=True, text=True)
    assert installed.returncode == 0, installed.stderr
    tool = BUILD / "node_modules" / "exiftool-vendored.pl" / "bin" / "exiftool"
    asked = ["perl", tool, "-j", "-validate", "-XMP-dc:all", *files]
    ran = subprocess.run(asked, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    found: list[dict[str, Any]] = json.loads(ran.stdout)
    return found


def test_exiftool_reads_what_the_command_wrote(person: Person, make_images) -> None:
    photos = make_images(3)
    before = {path: hashlib.sha256(path.read_bytes()).digest() for path in photos.iterdir()}
    (person.folder / "schema.json").write_text(json.dumps(SCHEMA))
    asked = ("--each", "What is it?", "--schema", "schema.json", "--json")
    ran = person.say("run", photos, *asked, "--yes")
    assert ran.status == 0, ran.err
    hostile = photos / "hostile.xmp"
    hostile.write_text(packet(Caption(SAID, "T & t", ("one, two", "three"))), "utf-8")
    said = person.say("export", "last", "--sidecar", "xmp")
    assert (said.status, said.err) == (0, "sidecars: 3 .xmp files written\n")
    assert {path: hashlib.sha256(path.read_bytes()).digest() for path in before} == before
    answers = [image["answer"] for image in ran.result["images"]]
    files = [path.with_suffix(".xmp") for path in sorted(before)]
    *found, odd = read_back(*files, hostile)
    assert [each["Description"] for each in found] == [each["description"] for each in answers]
    subjects = [each["Subject"] for each in found]
    tags = [list(dict.fromkeys(each["tags"])) for each in answers]
    assert [each if isinstance(each, list) else [each] for each in subjects] == tags
    assert {each["Validate"] for each in [*found, odd]} == {"OK"}
    assert (odd["Description"], odd["Title"], odd["Subject"]) == (
        SAID,
        "T & t",
        ["one, two", "three"],
    )
