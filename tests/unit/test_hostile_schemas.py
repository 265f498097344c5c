"""Schemas and replies that are small to write and large to work on: refused soon, with a reason."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from core.answers.json_schema import PROPERTIES_MAX, Schema, fill_positions, validator
from core.answers.spec import AnswerSpec, faults, parts_of, totals_of
from core.answers.validation import DEPTH_MAX, FAULTS_MAX, STEPS_MAX, Steps
from core.errors import WrongUsage
from core.jobs import parse_spec
from core.requests.set_summary import check_texts
from core.text.json_replies import entries

SECONDS = 4.0
"""What is not bounded takes minutes, and what is a tenth of this, also beside other work."""
TEXT: Schema = {"type": "string"}
POSITIONS = {number: number for number in range(1, 61)}


def an(**properties: Any) -> Schema:
    return {"type": "object", "properties": properties}


def with_defs(schema: Schema, **defs: Any) -> Schema:
    return {**schema, "$defs": defs}


def ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def expanding(levels: int = 6, wide: int = 20) -> Schema:
    """Each level refers to the next one so many times: wide ** levels places."""
    defs = {f"d{n}": an(**{f"p{w}": ref(f"d{n + 1}") for w in range(wide)}) for n in range(levels)}
    return with_defs(an(a=ref("d0")), **defs, **{f"d{levels}": an(x={"type": "integer"})})


def nested(levels: int) -> Schema:
    schema: Schema = TEXT
    for _ in range(levels):
        schema = an(a=schema)
    return schema


def in_place(levels: int) -> Schema:
    """Each schema applies the next one twice to the same value."""
    defs = {f"d{n}": {"allOf": [ref(f"d{n + 1}")] * 2} for n in range(levels)}
    return with_defs(an(a=ref("d0")), **defs, **{f"d{levels}": TEXT})


def quick(call: Callable[[], Any], seconds: float = SECONDS) -> Any:
    began = time.process_time()
    result = call()
    assert time.process_time() - began < seconds
    return result


def submitted(schema: Schema, **question: str) -> Any:
    return parse_spec({"images": ["a.jpg"], "schema": schema, **(question or {"each": "?"})})


REFUSED: list[tuple[str, Schema, str]] = [
    ("400 levels", nested(400), "nested deeper than 64 levels"),
    ("100,000 levels", nested(100_000), "nested deeper than 64 levels"),
    ("a long description", with_defs(
        an(**{f"p{n}": ref("d") for n in range(1_000)}), d={**TEXT, "description": "x" * 50_000}
    ), "more than 20,000 places"),
    ("a long choice", with_defs(
        an(**{f"p{n}": ref("d") for n in range(1_000)}), d={"enum": ["x" * 50_000]}
    ), "more than 20,000 places"),
    ("many places", an(a={"allOf": [{}] * 3_000}), "more than 2,000 places"),
    ("many properties", an(**{f"p{n}": {} for n in range(PROPERTIES_MAX + 1)}),
     "properties has more than 1,000 properties"),
    ("many choices", an(a={"enum": list(range(6_000))}), "more than 5,000 values"),
    ("many characters", an(a={"description": "x" * 100_001}), "more than 100,000 characters"),
    ("a cycle", {"$ref": "#"}, "form a cycle"),
    ("a cycle of two", with_defs(an(a=ref("b")), b=ref("c"), c=ref("b")), "form a cycle"),
    ("a cycle in a choice", with_defs(an(a=ref("b")), b={"anyOf": [ref("b"), TEXT, {}]}),
     "form a cycle"),
    ("2 ** 20 at one value", in_place(20), "more than 1,000 schemas apply to one value"),
    ("a pattern with look-around", an(code={**TEXT, "pattern": "(?=a)b"}),
     r"\$\.properties\.code\.pattern: the pattern '\(\?=a\)b' cannot be used: look-around"),
    ("names with a back-reference", {**an(b=TEXT), "patternProperties": {r"(a)\1": {}}},
     r"\$\.patternProperties: .* back-references"),
    ("a pattern outside of the schema", {**an(a={"$ref": "#/x-hidden"}), "x-hidden": {}},
     "does not refer to a schema"),
    ("a hidden place", {**an(a={"$ref": "#/default/0"}), "default": [{"pattern": "(?=a)"}]},
     "does not refer to a schema"),
    ("large patterns", an(**{f"p{n}": {"pattern": f"\\p{{L}}{{20}}{n}"} for n in range(99)}),
     "patterns are too large together"),
    ("another dialect inside",
     an(a={"$schema": "http://json-schema.org/draft-07/schema#", "pattern": "^(a+)+$"}),
     r"\$schema is only supported at the top"),
    ("not a number", an(a={"multipleOf": float("nan")}), "NaN"),
    ("a required object", {**an(a=TEXT), "required": [{}] * 6_000}, "is not of type 'string'"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "reason"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
@pytest.mark.parametrize("question", ["each", "ask"])
def test_a_hostile_schema_is_refused_at_once(schema: Schema, reason: str, question: str) -> None:
    def submit() -> None:
        with pytest.raises(WrongUsage, match=reason) as refused:
            submitted(schema, **{question: "?"})
        assert len(str(refused.value)) < 1_000

    quick(submit, 0.5)


@pytest.mark.parametrize("question", ["each", "ask"])
def test_references_that_expand_are_refused_in_milliseconds(question: str) -> None:
    schema = expanding()
    submitted(an(a=TEXT))  # jsonschema is loaded
    with pytest.raises(WrongUsage, match="places"):
        quick(lambda: submitted(schema, **{question: "?"}), 0.3)


LARGE: list[tuple[str, Schema]] = [
    ("1,000 properties", an(**{f"property_{n}": TEXT for n in range(1_000)})),
    ("600 optional properties",
     an(**{f"p{n}": {"anyOf": [TEXT, {"type": "null"}], "title": "P"} for n in range(600)})),
    ("5,000 choices", an(a={"enum": [f"choice {n}" for n in range(5_000)]})),
    ("30 levels", nested(30)),
    ("a part used 200 times", with_defs(
        an(**{f"p{n}": ref("d") for n in range(200)}),
        d=an(**{f"q{n}": TEXT for n in range(10)}),
    )),
    ("a tree", with_defs(an(top=ref("n")),
                         n=an(name=TEXT, below={"type": "array", "items": ref("n")}))),
    ("a binary tree", with_defs(an(top=ref("n")), n=an(name=TEXT, left=ref("n"), right=ref("n")))),
    ("900 patterns", an(**{f"p{n}": {**TEXT, "pattern": f"^x{n}$"} for n in range(900)})),
    ("a part beside another", an(a=an(x=TEXT), b={"$ref": "#/properties/a"})),
]  # fmt: skip


@pytest.mark.parametrize("schema", [row[1] for row in LARGE], ids=[row[0] for row in LARGE])
def test_a_large_schema_of_honest_people_is_taken(schema: Schema) -> None:
    assert quick(lambda: submitted(schema, each="?")).schema_ == schema


# --- replies


def doubled() -> Schema:
    """A value nested n deep is visited 2 ** n times: a text of a few lines, and not bounded."""
    part = an(a=ref("n"))
    return with_defs(an(a=ref("n")), n={"allOf": [part, part]})


def deep(levels: int, key: str = "a") -> Any:
    value: Any = {}
    for _ in range(levels):
        value = {key: value}
    return value


ARRAY = {"type": "array"}
DOES_NOT_FIT: list[tuple[str, Schema, Any]] = [
    ("a million characters", an(a={**TEXT, "pattern": "^(a+)+$"}), {"a": "a" * 1_000_000 + "!"}),
    ("a name", {"type": "object", "patternProperties": {"^(a+)+$": TEXT},
                "additionalProperties": False}, {"a" * 1_000_000 + "!": "x"}),
    ("an unevaluated name",
     {"type": "object", "allOf": [{"patternProperties": {"^(a+)+$": TEXT}}],
      "unevaluatedProperties": False}, {"a" * 1_000_000 + "!": "x"}),
    ("a large pattern", an(a={**TEXT, "pattern": ".*a.{500}c"}), {"a": "ab" * 300_000}),
    ("20,000 errors", an(a={"anyOf": [{**ARRAY, "items": TEXT}, {"type": "null"}]}),
     {"a": [1] * 20_000}),
    ("20,000 errors that quote a long list",
     an(a={"anyOf": [{**ARRAY, "items": {"enum": list(range(5_000))}}]}), {"a": ["x"] * 20_000}),
    ("900 errors that quote a long value", an(a={"anyOf": [TEXT] * 900}),
     {"a": ["x" * 10] * 20_000}),
    ("equal objects", an(a={**ARRAY, "uniqueItems": True}),
     {"a": [*({"n": n} for n in range(20_000)), {"n": 0}]}),
    ("doubled at each level", doubled(), deep(40)),
    ("100,000 deep", an(a={}), {"a": deep(100_000)}),
    ("a number out of range", an(a={"multipleOf": 10**400}), {"a": 1.5}),
    ("unevaluated items", an(a={**ARRAY, "prefixItems": [TEXT], "unevaluatedItems": False}),
     {"a": ["x"] * 20_000}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "value"), [row[1:] for row in DOES_NOT_FIT], ids=[row[0] for row in DOES_NOT_FIT]
)
def test_a_hostile_value_does_not_fit_and_is_soon_found_not_to(schema: Schema, value: Any) -> None:
    submitted(schema)
    parts = parts_of(json.dumps(schema), folds=False)
    assert quick(lambda: parts.known_value(value, POSITIONS, 1)) is None


FITS: list[tuple[str, Schema, Any]] = [
    ("20,000 texts", an(a={**ARRAY, "items": TEXT}), {"a": ["x"] * 20_000}),
    ("20,000 choices of 5,000", an(a={**ARRAY, "items": {"enum": list(range(5_000))}}),
     {"a": [4_999] * 20_000}),
    ("20,000 objects that differ", an(a={**ARRAY, "uniqueItems": True}),
     {"a": [{"n": n} for n in range(20_000)]}),
    ("a million characters", an(a={**TEXT, "pattern": "^(a+)+$"}), {"a": "a" * 1_000_000}),
    ("30 levels", with_defs(an(a=ref("n")), n=an(a=ref("n"))), deep(30)),
    ("evaluated in a part", {"type": "object", "allOf": [an(a=TEXT)],
                             "unevaluatedProperties": False}, {"a": "x"}),
    ("evaluated behind a reference", with_defs(
        {"type": "object", "$ref": "#/$defs/b", "unevaluatedProperties": False}, b=an(a=TEXT)
    ), {"a": "x"}),
    ("unevaluated items that fit", an(a={**ARRAY, "contains": {"type": "integer"},
                                         "unevaluatedItems": TEXT}), {"a": [1, "x", 2]}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "value"), [row[1:] for row in FITS], ids=[row[0] for row in FITS]
)
def test_a_large_value_that_fits_is_taken(schema: Schema, value: Any) -> None:
    submitted(schema)
    parts = parts_of(json.dumps(schema), folds=False)
    assert quick(lambda: parts.known_value(value, POSITIONS, 1), 3.0) == value


def test_the_values_of_one_reply_share_their_work() -> None:
    schema = an(a={**ARRAY, "items": TEXT})
    parts = parts_of(json.dumps(schema), folds=False)
    work = Steps(STEPS_MAX // 10)
    value = {"a": ["x"] * 2_000}
    taken = [parts.known_value(value, POSITIONS, number, work) for number in range(1, 60)]
    assert taken[:3] == [value] * 3
    assert taken[-1] is None
    again = Steps(STEPS_MAX // 10)
    assert [parts.known_value(value, POSITIONS, n, again) for n in range(1, 60)] == taken


def test_equal_and_unequal_items_are_those_of_json() -> None:
    unique = validator({"uniqueItems": True})
    assert not unique.is_valid([1, 1.0])
    assert not unique.is_valid([{"a": [1]}, {"a": [1.0]}])
    assert unique.is_valid([1, True, "1", [1], {"a": 1}, None, [True]])
    choice = validator({"enum": [1, "a", [1, {"b": None}]]})
    assert [choice.is_valid(v) for v in (1.0, True, "a", [1.0, {"b": None}], [True])] == [
        True, False, True, True, False,
    ]  # fmt: skip


def test_a_reply_nested_100_000_deep_has_no_entry_there() -> None:
    text = '{"1": "a", "2": ' + "[" * 100_000 + "]" * 100_000 + "}"
    assert quick(lambda: entries(text)) == {"1": "a"}
    deepest = "[" * DEPTH_MAX + "]" * DEPTH_MAX
    assert list(entries(f'{{"1": {deepest}, "2": [{deepest}]}}')) == ["1"]


def test_the_faults_of_an_answer_are_few_and_short() -> None:
    schema = json.dumps(an(a={**ARRAY, "items": TEXT, "maxItems": 3}))
    lines = quick(lambda: faults(schema, {"a": [1] * 20_000}), 3.0)
    assert len(lines) == FAULTS_MAX + 1
    assert max(map(len, lines)) < 600


def test_texts_of_the_set_with_a_pattern_are_checked_in_linear_time() -> None:
    schema = an(summary={**TEXT, "pattern": "^(a+)+$"})
    checked = quick(lambda: check_texts({"summary": "a" * 100_000 + "!"}, schema, {1}, None))
    assert checked.reason == "form"


def test_positions_are_filled_into_many_objects_with_bounded_work() -> None:
    schema = an(a={**ARRAY, "items": an(**{f"p{n}": TEXT for n in range(900)})})
    parts = parts_of(json.dumps(schema), folds=False)
    assert quick(lambda: parts.known_value({"a": [{}] * 20_000}, POSITIONS, 1), 3.0) is None
    assert fill_positions(schema, schema, {"a": [{}] * 2}, 1) == {"a": [{}, {}]}


def test_a_stored_schema_with_a_pattern_that_is_now_refused_fits_no_value() -> None:
    schema = json.dumps(an(a={**TEXT, "pattern": "(?=a)"}))
    assert parts_of(schema, folds=False).known_value({"a": "a"}, POSITIONS, 1) is None
    assert "look-around is not supported" in faults(schema, {"a": "a"})[0]


@pytest.mark.parametrize("merge", [["add"], {"add": 1}, 7, True, "x" * 50_000, ["x"] * 5_000])
def test_a_merge_rule_that_is_none_is_refused(merge: Any) -> None:
    schema = an(a={**TEXT, "x-merge": merge}, b={"type": "integer"})
    with pytest.raises(WrongUsage, match=r"schema: a: unknown x-merge .*; known: add") as refused:
        submitted(schema, ask="?")
    assert len(str(refused.value)) < 1_000


@pytest.mark.parametrize("merge", ["first", "last", "most_common"])
def test_an_object_without_its_type_that_is_merged_as_a_whole_stays_an_object(merge: str) -> None:
    schema = json.dumps({"properties": {"a": {"type": "integer"}}, "x-merge": merge})
    asked = AnswerSpec("?", None, schema)
    values = [asked.parts.known_value(value, POSITIONS, 1) for value in (7, "[2]", {"a": 7})]
    assert values == [None, None, {"a": 7}]
    assert totals_of(asked, [{"a": 7}]) == {"images": 1, "a": 7}
    assert totals_of(asked, []) == {"images": 0}
