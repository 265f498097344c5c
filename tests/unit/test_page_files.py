"""The page's static files: what they may do, that they fit together, and what they calculate."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from core.answers.json_schema import check
from core.jobs import JobSpec
from overstory.api.pages import POLICY, static_files

FILES = static_files()
SCRIPTS = {name: file.content.decode() for name, file in FILES.items() if name.endswith(".js")}
IMPORT = re.compile(r'^import (?:\{ (.*) \} from )?"\./(\w+\.js)";$', re.MULTILINE)
EXPORT = re.compile(r"^export (?:const|let|class|async function|function) (\w+)", re.MULTILINE)
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="no node")


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    """The modules in one folder, as a browser sees them."""
    for name, text in SCRIPTS.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    return tmp_path


def node(folder: Path, program: str, *options: str) -> Any:
    """What ``program`` prints, as JSON. It has as much of a browser as the modules want at once."""
    stubs, path = folder / "stubs.js", folder / "program.js"
    stubs.write_text(
        "Object.assign(globalThis, { addEventListener() {}, sessionStorage: { getItem() {} } });"
    )
    path.write_text(program)
    words = ["node", *options, "--import", str(stubs), str(path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_nothing_is_loaded_from_elsewhere_and_nothing_runs_that_is_not_a_file() -> None:
    assert "default-src 'none'" in POLICY
    assert "unsafe" not in POLICY
    assert "frame-ancestors 'none'" in POLICY
    for name, file in FILES.items():
        text = file.content.decode()
        addresses = set(re.findall(r"https?://[^\"'\s)]+", text))
        assert addresses <= {"http://www.w3.org/2000/svg"}, name
        assert "@import" not in text, name


def test_no_script_parses_text_as_html_or_as_a_script() -> None:
    words = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(")
    assert [(n, w) for n, text in SCRIPTS.items() for w in words if w in text] == []


def test_every_import_is_exported_where_it_is_looked_for() -> None:
    missing = [
        (name, wanted, source)
        for name, text in SCRIPTS.items()
        for names, source in IMPORT.findall(text)
        for wanted in filter(None, names.split(", "))
        if wanted not in EXPORT.findall(SCRIPTS.get(source, ""))
    ]
    assert missing == []


def test_every_element_that_a_script_asks_for_is_in_a_document() -> None:
    folders = [Path("overstory/api/page"), Path("overstory/report")]
    root = Path(__file__).parents[2]
    markup = "".join(path.read_text() for f in folders for path in (root / f).glob("*.html"))
    ids = set(re.findall(r'\bid="([\w-]+)"', markup))
    wanted = {one for text in SCRIPTS.values() for one in re.findall(r'byId\("([\w-]+)"\)', text)}
    assert wanted <= ids | {"data"}


@needs_node
def test_every_module_is_a_program(modules: Path) -> None:
    program = f"""
import {{ SourceTextModule }} from "node:vm";
const wrong = [];
for (const [identifier, text] of Object.entries({json.dumps(SCRIPTS)})) {{
  try {{ new SourceTextModule(text, {{ identifier }}); }}
  catch (error) {{ wrong.push(error.stack); }}
}}
console.log(JSON.stringify(wrong));"""
    assert node(modules, program, "--experimental-vm-modules") == []


@needs_node
def test_a_large_file_has_the_same_hash_in_pieces(modules: Path) -> None:
    data = os.urandom(70_001)
    (modules / "data").write_bytes(data)
    sizes = [0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 70_001]
    program = f"""
import {{ Sha256 }} from "./sha256.js";
import {{ readFileSync }} from "node:fs";
const data = new Uint8Array(readFileSync({json.dumps(str(modules / "data"))}));
console.log(JSON.stringify({sizes}.map((size) => {{
  const hash = new Sha256();
  for (let at = 0; at < size; at += 97) hash.update(data.subarray(at, Math.min(at + 97, size)));
  return hash.hex();
}})));"""
    assert node(modules, program) == [hashlib.sha256(data[:size]).hexdigest() for size in sizes]


COLUMNS = [
    {"name": "colour", "type": "text", "choices": "", "about": "the colour that covers most"},
    {"name": "width", "type": "number", "choices": "", "about": ""},
    {"name": "sharp", "type": "boolean", "choices": "", "about": ""},
    {"name": "state", "type": "choice", "choices": "new, worn,, broken", "about": ""},
    {"name": "taken", "type": "date", "choices": "", "about": ""},
    {"name": " ", "type": "text", "choices": "", "about": ""},
]


@needs_node
@pytest.mark.parametrize("asks", [{"each": "Which?"}, {"ask": "Which?"}])
def test_the_form_of_columns_makes_a_schema_that_a_job_takes(
    modules: Path, asks: dict[str, str]
) -> None:
    each = json.dumps("each" in asks)
    program = f"""
import {{ schemaOf }} from "./columns.js";
console.log(JSON.stringify(schemaOf({json.dumps(COLUMNS)}, {each})));"""
    schema = node(modules, program)
    check(schema)
    spec = JobSpec.model_validate({"images": ["a.jpg"], "schema": schema, **asks})
    assert list(schema["properties"]) == ["colour", "width", "sharp", "state", "taken"]
    assert schema["properties"]["colour"]["description"] == "the colour that covers most"
    assert [one for one in schema["properties"]["state"]["enum"] if one] == [
        "new",
        "worn",
        "broken",
    ]
    assert spec.schema_text is not None


@needs_node
def test_every_leaf_of_a_large_tree_has_a_place_of_its_own(modules: Path) -> None:
    for leaves, width in ((1, 300), (40, 300), (6_000, 1_000), (6_000, 300)):
        program = f"""
import {{ layout }} from "./levels.js";
const spans = [Array.from({{ length: {leaves} }}, (_, i) => [i + 1, i + 1]), [[1, {leaves}]]];
console.log(JSON.stringify(layout(["w".repeat({leaves}), "w"], spans, {width})));"""
        made = node(modules, program)
        below, above = made["places"]
        assert len({(x, y) for x, y, _, _ in below}) == leaves
        assert all(x >= 0 and x + w <= width and h >= 3 and w >= 1 for x, _, w, h in below)
        assert above[0][1] == 0 < min(y for _, y, _, _ in below)
        assert made["height"] < 1_000
