"""EXIF: when and where a picture was taken, if what stands there can be a time or a place."""

from __future__ import annotations

import pytest

from core.images import exif

ORIGINAL, DIGITIZED, CHANGED = 0x9003, 0x9004, 0x0132
PART, OFFSET = 0x9291, 0x9011
PLACE = {1: "N", 2: (48.0, 12.0, 30.564), 3: "E", 4: (16.0, 22.0, 19.488)}


def taken(image=None, more=None):
    return exif.facts_of(image or {}, more or {}, {}).get(exif.TAKEN)


@pytest.mark.parametrize(
    ("image", "more", "told"),
    [
        ({}, {ORIGINAL: "2024:05:01 12:00:03"}, "2024-05-01T12:00:03"),
        ({}, {ORIGINAL: b"2024:05:01 12:00:03\0"}, "2024-05-01T12:00:03"),
        ({}, {ORIGINAL: "2024:05:01 12:00:03", PART: "12", OFFSET: "+02:00"},
         "2024-05-01T12:00:03.12+02:00"),
        ({}, {ORIGINAL: "2024:05:01 12:00:03", PART: "  ", OFFSET: "   :  "},
         "2024-05-01T12:00:03"),
        ({CHANGED: "2025:01:01 00:00:00"}, {DIGITIZED: "2024:05:01 12:00:03"},
         "2024-05-01T12:00:03"),
        ({CHANGED: "2025:01:01 00:00:00"}, {ORIGINAL: "0000:00:00 00:00:00"},
         "2025-01-01T00:00:00"),
        ({CHANGED: "2025-01-01T00:00:00"}, {}, "2025-01-01T00:00:00"),
        ({}, {ORIGINAL: "2024:13:01 12:00:03"}, None),
        ({}, {ORIGINAL: "yesterday"}, None),
        ({}, {ORIGINAL: (2024, 5, 1)}, None),
        ({}, {ORIGINAL: "٢٠٢٤:٠٥:٠١ 12:00:03"}, None),
        ({}, {}, None),
    ],
)  # fmt: skip
def test_the_best_time_is_taken(image, more, told):
    assert taken(image, more) == told


def test_a_place_is_in_degrees():
    assert exif.facts_of({}, {}, PLACE) == {"gps": "48.20849,16.37208"}
    south = {**PLACE, 1: "S", 3: b"W\0"}
    assert exif.facts_of({}, {}, south) == {"gps": "-48.20849,-16.37208"}


@pytest.mark.parametrize(
    "broken",
    [
        {1: "X"},
        {1: None},
        {2: (91.0, 0.0, 0.0)},
        {2: (float("nan"), 0.0, 0.0)},
        {2: (48.0, 12.0)},
        {2: "48"},
        {2: None},
        {4: (181.0, 0.0, 0.0)},
        {2: (0.0, 0.0, 0.0), 4: (0.0, 0.0, 0.0)},
    ],
)
def test_what_can_be_no_place_is_left_out(broken):
    assert exif.facts_of({}, {}, {**PLACE, **broken}) == {}


def test_what_a_decoder_says_is_checked():
    good = {"taken": "2024-05-01T12:00:03.12+02:00", "gps": "-48.20849,16.37208"}
    assert exif.checked({**good, "asset": "mine"}) == good
    assert exif.checked({"taken": "2024-05-01\n", "gps": ["1.00000,1.00000"]}) == {}
    assert exif.checked("taken") == {}
