"""Totals of answers, and schemas from files and from Pydantic models."""

from __future__ import annotations

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
