"""How answers are compared with the truth, and which images a truth file means."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from core.errors import WrongUsage
from core.truth.comparison import Verdict, compare
from core.truth.intervals import bootstrap_mean, wilson
from core.truth.rules import rule_named, rules_of
from core.truth.truth import Not, Truth
from overstory.truth_file import read_truth


@pytest.mark.parametrize(
    ("rule", "answer", "truth", "right"),
    [
        ("exact", "Café", "Café", True),
        ("exact", "cafe", "Café", False),
        ("exact", 1.0, "1", True),
        ("folded", "  CAFE  au lait", "Café au\tLait", True),
        ("folded", "STRASSE", "Straße", True),
        ("folded", "tea", "coffee", False),
        ("number", 12.5, "12.50", True),
        ("number", "€ 1,234.50", 1234.5, True),
        ("number", "1.234,50", 1234.5, True),
        ("number", "12,5", 12.5, True),
        ("number", "1,234", 1234, True),
        ("number", "1.234", 1.234, True),
        ("number", 12.51, "12.50", False),
        ("number:0.01", 12.51, "12.50", True),
        ("number:0.01", 12.52, "12.50", False),
        ("number:2%", 102, 100, True),
        ("number:2%", 103, 100, False),
        ("number", "about twelve", 12, False),
        ("number", True, 1, False),
        ("date", "3 April 2024", "2024-04-03", True),
        ("date", "2024-04-03T10:00:00", "03.04.2024", True),
        ("date", "03/04/24", "2024-04-03", True),
        ("date:mdy", "04/03/2024", "2024-04-03", True),
        ("date", "12/31/2024", "2024-12-31", True),
        ("date", "04/03/2024", "2024-04-03", False),
        ("date", "April 2024", "2024-04-01", False),
        ("set", ["Tea", "milk"], "milk; tea", True),
        ("set", "tea", "milk, tea", False),
        ("yesno", True, "yes", True),
        ("yesno", "No", "false", True),
        ("yesno", False, "true", False),
    ],
)
def test_a_rule_decides_what_is_right(rule: str, answer: Any, truth: Any, right: bool) -> None:
    assert rule_named(rule, "field").right(answer, truth) is right


def test_a_rule_gives_the_error_of_a_number_and_the_overlap_of_a_set() -> None:
    assert rule_named("number", "f").figure("12.50", 10) == 2.5
    assert rule_named("set", "f").figure(["a", "b"], "b;c") == pytest.approx(1 / 3)
    assert rule_named("folded", "f").figure("a", "b") is None


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        (["12", "12.50"], "number"),
        (["00123", "10115"], "folded"),
        (["true", "false"], "yesno"),
        ([["a"], ["b"]], "set"),
        (["12", "n/a"], "folded"),
    ],
)
def test_the_values_choose_a_rule(values: list[Any], rule: str) -> None:
    truth = Truth({str(n): {"f": value} for n, value in enumerate(values)}, ("f",))
    assert str(rules_of([], truth)["f"]) == rule


def test_the_schema_and_the_person_choose_before_the_values() -> None:
    truth = Truth({"a": {"zip": "123", "total": "1"}}, ("zip", "total"))
    rules = rules_of(["total=number:2%"], truth, {"zip": "string", "total": "integer"})
    assert {field: str(rule) for field, rule in rules.items()} == {
        "zip": "folded",
        "total": "number:2%",
    }


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("total", "write FIELD=RULE"),
        ("totl=exact", "Did you mean 'total'"),
        ("total=near", "Rules: exact, folded"),
        ("total=number:-1", "there is no such rule"),
    ],
)
def test_a_rule_that_does_not_exist_is_refused(given: str, says: str) -> None:
    with pytest.raises(WrongUsage, match=says):
        rules_of([given], Truth({"a": {"total": "1"}}, ("total",)))


def _matched(labels: list[str], names: list[str]) -> tuple[dict[str, int], Any, Any]:
    matched = Truth({label: {} for label in labels}, ()).matched(names)
    return dict(matched.index), matched.unmatched, matched.ambiguous


def test_labels_find_images_by_path_by_tail_and_by_file_name() -> None:
    names = ["/in/a/1.jpg", "/in/b/1.jpg", "/in/b/2.jpg"]
    assert _matched(["/in/a/1.jpg", "b/1.jpg", "2.jpg"], names) == (
        {"/in/a/1.jpg": 0, "b/1.jpg": 1, "2.jpg": 2},
        (),
        (),
    )
    assert _matched(["1.jpg", "3.jpg"], names) == ({}, ("3.jpg",), ("1.jpg",))
    assert _matched(["C:\\old\\2.jpg"], names)[0] == {"C:\\old\\2.jpg": 2}


def test_two_labels_never_mean_one_image() -> None:
    assert _matched(["1.jpg", "a/1.jpg"], ["/in/a/1.jpg"])[2] == ("1.jpg", "a/1.jpg")
    assert _matched(["a/1.jpg", "b/1.jpg"], ["/in/a/1.jpg"]) == ({"a/1.jpg": 0}, ("b/1.jpg",), ())


def test_a_field_is_right_wrong_unanswered_or_not_judged() -> None:
    row = {"shop.name": "Aldi", "total": 5, "paid": True, "kind": Not("bill")}
    rules = rules_of([], Truth({"a": row}, tuple(row)))
    answer = {"shop": {"name": "ALDI"}, "total": 6, "paid": None, "kind": "receipt"}
    assert compare(row, answer, rules) == {
        "shop.name": Verdict.RIGHT,
        "total": Verdict.WRONG,
        "paid": Verdict.UNANSWERED,
    }
    assert compare(row, {"kind": "Bill"}, rules)["kind"] is Verdict.WRONG
    assert set(compare(row, None, rules).values()) == {Verdict.UNANSWERED}


def test_plain_text_is_the_field_answer() -> None:
    rules = rules_of([], Truth({"a": {"answer": "red"}}, ("answer",)))
    assert compare({"answer": "red"}, "Red", rules) == {"answer": Verdict.RIGHT}


def test_the_interval_of_wilson_is_the_published_one() -> None:
    """81 of 263: 0.2553 to 0.3662 in R. G. Newcombe, Statistics in Medicine 17 (1998), table I."""
    low, high = wilson(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    assert wilson(0, 0) == (0.0, 1.0)
    assert (wilson(5, 5)[1], wilson(0, 5)[0]) == (1.0, 0.0)


def test_the_bootstrap_surrounds_the_mean() -> None:
    low, high = bootstrap_mean([1.0, 2.0, 3.0, 4.0] * 10, random.Random(1))
    assert 2.0 < low < 2.5 < high < 3.0


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("t.csv", b"\xef\xbb\xbfFile;total;shop.name\r\na.jpg;12,50;\r\nb.jpg;;Aldi\r\n"),
        ("t.tsv", b"file\ttotal\tshop.name\na.jpg\t12,50\t\nb.jpg\t\tAldi\n"),
        (
            "t.jsonl",
            b"""{"file": "a.jpg", "total": "12,50"}

            {"file": "b.jpg", "total": null, "shop": {"name": "Aldi"}}\n""",
        ),
        ("truth", b'{"file": "a.jpg", "total": "12,50"}\n{"file": "b.jpg", "shop.name": "Aldi"}'),
    ],
)
def test_a_truth_file_is_read(tmp_path: Path, file: str, content: bytes) -> None:
    (tmp_path / file).write_bytes(content)
    truth = read_truth(tmp_path / file)
    assert truth.rows == {"a.jpg": {"total": "12,50"}, "b.jpg": {"shop.name": "Aldi"}}
    assert truth.fields == ("total", "shop.name")


def test_a_parquet_file_is_read(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.table({"image": ["a.jpg", "b.jpg"], "total": [1.5, None], "tags": [["x"], []]})
    parquet.write_table(table, tmp_path / "t.parquet")
    rows = read_truth(tmp_path / "t.parquet").rows
    assert rows == {"a.jpg": {"total": 1.5, "tags": ["x"]}, "b.jpg": {"tags": []}}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"id,total\na.jpg,1\n", "line 2: no column names the file.*--name-column"),
        (b"file,total\na.jpg,1\na.jpg,2\n", "line 3: 'a.jpg' is labelled already in line 2"),
        (b"file,total\n,1\n", "line 2: there is no file name"),
        (b"file,total\na.jpg,1,2\n", "line 2: the row has more cells"),
        (b"file\na.jpg\n", "labels nothing"),
        (b"file,total\na.jpg,\xff\n", "line 2: this is not UTF-8"),
        (b'{"file": "a.jpg", "x": 1}\n{"file"', "line 2: not a JSON object"),
    ],
)
def test_a_bad_truth_file_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(WrongUsage, match=says):
        read_truth(tmp_path / "t")


def test_the_name_column_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,file\na.jpg,scan\n")
    assert read_truth(tmp_path / "t.csv", "id").rows == {"a.jpg": {"file": "scan"}}
