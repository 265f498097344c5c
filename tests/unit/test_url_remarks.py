"""What is told about a document behind a URL."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tasks.preprocess import remarks_of

ADVICE = "to ask about all pages, download the document and give the file"


@pytest.mark.parametrize(
    ("location", "remarks", "told"),
    [
        ("https://a.example/x", ("first of 3 pages",), ["first of 3 pages", ADVICE]),
        ("https://a.example/x", ("first of 3 frames",), ["first of 3 frames"]),
        ("https://a.example/x", (), []),
        ("/inputs/x", ("first of 3 pages",), ["first of 3 pages"]),
    ],
)
def test_the_pages_of_a_url_need_a_file(
    location: str, remarks: tuple[str, ...], told: list[str]
) -> None:
    image: Any = SimpleNamespace(location=location)
    assert remarks_of(image, remarks) == told
