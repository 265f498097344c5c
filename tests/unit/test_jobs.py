"""Job specifications: wrong fields are named, equal jobs have equal keys."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import WrongUsage
from core.job_options import JobOptions
from core.jobs import parse_spec
from core.text.hashing import content_key

GOOD = {"images": ["a.jpg"], "ask": "What is there?"}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"images": []}, "images"),
        ({"images": "a.jpg"}, "images"),
        ({"images": [1]}, r"images\.0"),
        ({"images": None}, "images"),
        ({"ask": ""}, "ask"),
        ({"ask": "  \n"}, "ask"),
        ({"ask": "?" * 100_001}, "ask"),
        ({"key": ""}, "key"),
        ({"key": "k" * 256}, "key"),
        ({"detail": "huge"}, "detail"),
        ({"weight": 0}, "weight"),
        ({"weight": 1001}, "weight"),
        ({"pack": 0}, "pack"),
        ({"label": "l" * 256}, "label"),
        ({"aks": "?"}, "aks"),
    ],
)
def test_a_wrong_field_is_refused_by_its_name(wrong, field):
    with pytest.raises(WrongUsage, match=rf"\b{field}\b"):
        parse_spec(GOOD | wrong)


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
@pytest.mark.parametrize("field", ["ask", "each", "key", "label", "model", "webhook", "prompts"])
def test_text_that_no_database_stores_is_refused_by_its_field(field, text):
    wrong = {"leaf": f"$these {text}"} if field == "prompts" else text
    with pytest.raises(WrongUsage, match=rf"\b{field}: .*NUL or half a UTF-16 pair"):
        parse_spec(GOOD | {field: f"https://a.example/{text}" if field == "webhook" else wrong})


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
def test_a_schema_with_such_text_is_refused_at_any_depth(text):
    for part in ({"description": text}, {"enum": ["a", text]}):
        schema = {"type": "object", "properties": {"a": {"type": "string", **part}}}
        with pytest.raises(WrongUsage, match=r"schema: .*NUL or half"):
            parse_spec(GOOD | {"schema": schema})
    deep: dict[str, object] = {"type": text}
    for _ in range(5_000):
        deep = {"items": deep}
    with pytest.raises(WrongUsage, match=r"schema: .*NUL or half"):
        parse_spec(GOOD | {"schema": deep})


def test_every_wrong_field_is_named_at_once():
    with pytest.raises(WrongUsage) as refused:
        parse_spec({"imgs": ["a.jpg"], "weight": -1})
    assert all(name in str(refused.value) for name in ("images", "ask", "imgs", "weight"))


def test_space_around_a_question_is_removed():
    assert parse_spec(GOOD | {"ask": "  Why?\n"}).ask == "Why?"


def test_omitted_fields_have_their_defaults():
    spec = parse_spec(GOOD)
    assert (spec.key, spec.label, spec.detail, spec.model) == (None, None, None, None)
    assert (spec.fetch, spec.fresh, spec.keep_files, spec.weight) == (False, False, False, 1.0)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=10,
)


@given(st.lists(VALUES, max_size=4), st.lists(VALUES, max_size=4))
def test_different_fields_give_another_key(one, other):
    assert (content_key(one) == content_key(other)) == (repr(_sorted(one)) == repr(_sorted(other)))


def _sorted(value):
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def test_names_of_any_bytes_have_a_key():
    assert content_key(["\udcff.jpg"]) != content_key(["\udcfe.jpg"])


def test_a_job_with_a_schema_survives_serialisation():
    schema = {"type": "object", "properties": {"b": {"type": "integer"}, "a": {"type": "number"}}}
    spec = parse_spec({"images": ["a.jpg"], "each": "?", "schema": schema})
    sent = spec.model_dump(mode="json", exclude_unset=True)
    assert sent == {"images": ["a.jpg"], "each": "?", "schema": schema}
    again = parse_spec(sent)
    assert again == spec
    assert again.question == "?"
    assert again.options.asked == {
        "each": "?", "schema": json.dumps(schema), "each_only": True,
    }  # fmt: skip


def test_a_job_of_words_keeps_no_shape():
    assert parse_spec({"images": ["a.jpg"], "ask": "?"}).options.asked == {}


def test_bare_and_canary_are_part_of_the_question_where_they_are_set():
    plain = parse_spec(GOOD).options
    assert not plain.bare
    assert not plain.canary
    assert "bare" not in plain.to_json()
    assert "canary" not in plain.to_json()  # the JSON of existing rows stays
    for name in ("bare", "canary"):
        options = parse_spec(GOOD | {name: True}).options
        assert options.asked == {**plain.asked, name: True}
        assert JobOptions.from_json(options.to_json()) == options


def test_a_pack_is_part_of_the_question_where_it_is_given():
    plain, packed = (parse_spec(GOOD | more).options for more in ({}, {"pack": 5}))
    assert packed.asked == {**plain.asked, "pack": 5}
    assert "pack" not in plain.to_json()  # the JSON of existing rows stays
    assert JobOptions.from_json(packed.to_json()) == packed
    with pytest.raises(WrongUsage, match="a canary takes a place"):
        parse_spec(GOOD | {"pack": 1, "canary": True})


@pytest.mark.parametrize("with_", [{"each": "?"}, {"schema": {"type": "object"}}, {"canary": True}])
def test_a_bare_job_asks_for_a_plain_answer(with_):
    with pytest.raises(WrongUsage, match="bare"):
        parse_spec(GOOD | {"bare": True} | with_)


@pytest.mark.parametrize("name", ["\0", "\x9b2J", "a\u202eb", "a\nb", "x" * 5_000])
def test_the_name_of_an_unknown_field_is_shown_in_one_short_printable_line(name: str) -> None:
    with pytest.raises(WrongUsage) as refused:
        parse_spec({"images": ["a.jpg"], "ask": "?", name: 1})
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 600
