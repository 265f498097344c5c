"""Which images belong together, and what the unit is called."""

from __future__ import annotations

import pytest

from clients.sources.location import Source
from clients.sources.units import grouped
from core.errors import WrongUsage


def source(location: str, name: str = "", page: int | None = None, **facts: object) -> Source:
    return Source(name or location.rpartition("/")[2], location, page, facts=facts or None)


def units(by: str, *sources: Source) -> dict[str, tuple[int, ...]]:
    return {unit.name: unit.images for unit in grouped(sources, by)}


def test_a_folder_is_called_by_its_name_and_by_more_where_that_is_not_enough() -> None:
    found = units(
        "folder",
        source("/homes/12/kitchen/1.jpg"),
        source("/homes/12/kitchen/2.jpg"),
        source("/homes/14/kitchen/1.jpg"),
        source("/homes/14/1.jpg"),
        source("https://host/a%20b/1.jpg?x=/y/z"),
        source("s3://bucket/lot 7/1.jpg"),
        source("/1.jpg"),
    )
    assert found == {
        "12/kitchen": (0, 1),
        "14/kitchen": (2,),
        "14": (3,),
        "a b": (4,),
        "lot 7": (5,),
        "/": (6,),
    }


def test_an_upload_is_in_the_folder_of_its_name() -> None:
    location = f"upload:local/{'a' * 64}"
    found = units("folder", source(location, "lot/1.jpg"), source(location[:-1] + "b", "2.jpg"))
    assert found == {"lot": (0,), "/": (1,)}


def test_pages_are_units_by_their_document() -> None:
    found = units(
        "document",
        source("/in/a.pdf", "a.pdf[1]", 1),
        source("/in/a.pdf", "a.pdf[2]", 2),
        source("/in/b.jpg"),
    )
    assert found == {"a.pdf": (0, 1), "b.jpg": (2,)}


def test_a_day_is_a_unit_and_what_has_no_date_is_one_too() -> None:
    found = units(
        "date",
        source("/1", taken="2024-05-01T23:59:59"),
        source("/2", taken="2024-05-02T00:00:01"),
        source("/3"),
        source("/4", taken="2024-05-01T00:00:00"),
    )
    assert found == {"2024-05-01": (0, 3), "2024-05-02": (1,), "no date": (2,)}


def test_a_column_wins_over_a_word() -> None:
    found = units("date", source("/1", date="2024-Q1"), source("/2", date=7), source("/3"))
    assert found == {"2024-Q1": (0,), "7": (1,), "no date": (2,)}


def test_units_have_distinct_names_that_can_be_printed() -> None:
    found = units("asset", source("/1", asset="x\x1b[31m"), source("/2", asset=True), source("/3"))
    assert found == {"x\\x1b[31m": (0,), "true": (1,), "no asset": (2,)}
    twice = units("document", source("/a/1.pdf", "1.pdf"), source("/b/1.pdf", "1.pdf"))
    assert twice == {"1.pdf (1)": (0,), "1.pdf (2)": (1,)}


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, "by: 'asset' is not folder, document or date, and no input is a table"),
        ({"room": 1, "flat": 2}, "no table has the column 'asset': give .* 'flat', 'room'"),
    ],
)
def test_an_unknown_column_is_refused_with_those_that_there_are(
    facts: dict[str, object], words: str
) -> None:
    with pytest.raises(WrongUsage, match=words):
        grouped([source("/1", **facts)], "asset")
