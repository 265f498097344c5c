"""Totals of answers, and schemas from files and from Pydantic models."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest

from core.answers.totals import totals
from core.errors import WrongUsage
from overstory.schema_option import load_schema, schema_of

SCHEMA = {
    "type": "object",
    "properties": {
        "shop": {"type": "object", "properties": {"total": {"type": "number"}}},
        "kind": {"enum": ["meal", "taxi"]},
        "paid": {"type": "boolean"},
        "note": {"type": "string"},
        "image": {"type": "integer", "x-image": True},
    },
}


def test_only_numbers_and_choices_are_counted() -> None:
    answers = [
        {"shop": {"total": 0.1}, "kind": "meal", "paid": True, "note": "x", "image": 1},
        {"shop": {"total": 0.2}, "kind": "meal", "paid": False, "image": 2},
        {"shop": None, "kind": "taxi", "image": 3},
    ]
    assert totals(SCHEMA, answers) == {
        "shop.total": {"count": 2, "sum": 0.3, "min": 0.1, "max": 0.2},
        "kind": {"counts": {"meal": 2, "taxi": 1}},
        "paid": {"counts": {"false": 1, "true": 1}},
    }
    assert totals(SCHEMA, [])["shop.total"] == {"count": 0, "sum": 0, "min": None, "max": None}


MODEL = """
from pydantic import BaseModel, Field

class Receipt(BaseModel):
    total: float
    image: int = Field(json_schema_extra={"x-image": True})
"""


def test_a_schema_is_a_file_or_a_pydantic_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "shape.json").write_text(json.dumps(SCHEMA))
    (tmp_path / "receipts_model.py").write_text(MODEL)
    assert load_schema("shape.json") == SCHEMA
    assert load_schema("receipts_model:Receipt")["properties"]["image"]["x-image"] is True
    assert schema_of(SCHEMA) is SCHEMA


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("none.json", "cannot be read"),
        ("text.json", "is not valid JSON"),
        ("list.json", "must hold a JSON object"),
        ("no_such_module:Model", "cannot be imported"),
        ("json:nothing", "cannot be imported"),
        ("json:dumps", "neither a JSON Schema nor a pydantic model"),
    ],
)
def test_an_invalid_schema_gives_one_sentence(
    given: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.json").write_text("this is a text")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(WrongUsage, match=words):
        load_schema(given)


PERSONS = {
    "tasks.py": "import models\nReceipt = models.Receipt\n",
    "models.py": f"from shapes import Money\n{MODEL}    paid: Money\n",
    "shapes.py": "from pydantic import BaseModel\n\nclass Money(BaseModel):\n    euros: float\n",
    "core/__init__.py": "",
    "core/receipts.py": "from .parts import Receipt\n",
    "core/parts.py": MODEL,
    "queue.py": "from models import Receipt\n",
    "broken.py": "1 / 0\n",
    "script.py": "import sys\nsys.exit(3)\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person's folder, with names that our packages and the standard library have too."""
    for name, text in PERSONS.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("module", ["tasks", "models", "core.receipts", "core.parts"])
def test_a_model_beside_names_of_ours_is_loaded_and_ours_stay(module: str, folder: Path) -> None:
    path, loaded = list(sys.path), dict(sys.modules)
    properties = load_schema(f"{module}:Receipt")["properties"]
    assert properties["image"]["x-image"] is True
    assert sys.path == path
    assert {name: sys.modules[name] for name in loaded} == loaded
    assert not [m for m in sys.modules.values() if str(folder) in str(getattr(m, "__file__", ""))]
    assert importlib.import_module("models.claims").__file__ != str(folder / "models.py")
    assert importlib.import_module("tasks.upkeep.prune").__file__


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("broken:Receipt", "ZeroDivisionError"),
        ("script:Receipt", "SystemExit"),
        ("models:Invoice", "Invoice"),
        ("tasks.submit:Receipt", "not a package"),
    ],
)
def test_a_module_that_fails_is_one_sentence(given: str, words: str, folder: Path) -> None:
    path, loaded = list(sys.path), dict(sys.modules)
    with pytest.raises(WrongUsage, match=words):
        load_schema(given)
    assert sys.path == path
    assert {name: sys.modules[name] for name in loaded} == loaded
