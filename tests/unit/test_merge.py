"""Merge rules: combine the records of images, in any order and with gaps."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.answers.json_schema import validator
from core.answers.merge import computed, merged, record_schema, rule_of, words_schema
from core.errors import WrongUsage
from core.jobs import JobSpec

INTEGER = {"type": "integer"}
NUMBER = {"type": "number"}
NAMES = {"type": "array", "items": {"type": "string"}}


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def fold(schema: dict[str, Any], *values: Any) -> Any:
    return merged(rule_of(of(x=schema)), [{"x": value} for value in values]).get("x")


@pytest.mark.parametrize(
    ("schema", "values", "expected"),
    [
        (INTEGER, [1, 2, None, 4], 7),
        (INTEGER, [2.0, 1], 3),
        (INTEGER, [None], 0),
        (NUMBER, [0.1, 0.2], 0.3),
        (NUMBER, [1, 2], 3),
        (NUMBER, [1e-9, 1e9], 1000000000.000000001),
        (NUMBER | {"x-merge": "min"}, [3, None, 2.5], 2.5),
        (NUMBER | {"x-merge": "max"}, [3, 2.5], 3),
        (NUMBER | {"x-merge": "max"}, [None], None),
        (NUMBER | {"x-merge": "mean"}, [1, 2, None, 6], 3),
        (INTEGER | {"x-merge": "mean"}, [1, 2, 2], 2),
        ({"type": "string", "x-merge": "min"}, ["2026-03", "2025-12"], "2025-12"),
        ({"type": "boolean"}, [False, None, True], True),
        ({"type": "boolean"}, [None], False),
        ({"type": "boolean", "x-merge": "all"}, [True, False], False),
        ({"type": "boolean", "x-merge": "all"}, [True, None], True),
        (NAMES, [["a"], None, ["b", "a"]], ["a", "b", "a"]),
        (NAMES, [None], []),
        (NAMES | {"uniqueItems": True}, [["a"], ["b", "a"]], ["a", "b"]),
        (NAMES | {"x-merge": "union"}, [["a"], ["a"]], ["a"]),
        (NAMES | {"x-merge": "first"}, [None, ["b"], ["a"]], ["b"]),
        (NAMES | {"x-merge": "last"}, [["b"], ["a"], None], ["a"]),
        ({"enum": ["a", "b"]}, ["b", "a", "b", None], "b"),
        ({"enum": ["a", "b"]}, ["b", "a"], "b"),
        ({"enum": [1, 2, 3]}, [3, 1, 1], 1),
        ({"const": "receipt"}, ["receipt", "receipt"], "receipt"),
        (INTEGER | {"x-merge": "most_common"}, [5, 4, 4], 4),
        ({"type": ["integer", "null"]}, [None], None),
        ({"anyOf": [INTEGER, {"type": "null"}]}, [1, 1], 2),
        (of(a=INTEGER, b=NAMES), [{"a": 1, "b": ["x"]}, {"a": 2}, None], {"a": 3, "b": ["x"]}),
        (
            {"type": "object", "additionalProperties": NUMBER},
            [{"tea": 1.5}, {"tea": 2, "milk": 1}],
            {"tea": 3.5, "milk": 1},
        ),
    ],
)
def test_a_rule_merges_the_images_values(schema: Any, values: list[Any], expected: Any) -> None:
    assert fold(schema, *values) == expected


@given(st.lists(st.decimals(-1000, 1000, places=2), min_size=1, max_size=30))
def test_money_adds_up_to_the_cent(amounts: list[Any]) -> None:
    assert fold(NUMBER, *[float(each) for each in amounts]) == float(sum(amounts))


@given(st.lists(st.none() | st.integers(-5, 5), max_size=20), st.randoms())
def test_the_order_of_images_changes_no_count(values: list[Any], random: Any) -> None:
    mixed = random.sample(values, len(values))
    for rule in ("add", "min", "max", "mean"):
        assert fold(INTEGER | {"x-merge": rule}, *values) == fold(
            INTEGER | {"x-merge": rule}, *mixed
        )


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "array", "items": INTEGER}, "must be an object"),
        (of(x={"type": "string", "x-merge": "add"}), "does not fit the type string"),
        (of(x=INTEGER | {"x-merge": "sum"}), "unknown x-merge 'sum'"),
        (of(x={}), "x needs a single type"),
        (of(x={"type": ["integer", "string"]}), "x needs a single type"),
        (
            of(x={"type": "object", "additionalProperties": {"type": "string"}}),
            "additionalProperties of type string",
        ),
        (of(x={"type": "string", "x-image": True}), "type integer"),
        (of(x={"$ref": "#/$defs/Nothing"}), "refers to nothing"),
        (of(x={"$ref": "https://example.com/a.json"}), "refers to nothing"),
        (of(x={"$id": "https://example.com/a"}), "$id is not supported"),
        ({"type": "object", "properties": {}}, "no properties"),
        ({"type": "objekt"}, "$.type"),
        ({**of(x={"$ref": "#/$defs/A"}), "$defs": {"A": {"$ref": "#/$defs/A"}}}, "cycle"),
        ({**of(x={"$ref": "#"})}, "deeper than"),
    ],
)
def test_a_schema_that_cannot_be_merged_is_refused_with_its_path(schema: Any, words: str) -> None:
    with pytest.raises(WrongUsage) as refused:
        JobSpec(images=["x"], ask="?", schema=schema)
    assert words in str(refused.value)


WHOLE = {
    **of(
        total=NUMBER | {"minimum": 100},
        best=INTEGER | {"x-image": True, "x-merge": "last"},
        items={"type": "array", "minItems": 3, "items": {"$ref": "#/$defs/Item"}},
        shop=of(name={"type": "string", "maxLength": 20, "description": "the shops"}),
        summary={"type": "string", "minLength": 50},
    ),
    "required": ["total", "summary"],
    "$defs": {"Item": of(label={"type": "string"}, image=INTEGER | {"x-image": True})},
}


def test_a_records_schema_has_every_property_but_not_the_sets_bounds() -> None:
    asked = record_schema(rule_of(WHOLE), strict=True)
    assert asked["required"] == ["total", "items", "shop", "summary"]
    assert "best" not in asked["properties"]
    kept = validator({**record_schema(rule_of(WHOLE), strict=False), "$defs": WHOLE["$defs"]})
    assert kept.is_valid({"total": 1.5})
    assert kept.is_valid({"total": None, "items": [{"label": "tea"}], "summary": "x"})
    assert not kept.is_valid({})
    assert not kept.is_valid({"total": "1.5"})
    assert not kept.is_valid({"total": 1, "grand_total": 2})


def test_only_texts_are_merged_by_the_model() -> None:
    words = words_schema(rule_of(WHOLE))
    assert list(words["properties"]) == ["shop", "summary"]
    assert words["properties"]["shop"]["required"] == ["name"]
    made = merged(
        rule_of(WHOLE),
        [{"total": 60, "best": 1}, {"total": 50, "best": 2}],
        {"summary": "Two shops.", "shop": {"name": "Café"}, "total": 999},
    )
    assert made == {
        "total": 110, "best": 2, "items": [], "shop": {"name": "Café"}, "summary": "Two shops.",
    }  # fmt: skip


def test_the_model_gets_numbers_but_no_long_list() -> None:
    rule = rule_of(WHOLE)
    told = computed(rule, [{"total": 60, "items": [{"label": "a"}, {"label": "b"}]}])
    assert told == {"total": 60, "number of items": 2, "shop": {}}
