"""Tables as people have them: what a row says, whatever program wrote the file."""

from __future__ import annotations

import decimal
import io
import json
import sys
from datetime import UTC, date, datetime

import pytest

from clients.sources.table_files import COLUMNS_MAX, ROW_CHARACTERS_MAX, is_table, opened
from core.errors import WrongUsage


def read(data: bytes | str, name: str = "t.csv"):
    file = io.BytesIO(data.encode() if isinstance(data, str) else data)
    table = opened(file, name)
    return table.columns, list(table.rows())


def rows(data: bytes | str, name: str = "t.csv"):
    return [cells for _, cells in read(data, name)[1]]


PLAIN = {"url": "a.jpg", "name": "Straße 7"}


@pytest.mark.parametrize(
    "data",
    [
        "url,name\na.jpg,Straße 7\n",
        "url;name\r\na.jpg;Straße 7\r\n",
        "url\tname\na.jpg\tStraße 7",
        "url|name\ra.jpg|Straße 7\r",
        '"url","name"\n"a.jpg","Straße 7"\n',
        "sep=;\nurl;name\na.jpg;Straße 7\n",
        " url , name \na.jpg,Straße 7\n,\n\n",
        "url,name,,\na.jpg,Straße 7,,\n",
        b"\xef\xbb\xbfurl,name\na.jpg,Stra\xc3\x9fe 7\n",
        "url;name\na.jpg;Straße 7\n".encode("utf-16"),
        "url;name\na.jpg;Straße 7\n".encode("utf-16-le"),
        "url;name\na.jpg;Straße 7\n".encode("utf-16-be"),
        "url;name\na.jpg;Straße 7\n".encode("cp1252"),
    ],
)
def test_a_table_is_read_as_its_program_wrote_it(data):
    assert rows(data) == [PLAIN]


def test_text_stays_text_and_empty_cells_are_left_out():
    assert rows("url,code,empty\na.jpg,007,  \n") == [{"url": "a.jpg", "code": "007"}]


def test_cells_may_have_separators_quotes_and_line_ends():
    data = 'url,note\na.jpg,"one, ""two""\nthree"\nb.jpg,x\n'
    columns, found = read(data)
    assert columns == ["url", "note"]
    assert found == [
        (2, {"url": "a.jpg", "note": 'one, "two"\nthree'}),
        (3, {"url": "b.jpg", "note": "x"}),
    ]


def test_rows_have_the_numbers_of_a_spreadsheet():
    assert [number for number, _ in read("sep=,\nurl,x\na,1\n\n,\nb,2\n")[1]] == [3, 6]
    assert [number for number, _ in read('{"a": 1}\n\n{"a": 2}', "t.jsonl")[1]] == [1, 3]


def test_a_row_with_too_many_cells_is_not_guessed():
    (_, short), (_, long) = read("url,note\na.jpg\nb.jpg,x,y\n")[1]
    assert short == {"url": "a.jpg"}
    assert isinstance(long, str)
    assert "3 cells" in long


def test_a_list_of_urls_is_a_table_of_one_column():
    assert rows("url\nhttps://x/a,b.jpg?c=1;2\nb.jpg,\n") == [
        {"url": "https://x/a,b.jpg?c=1;2"},
        {"url": "b.jpg"},
    ]


def test_columns_have_distinct_names():
    columns, found = read("url,note,,note\na,1,2,3\n")
    assert columns == ["url", "note", "column 3", "note (2)"]
    assert found[0][1] == {"url": "a", "note": "1", "column 3": "2", "note (2)": "3"}


def test_what_no_database_stores_is_replaced():
    assert rows("url,no\0te\na.jpg,x\0y\n") == [{"url": "a.jpg", "no\ufffdte": "x\ufffdy"}]
    assert rows('{"a": "\\ud800"}', "t.jsonl") == [{"a": "\ufffd"}]


@pytest.mark.parametrize(
    "data", ["url\n" + "x" * (ROW_CHARACTERS_MAX + 1), 'url\na\n"' + "x\n" * ROW_CHARACTERS_MAX]
)
def test_a_missing_quote_does_not_take_the_whole_file(data):
    with pytest.raises(WrongUsage, match="a quote may be missing"):
        read(data)


def test_columns_are_bounded():
    with pytest.raises(WrongUsage, match="columns"):
        read(",".join(map(str, range(COLUMNS_MAX + 1))) + "\n1\n")
    with pytest.raises(WrongUsage, match="columns"):
        read("\n".join(json.dumps({str(n): 1}) for n in range(COLUMNS_MAX + 1)), "t.jsonl")


def test_json_lines_keep_their_kinds_of_values():
    lines = [
        {"url": "a.jpg", "n": 7, "x": 0.5, "ok": True, "gone": None, "tags": ["a", "b"]},
        {"url": "b.jpg", "place": {"lat": 1}, "none": [], "huge": 10**30},
    ]
    columns, found = read("\n".join(map(json.dumps, lines)), "t.ndjson")
    assert columns == ["url", "n", "x", "ok", "gone", "tags", "place", "none", "huge"]
    assert [cells for _, cells in found] == [
        {"url": "a.jpg", "n": 7, "x": 0.5, "ok": True, "tags": '["a", "b"]'},
        {"url": "b.jpg", "place": '{"lat": 1}', "huge": str(10**30)},
    ]


@pytest.mark.parametrize("line", ["nonsense", "[1]", '"a"', "{", "[" * 5_000, "7"])
def test_a_line_that_is_no_object_is_one_bad_row(line):
    found = read(f'{{"url": "a"}}\n{line}\n{{"url": "b"}}\n', "t.jsonl")[1]
    assert [isinstance(cells, str) for _, cells in found] == [False, True, False]


def test_not_a_number_is_nothing():
    assert rows('{"a": NaN, "b": Infinity, "c": 1e999}\n{"a": 1}', "t.jsonl") == [{"a": 1}]


@pytest.mark.parametrize("name", ["t.csv", "T.TSV", "a.b.jsonl", "t.ndjson", "t.parquet"])
def test_a_table_is_known_by_its_ending(name):
    assert is_table(name)
    assert not is_table(name + ".jpg")


# --- Parquet


def parquet(columns: dict, **options) -> bytes:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet as door

    out = io.BytesIO()
    door.write_table(pyarrow.table(columns), out, **options)
    return out.getvalue()


def test_parquet_gives_what_json_can_hold():
    pyarrow = pytest.importorskip("pyarrow")
    columns = {
        "url": ["a.jpg", None],
        "n": [7, None],
        "x": [float("nan"), 0.5],
        "day": [date(2024, 5, 1), None],
        "at": pyarrow.array([1714557603123456789, None], pyarrow.timestamp("ns")),
        "utc": [datetime(2024, 5, 1, 12, tzinfo=UTC), None],
        "price": [decimal.Decimal("1.50"), None],
        "tags": [["a"], []],
        "place": [{"lat": 1.5}, None],
        "bytes": [b"\xff\xd8", b""],
        "image": [{"bytes": b"\xff", "path": "a.jpg"}, None],
        "kind": pyarrow.array(["x", "y"]).dictionary_encode(),
    }
    found, all_rows = read(parquet(columns), "t.parquet")
    assert found == [name for name in columns if name not in ("bytes", "image")]
    assert all_rows == [
        (
            1,
            {
                "url": "a.jpg",
                "n": 7,
                "day": "2024-05-01",
                "at": "2024-05-01T10:00:03.123456",
                "utc": "2024-05-01T12:00:00+00:00",
                "price": "1.50",
                "tags": '["a"]',
                "place": '{"lat": 1.5}',
                "kind": "x",
            },
        ),
        (2, {"x": 0.5, "kind": "y"}),
    ]


def test_parquet_is_read_in_batches_with_running_numbers():
    pytest.importorskip("pyarrow")
    data = parquet({"url": [f"{n}.jpg" for n in range(2_500)]}, row_group_size=700)
    found = read(data, "t.parquet")[1]
    assert [number for number, _ in found] == list(range(1, 2_501))
    assert found[-1][1] == {"url": "2499.jpg"}


@pytest.mark.parametrize("data", [b"nonsense", b"PAR1" + b"\0" * 100 + b"PAR1"])
def test_what_is_no_parquet_is_refused(data):
    pytest.importorskip("pyarrow")
    with pytest.raises(WrongUsage, match="not a Parquet file"):
        read(data, "t.parquet")


def test_a_damaged_parquet_is_refused():
    pytest.importorskip("pyarrow")
    data = bytearray(parquet({"url": [f"{n}.jpg" for n in range(2_500)]}))
    data[10:2_000] = b"\xff" * 1_990
    with pytest.raises(WrongUsage, match="cannot be read"):
        read(bytes(data), "t.parquet")


def test_without_pyarrow_a_sentence_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(WrongUsage, match=r"overstory\[parquet\]"):
        read(b"PAR1", "t.parquet")
