"""How preparation paths are compared, and the made receipts' fields, without OCR."""

from __future__ import annotations

from benchmarks.truth.verdict import compared, judged

IMAGES, FIELDS = 40, 5


def _read(unread: set[tuple[int, int]]) -> dict[tuple[str, str], bool]:
    places = [(image, field) for image in range(IMAGES) for field in range(FIELDS)]
    return {(f"{image}", f"{field}"): (image, field) not in unread for image, field in places}


ALL = _read(set())


def test_a_loss_of_many_images_is_beyond_chance() -> None:
    against = compared(ALL, _read({(image, 0) for image in range(10)}))
    assert (against.gap, against.lost, against.gained) == (0.05, 10, 0)
    assert against.verdict(4) == "MISSED"


def test_a_few_images_that_lose_all_their_fields_prove_nothing() -> None:
    unread = {(image, field) for image in range(2) for field in range(FIELDS)}
    against = compared(ALL, _read(unread))
    assert (against.lost, against.chance, against.verdict()) == (10, 0.125, "open")


def test_a_path_within_a_point_meets_the_bar_whatever_chance_says() -> None:
    assert compared(ALL, _read({(0, 0), (1, 0)})).verdict() == "met"
    assert compared(_read({(0, 0)}), ALL).verdict() == "met"


def test_each_printed_price_is_a_field_and_counts_once() -> None:
    truth = {"shop": "Café Α", "date": "2026-01-02", "number": "12345", "total": 4.0,
             "prices": [1.0, 1.0, 2.0]}  # fmt: skip
    read = {"shop": "CAFE A", "date": "2026-01-02", "number": "12346", "prices": [2.0, 1.0]}
    assert judged(read, truth) == {
        "shop": True, "date": True, "number": False, "total": False,
        "price 0": True, "price 1": False, "price 2": True,
    }  # fmt: skip
    assert not any(judged({}, truth).values())
